"""From the tensors of a checkpoint, however it was saved, to those inference needs, by published name.

What differs between families, the prefix and what is dropped, is in their `CheckpointFile`. Weight norm is
found in the old spelling (weight_g, weight_v) and in the one since PyTorch 2.0 (parametrizations.*), and
folded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from models_store.checkpoints.checkpoint_file import RESAVE, CheckpointFile, shown
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.safetensors_file import ITEM_SIZES, Entry
from models_store.checkpoints.stored_tensor import (
    Array,
    Extent,
    StoredTensor,
    all_finite,
    defect,
    pieces,
    to_float32,
    whole,
)

Part = Literal["whole", "magnitude", "direction"]
WEIGHT_NORM_SUFFIXES: dict[str, Part] = {
    ".parametrizations.weight.original0": "magnitude",
    ".parametrizations.weight.original1": "direction",
    ".weight_g": "magnitude",
    ".weight_v": "direction",
}


@dataclass(frozen=True, slots=True)
class Plain:
    """A tensor that is kept as it is."""

    tensor: StoredTensor

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        return (self.tensor,)

    @property
    def entry(self) -> Entry:
        return Entry(self.tensor.element.name, self.tensor.shape)

    def pieces(self, descriptor: int, extents: Mapping[str, Extent]) -> Iterator[tuple[Array, bool]]:
        """The elements in order, each piece with whether it is finite."""
        extent = extents[self.tensor.storage.key]
        for piece in pieces(descriptor, extent, self.tensor):
            yield piece, all_finite(piece, self.tensor.element)


@dataclass(frozen=True, slots=True)
class WeightNormed:
    """A weight given as magnitude g [n, 1, ...] and direction v [n, ...]: w = g v / |v|, one norm per row.

    Written in float32 whatever the file's type: the published implementation widens both parts before it
    multiplies, so this is the weight it computes with. Rounding it would lose digits of the vocoder to make
    a half-precision file 3 % smaller.
    """

    magnitude: StoredTensor
    direction: StoredTensor

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        return (self.magnitude, self.direction)

    @property
    def entry(self) -> Entry:
        return Entry("F32", self.direction.shape)

    def pieces(self, descriptor: int, extents: Mapping[str, Extent]) -> Iterator[tuple[Array, bool]]:
        g, v = (
            to_float32(whole(descriptor, extents[part.storage.key], part), part.element)
            for part in self.parts
        )
        with np.errstate(all="ignore"):  # a row of zeros, or NaN in the file: found below
            norm = np.sqrt(np.square(v, dtype=np.float64).sum(axis=tuple(range(1, v.ndim)), keepdims=True))
            weight = np.ascontiguousarray(v * (g / norm).astype(np.float32))
        yield weight.reshape(-1), bool(np.isfinite(weight).all())


Weight = Plain | WeightNormed


@dataclass(slots=True)
class Weights:
    """What a checkpoint holds for inference, by published name with weight norm folded."""

    by_name: dict[str, Weight] = field(default_factory=dict)
    unsound: set[str] = field(default_factory=set)  # names whose tensors were reported and left out
    num_dropped: int = 0


def collect_weights(
    file: CheckpointFile, state: Mapping[Any, Any], extents: Mapping[str, Extent], findings: Findings
) -> Weights:
    """Give every tensor its published name. What can't be read safely is reported and left out."""
    weights = Weights()
    parts: dict[str, dict[Part, StoredTensor]] = {}
    for key, value in state.items():
        saved_name = str(key).removeprefix(file.prefix)
        if file.dropped.fullmatch(saved_name):
            weights.num_dropped += 1
            continue
        name, part = _published(saved_name)
        if found := _unusable(value, extents):
            _refuse(file, findings, *found, saved_name)
            weights.unsound.add(name)
        elif part in parts.setdefault(name, {}):
            _refuse(file, findings, "UnexpectedTensor", "it under two spellings", "one", saved_name)
        else:
            parts[name][part] = value
    for name, given in parts.items():
        if name not in weights.unsound:
            _assemble(file, name, given, weights, findings)
    return weights


def _published(saved_name: str) -> tuple[str, Part]:
    for suffix, part in WEIGHT_NORM_SUFFIXES.items():
        if saved_name.endswith(suffix):
            return saved_name.removesuffix(suffix) + ".weight", part
    return saved_name, "whole"


def _unusable(value: Any, extents: Mapping[str, Extent]) -> tuple[str, str, str] | None:
    """The problem's code, what was found and what was expected; None for a sound tensor."""
    if not isinstance(value, StoredTensor):
        return "UnexpectedTensor", f"a {type(value).__name__}", "a tensor"
    if value.element.name not in ITEM_SIZES:
        return "WrongDtype", f"elements of type {value.element.name}", "float32, float16 or bfloat16"
    if damage := defect(value, extents.get(value.storage.key)):
        return "BadCheckpoint", damage, "a tensor that lies inside its storage"
    return None


def _assemble(
    file: CheckpointFile,
    name: str,
    given: Mapping[Part, StoredTensor],
    weights: Weights,
    findings: Findings,
) -> None:
    if given.keys() == {"whole"}:
        weights.by_name[name] = Plain(given["whole"])
        return
    weights.unsound.add(name)
    if "whole" in given:
        found = "it both whole and as magnitude and direction"
        return _refuse(file, findings, "UnexpectedTensor", found, "one of them", name)
    for part in ("magnitude", "direction"):
        if part not in given:
            found = f"weight norm without its {part}"
            return _refuse(file, findings, "MissingTensor", found, "both parts", name)
    magnitude, direction = given["magnitude"], given["direction"]
    rows, *others = direction.shape or (0,)
    expected = (rows, *(1 for _ in others))
    if magnitude.shape != expected:
        found = f"a magnitude of shape {magnitude.shape}"
        return _refuse(
            file, findings, "WrongShape", found, f"{expected}, a value per row of its direction", name
        )
    weights.unsound.discard(name)
    weights.by_name[name] = WeightNormed(magnitude, direction)


def _refuse(
    file: CheckpointFile, findings: Findings, code: str, found: str, expected: str, name: str
) -> None:
    findings.refuse(code, file.name, f"{shown(name)}: {found}", expected, RESAVE)
