"""A tensor where it lies in a checkpoint file: checked against the file's extent, then read piece by piece.

No more than one piece, or one tensor whose elements are not in order, is in memory at a time, so a file of
any size is read in the memory of its largest tensor.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 16 << 20
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 1 << 40  # far beyond any file, and products stay exact

Array = NDArray[Any]


class ElementType(NamedTuple):
    name: str  # as safetensors spells it
    itemsize: int
    raw: str  # numpy's type of the same bits


ELEMENT_TYPES = {
    storage: ElementType(*row)
    for storage, row in {
        "FloatStorage": ("F32", 4, "<f4"),
        "HalfStorage": ("F16", 2, "<f2"),
        "BFloat16Storage": ("BF16", 2, "<u2"),  # numpy has no bfloat16
        "DoubleStorage": ("F64", 8, "<f8"),
        "LongStorage": ("I64", 8, "<i8"),
        "IntStorage": ("I32", 4, "<i4"),
        "ShortStorage": ("I16", 2, "<i2"),
        "CharStorage": ("I8", 1, "<i1"),
        "ByteStorage": ("U8", 1, "<u1"),
        "BoolStorage": ("BOOL", 1, "?"),
        "ComplexFloatStorage": ("C64", 8, "<c8"),
        "ComplexDoubleStorage": ("C128", 16, "<c16"),
    }.items()
}


class Extent(NamedTuple):
    """A range of bytes of the checkpoint file."""

    start: int
    size: int


class Storage(NamedTuple):
    """A reference to a one-dimensional storage that tensors are views of."""

    key: str
    element: ElementType


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A strided view of a storage, in elements, as the file states it: possibly nonsense until checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def element(self) -> ElementType:
        return self.storage.element

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Of its elements in order, without gaps or overlap."""
        return self.num_elements * self.element.itemsize

    @property
    def span(self) -> int:
        """Elements from its first to its last in the storage."""
        if not self.num_elements:
            return 0
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))

    @property
    def in_order(self) -> bool:
        expected = 1
        for n, step in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if n != 1 and step != expected:
                return False
            expected *= n
        return True


def defect(tensor: StoredTensor, extent: Extent | None) -> str | None:
    """Why these numbers can't be a tensor of that storage, or None. After this, reading it is safe."""
    numbers = (tensor.offset, *tensor.shape, *tensor.stride)
    if len(tensor.shape) > MAX_DIMENSIONS or len(tensor.shape) != len(tensor.stride):
        return f"{len(tensor.shape)} dimensions with {len(tensor.stride)} strides"
    if any(number < 0 for number in numbers):
        return f"a negative offset, size or stride (offset {tensor.offset}, stride {tensor.stride})"
    if any(number > MAX_ELEMENTS for number in numbers) or tensor.num_elements > MAX_ELEMENTS:
        return f"a shape of {tensor.shape}"
    if extent is None:
        return f"a view of storage {tensor.storage.key!r}, which the file does not hold"
    end = (tensor.offset + tensor.span) * tensor.element.itemsize
    if end > extent.size:
        return f"a view of bytes up to {end} of a storage that has {extent.size}"
    return None


def pieces(descriptor: int, extent: Extent, tensor: StoredTensor) -> Iterator[Array]:
    """The elements in order, as flat arrays of the element type's raw bits. Raises EOFError."""
    itemsize = tensor.element.itemsize
    start = extent.start + tensor.offset * itemsize
    if tensor.num_elements and not tensor.in_order:
        span = _read(descriptor, start, tensor.span * itemsize).view(tensor.element.raw)
        strides = tuple(step * itemsize for step in tensor.stride)
        view = np.lib.stride_tricks.as_strided(span, tensor.shape, strides, writeable=False)
        yield np.ascontiguousarray(view).reshape(-1)
        return
    for done in range(0, tensor.size_bytes, PIECE_BYTES):
        size = min(PIECE_BYTES, tensor.size_bytes - done)
        yield _read(descriptor, start + done, size).view(tensor.element.raw)


def whole(descriptor: int, extent: Extent, tensor: StoredTensor) -> Array:
    """The tensor in its shape, as raw bits."""
    none = np.empty(0, tensor.element.raw)
    return np.concatenate([none, *pieces(descriptor, extent, tensor)]).reshape(tensor.shape)


def to_float32(raw: Array, element: ElementType) -> NDArray[np.float32]:
    if element.name == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False)


def all_finite(raw: Array, element: ElementType) -> bool:
    """On the bits where numpy has no arithmetic or slow one: an exponent of all ones is NaN or infinity."""
    if element.name == "F32":
        return bool(np.isfinite(raw).all())
    exponent = np.uint16(0x7C00 if element.name == "F16" else 0x7F80)
    return not bool(((raw.view(np.uint16) & exponent) == exponent).any())


def _read(descriptor: int, start: int, size: int) -> NDArray[np.uint8]:
    buffer = np.empty(size, np.uint8)
    filled = 0
    while filled < size:
        count = os.preadv(descriptor, [buffer.data[filled:]], start + filled)
        if not count:
            raise EOFError(f"the file ends {size - filled} bytes before the tensor does")
        filled += count
    return buffer
