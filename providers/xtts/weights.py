"""A submission's weights in host memory, ready to be prepared for a device.

On a CPU the page cache already is host memory: `MappedWeights` reads the store's file through a memory map
and lets go of pages that were copied, so that preparing a layout of one's own doesn't hold the weights twice.
For a CUDA device they are pinned, so that it can copy them at full speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models_store.checkpoints.architecture import XttsConfig
from models_store.submission import SubmissionFiles
from providers.interface import EngineSettings

# Only these are multiplied in the engine's dtype; norms, embeddings and the conditioning stay as submitted.
MATRICES = ("gpt.gpt.h.", "hifigan_decoder.waveform_decoder.resblocks.")
REMAP_AFTER_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class XttsHostWeights:
    """Implements `HostWeights`."""

    submission_id: str
    config: XttsConfig
    size_bytes: int  # on the device
    # Published names, weight norm folded. Asked anew by each part that is prepared, so that a memory map
    # whose tensors one part keeps doesn't also keep the pages that another part has copied.
    tensors: Callable[[], Mapping[str, Tensor]]


def read_config(files: SubmissionFiles) -> XttsConfig:
    return msgspec.json.decode(files.paths["config"].read_bytes(), type=XttsConfig)


def read_host_weights(files: SubmissionFiles, settings: EngineSettings) -> XttsHostWeights:
    dtype = getattr(torch, settings.dtype)
    mapped = MappedWeights(files.paths["weights"])
    size_bytes = sum(
        shape.numel() * (dtype if is_matrix(name) else stored).itemsize
        for name, shape, stored in mapped.describe()
    )
    submission_id, config = files.submission.id, read_config(files)
    if settings.device == "cpu":
        return XttsHostWeights(
            submission_id, config, size_bytes, partial(MappedWeights, files.paths["weights"])
        )
    pinned = pin(mapped, dtype)
    return XttsHostWeights(submission_id, config, size_bytes, lambda: pinned)


def is_matrix(name: str) -> bool:
    return name.startswith(MATRICES) and name.endswith("weight") and ".ln_" not in name


def pin(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Copies in page-locked memory, matrices already in the engine's dtype: half the bytes to transfer."""
    return {
        name: (tensor.to(dtype) if is_matrix(name) else tensor).pin_memory()
        for name, tensor in tensors.items()
    }


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
