"""A family's checkpoint file: how it is called and read, and its state dict out of what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_store.checkpoints.findings import Findings
from models_store.checkpoints.reader import Checkpoint, CheckpointDamaged, read_checkpoint
from models_store.checkpoints.stored_tensor import StoredTensor

MAX_ENTRIES = 20_000  # of a state dict; a trainer's has 2,500
MAX_NAME_CHARS = 120
RESAVE = "Save the checkpoint again from the trained model."


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """What is particular to one file of one family, in its names and in our messages."""

    name: str  # "model.pth"
    title: str  # whose tensors are in it: "XTTS-v2"
    holds: str  # what a right file is
    key: str  # its state dict's, in the dict that was saved
    prefix: str  # of the names of the tensors, where they have it
    dropped: re.Pattern[str]  # aliases of other tensors, and what only training uses
    plain_values: str  # what may be in it
    plain_save: str  # what to save instead of something unsafe
    source: str  # which file to upload instead of another
    num_tensors: str  # in words
    headers: frozenset[str] = frozenset()  # two digits that may stand where the zip's magic begins


def open_checkpoint(file: CheckpointFile, descriptor: int, findings: Findings) -> Checkpoint | None:
    """The file's values without its tensors' data. What is unsafe or unreadable is reported."""
    try:
        checkpoint = read_checkpoint(descriptor, file.headers)
    except CheckpointDamaged as damage:
        _refuse_foreign_names(file, damage.foreign_names, findings)
        expected = "a file that torch.save wrote"
        findings.refuse("BadCheckpoint", file.name, damage.found, expected, "Upload it again whole.")
        return None
    _refuse_foreign_names(file, checkpoint.foreign_names, findings)
    return checkpoint


def _refuse_foreign_names(file: CheckpointFile, names: tuple[str, ...], findings: Findings) -> None:
    if not names:
        return
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    findings.refuse(
        "UnsafeCheckpoint",
        file.name,
        f"names of code: {', '.join(shown(name) for name in names[:20])}{more}",
        file.plain_values,
        f"Nothing was run. Save the weights alone: torch.save({file.plain_save}, '{file.name}').",
    )


def state_dict(file: CheckpointFile, value: Any, findings: Findings) -> Mapping[Any, Any] | None:
    """What is under the file's key, or a bare state dict."""
    state = value.get(file.key) if isinstance(value, dict) and file.key in value else value
    if isinstance(state, dict) and len(state) > MAX_ENTRIES:
        found = f"a state dict of {len(state)} entries"
        findings.refuse("BadCheckpoint", file.name, found, file.num_tensors, RESAVE)
        return None
    if isinstance(state, dict) and any(isinstance(entry, StoredTensor) for entry in state.values()):
        return state
    keys = ", ".join(shown(str(key)) for key in list(value)[:8]) if isinstance(value, dict) else "no dict"
    findings.refuse("BadCheckpoint", file.name, f"a checkpoint of {keys}", file.holds, file.source)
    return None


def shown(name: str) -> str:
    """A tensor's name for a message: short, and safe to print."""
    return ascii(name[:MAX_NAME_CHARS])[1:-1]
