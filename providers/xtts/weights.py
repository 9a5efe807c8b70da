"""A submission's weights in host memory, ready to be prepared for a device.

On a CPU they stay in the store's file, which is mapped. For a CUDA device they are pinned, so that it can
copy them at full speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec
import torch
from torch import Tensor

from models_store.checkpoints.architecture import XttsConfig
from models_store.submission import SubmissionFiles
from providers.interface import EngineSettings
from providers.mapped_weights import MappedWeights

# Only these are multiplied in the engine's dtype; norms, embeddings and the conditioning stay as submitted.
MATRICES = ("gpt.gpt.h.", "hifigan_decoder.waveform_decoder.resblocks.")


@dataclass(frozen=True, slots=True, eq=False)
class XttsHostWeights:
    """Implements `HostWeights`."""

    submission_id: str
    config: XttsConfig
    size_bytes: int  # on the device
    # Published names, weight norm folded. Asked anew by each part that is prepared, so that a memory map
    # whose tensors one part keeps doesn't also keep the pages that another part has copied.
    tensors: Callable[[], Mapping[str, Tensor]]
    shared: Mapping[str, int] = field(default_factory=dict)


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
