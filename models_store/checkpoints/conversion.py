"""From judged tensors to a safetensors file: every value that inference would use is looked at on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod
from typing import NamedTuple

from models_store.checkpoints.checkpoint_file import CheckpointFile
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.safetensors_file import Entry, file_order, write_all, write_header
from models_store.checkpoints.stored_tensor import Extent
from models_store.checkpoints.weights import Weight, Weights

Progress = Callable[[int, int], None]


class Source(NamedTuple):
    """A checkpoint's tensors and the open file they lie in."""

    file: CheckpointFile
    descriptor: int
    extents: Mapping[str, Extent]
    weights: Weights
    expected: Collection[str]  # names that inference uses

    @property
    def entries(self) -> list[Entry]:
        return [weight.entry for weight in self.weights.by_name.values()]

    @property
    def used(self) -> dict[str, Weight]:
        return {name: weight for name, weight in self.weights.by_name.items() if name in self.expected}


def check_size(sources: Sequence[Source], limit_bytes: int, findings: Findings) -> bool:
    """Whether the converted files together stay within the limit; reported if not."""
    total = sum(entry.size_bytes for source in sources for entry in source.entries)
    if total <= limit_bytes:
        return True
    remedy = "Save the checkpoint in half precision, without anything but the model."
    files = " and ".join(source.file.name for source in sources)
    findings.refuse(
        "BadCheckpoint", files, f"tensors of {total} bytes in all", f"at most {limit_bytes}", remedy
    )
    return False


def copy_weights(
    sources: Sequence[tuple[Source, int]], accepted: bool, progress: Progress, findings: Findings
) -> None:
    """Look at every value that inference would use; if `accepted`, write each source to its descriptor."""
    total = sum(part.size_bytes for source, _ in sources for w in source.used.values() for part in w.parts)
    done = 0
    progress(done, total)
    for source, target in sources:
        used = source.used
        entries = {name: weight.entry for name, weight in used.items()}
        if accepted:
            write_header(target, entries)
        for name in file_order(entries):
            _copy(name, used[name], source, target if accepted else None, findings)
            done += sum(part.size_bytes for part in used[name].parts)
            progress(done, total)


def _copy(name: str, weight: Weight, source: Source, target: int | None, findings: Findings) -> None:
    finite = True
    for piece, piece_finite in weight.pieces(source.descriptor, source.extents):
        finite = finite and piece_finite
        if target is not None:
            write_all(target, piece.data)
    if not finite:
        remedy = "The training diverged; upload an earlier checkpoint."
        findings.refuse(
            "BadCheckpoint", source.file.name, f"NaN or infinity in {name}", "finite values", remedy
        )


def size_facts(sources: Sequence[Source]) -> dict[str, str]:
    """For people: how large the model is."""
    entries = [entry for source in sources for entry in source.entries]
    return {
        "parameters": f"{sum(prod(entry.shape) for entry in entries) / 1e6:.1f} M",
        "number format": ", ".join(sorted({entry.element for entry in entries})),
        "weights": f"{sum(entry.size_bytes for entry in entries) / 1e6:.1f} MB",
        "left out": f"{sum(source.weights.num_dropped for source in sources)} tensors of training",
    }
