"""Tensors of a stored safetensors file, read when they are asked for.

On a CPU the page cache already is host memory: `MappedWeights` reads the store's file through a memory map
and lets go of pages that were copied, so that preparing a layout of one's own doesn't hold the weights twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

REMAP_AFTER_BYTES = 256 * 2**20


class MappedWeights(Mapping[str, Tensor]):
    """Tensors of a safetensors file by name, as views of a memory map.

    The map is renewed after every 256 MiB that were read, so pages of tensors that the caller copied and
    dropped stop counting as resident. Tensors that the caller keeps keep their map.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._names = list(self._file.keys())
        self._read_bytes = 0

    def __getitem__(self, name: str) -> Tensor:
        if self._read_bytes > REMAP_AFTER_BYTES:
            self._file = self._open()
            self._read_bytes = 0
        try:
            tensor: Tensor = self._file.get_tensor(name)
        except SafetensorError as error:
            raise KeyError(name) from error
        self._read_bytes += tensor.nbytes
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def describe(self) -> Iterator[tuple[str, torch.Size, torch.dtype]]:
        """(name, shape, dtype) without reading any values."""
        for name in self._names:
            tensor = self._file.get_slice(name)
            yield name, torch.Size(tensor.get_shape()), _DTYPES[tensor.get_dtype()]

    def _open(self) -> Any:
        return safe_open(self._path, framework="pt", device="cpu")


_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
