"""A submission's weights in host memory, just as the device will hold them: a few chunks of equal size, and
tensors that are views of these.

Copying them to a device is then one copy per chunk and no work on values: dtypes and layouts were settled
by whoever read them. Chunks of equal size, and not one block per submission, because torch's allocator for
page-locked memory rounds up to powers of two (0.83 GB would take 1 GiB, 0.30 GB half of one), and because
what one submission gives up then fits the next one of any family, on the host and on the device: nothing is
page-locked, allocated or freed anew, each of which can stop the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20  # 0.6 ms of a PCIe 5 link: starting a copy takes a hundredth of that
ALIGNMENT = 256  # of every tensor, as cudaMalloc's: more than any kernel asks for

T = TypeVar("T")


def page_locked(size_bytes: int) -> Tensor:
    """Memory that a CUDA device copies by itself."""
    return torch.empty(size_bytes, dtype=torch.uint8, pin_memory=True)


class WeightArena:
    """Chunks that tensors are copied into, one after the other."""

    def __init__(
        self, new_chunk: Callable[[int], Tensor] | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        """`new_chunk` makes memory of so many bytes, uint8; page-locked if it isn't given."""
        self._new_chunk = new_chunk or page_locked
        self._chunk_bytes = chunk_bytes
        self._chunks: list[Tensor] = []  # uint8
        self._used: list[int] = []  # bytes of each

    def copy(
        self, tensor: Tensor, dtype: torch.dtype, memory_format: torch.memory_format = torch.contiguous_format
    ) -> Tensor:
        """The same values in this dtype and layout, in the first chunk that has room for them.

        A tensor larger than a chunk gets one of its own.
        """
        layout = torch.empty_like(tensor, dtype=dtype, device="meta", memory_format=memory_format)
        index = self._chunk_for(layout.nbytes)
        start = self._used[index]
        self._used[index] = _aligned(start + layout.nbytes)
        elements = self._chunks[index].view(dtype)
        place = elements.as_strided(layout.shape, layout.stride(), start // dtype.itemsize)
        return place.copy_(tensor)

    def copy_all(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same in their own dtypes and layouts."""
        return {
            name: self.copy(tensor, tensor.dtype, torch.preserve_format) for name, tensor in tensors.items()
        }

    def hold(self, tensors: T) -> HeldTensors[T]:
        """What was built of this arena's tensors; see `map_tensors`. No more tensors are added then."""
        *full, last = self._chunks
        return HeldTensors(tensors, (*full, last[: self._used[-1]]))

    def _chunk_for(self, size_bytes: int) -> int:
        for index, (chunk, used) in enumerate(zip(self._chunks, self._used, strict=True)):
            if used + size_bytes <= len(chunk):
                return index
        self._chunks.append(self._new_chunk(max(self._chunk_bytes, _aligned(size_bytes))))
        self._used.append(0)
        return len(self._chunks) - 1


@dataclass(frozen=True, slots=True, eq=False)
class HeldTensors(Generic[T]):
    """Something built of tensors that are views of `chunks`."""

    tensors: T
    chunks: tuple[Tensor, ...]  # uint8

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.chunks))

    def at(self, chunks: Sequence[Tensor]) -> T:
        """The same with views of other chunks, which are laid out as these."""
        typed: dict[tuple[int, torch.dtype], Tensor] = {}
        index_of = {chunk.untyped_storage().data_ptr(): index for index, chunk in enumerate(self.chunks)}

        def view(tensor: Tensor) -> Tensor:
            key = index_of[tensor.untyped_storage().data_ptr()], tensor.dtype
            if key not in typed:
                typed[key] = _whole(chunks[key[0]], tensor.dtype)
            return typed[key].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

        return map_tensors(self.tensors, view)


def map_tensors(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """Rebuild a value of dataclasses, tuples and mappings with every tensor in it changed."""
    changed: Any = value
    if isinstance(value, Tensor):
        changed = change(value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: map_tensors(getattr(value, field.name), change) for field in fields(value)}
        changed = replace(value, **parts)
    elif isinstance(value, tuple):
        changed = tuple(map_tensors(part, change) for part in value)
    elif isinstance(value, Mapping):
        changed = {name: map_tensors(part, change) for name, part in value.items()}
    return changed


def _whole(chunk: Tensor, dtype: torch.dtype) -> Tensor:
    """A chunk's bytes as elements, without those at its end that don't make one."""
    return chunk[: len(chunk) // dtype.itemsize * dtype.itemsize].view(dtype)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT
