"""A bare state dict, as base models are published, into safetensors. A sandbox task.

Which model it is of, the caller sees by the tensors' names. Tensors of integers are left out: they count
batches or number positions, and the architectures make them themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from models_store.checkpoints.checkpoint_file import shown
from models_store.checkpoints.reader import Checkpoint, CheckpointDamaged, read_checkpoint
from models_store.checkpoints.safetensors_file import (
    ITEM_SIZES,
    Entry,
    file_order,
    write_all,
    write_header,
)
from models_store.checkpoints.stored_tensor import StoredTensor, defect, pieces
from models_store.errors import Problem

INTEGERS = frozenset({"I64", "I32", "I16", "I8", "U8", "BOOL"})
MAX_LISTED = 20
WRAPPERS = ("state_dict", "model")  # keys under which some trainers put it

Progress = Callable[[int, int], None]


class _Refused(Exception):
    def __init__(self, code: str, found: str, expected: str) -> None:
        super().__init__(found)
        self.problem = Problem(code, "", found, expected, "Get the file again from where it was published.")


def convert(files: Mapping[str, int], arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Copy the tensors of descriptor `checkpoint` to `weights`: their names, or why they were refused."""
    try:
        checkpoint = _read(files["checkpoint"])
        tensors = _tensors(checkpoint)
    except _Refused as refused:
        return {"names": [], "problems": [asdict(refused.problem)]}
    entries = {name: Entry(tensor.element.name, tensor.shape) for name, tensor in tensors.items()}
    total = sum(entry.size_bytes for entry in entries.values())
    done = 0
    write_header(files["weights"], entries)
    for name in file_order(entries):
        extent = checkpoint.extents[tensors[name].storage.key]
        for piece in pieces(files["checkpoint"], extent, tensors[name]):
            write_all(files["weights"], piece.data)
            done += piece.nbytes
            progress(done, total)
    return {"names": sorted(entries), "problems": []}


def _read(descriptor: int) -> Checkpoint:
    try:
        checkpoint = read_checkpoint(descriptor)
    except CheckpointDamaged as damage:
        _refuse_code(damage.foreign_names)
        raise _Refused("BadCheckpoint", damage.found, "a file that torch.save wrote") from damage
    _refuse_code(checkpoint.foreign_names)
    return checkpoint


def _refuse_code(names: tuple[str, ...]) -> None:
    if names:
        named = ", ".join(shown(name) for name in names[:MAX_LISTED])
        raise _Refused("UnsafeCheckpoint", f"names of code: {named}; nothing was run", "tensors")


def _tensors(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    state = checkpoint.value
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise _Refused("BadCheckpoint", f"a {type(state).__name__}", "a state dict")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, StoredTensor)}
    kept = {name: tensor for name, tensor in tensors.items() if tensor.element.name not in INTEGERS}
    for name, tensor in kept.items():
        if tensor.element.name not in ITEM_SIZES:
            found = f"{shown(name)} with elements of type {tensor.element.name}"
            raise _Refused("WrongDtype", found, "float32, float16 or bfloat16")
        if damage := defect(tensor, checkpoint.extents.get(tensor.storage.key)):
            raise _Refused(
                "BadCheckpoint", f"{shown(name)}: {damage}", "a tensor that lies inside its storage"
            )
    if not kept:
        raise _Refused("BadCheckpoint", "a state dict without tensors", "the weights of a model")
    return kept
