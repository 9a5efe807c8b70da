"""A submission's weights in host memory, ready for a device.

On a CPU they stay in the store's file, which is mapped. For a CUDA device they are brought into the dtypes
and layouts that it wants, in page-locked memory. What only a voice's conditioning needs, a fifth of the
bytes, stays in the file: it is brought to the device for that, and the next submission's takes its place.
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
from providers.weight_arena import HeldTensors, WeightArena
from providers.xtts.gpt import GptWeights, prepare_gpt
from providers.xtts.latent_vocoder import prepare_vocoder

# Only these are multiplied in the engine's dtype; norms, embeddings and the conditioning stay as submitted.
MATRICES = ("gpt.gpt.h.", "hifigan_decoder.waveform_decoder.resblocks.")


@dataclass(frozen=True, slots=True, eq=False)
class XttsTensors:
    """What a submission speaks with, on one device."""

    gpt: GptWeights
    vocoder: Mapping[str, Tensor]  # as `LatentVocoder` takes them


@dataclass(frozen=True, slots=True, eq=False)
class XttsHostWeights:
    """Implements `HostWeights`."""

    submission_id: str
    config: XttsConfig
    size_bytes: int  # on the device
    # Published names, weight norm folded. Asked anew by each part that is prepared, so that a memory map
    # whose tensors one part keeps doesn't also keep the pages that another part has copied.
    tensors: Callable[[], Mapping[str, Tensor]]
    held: HeldTensors[XttsTensors] | None = None  # for a CUDA device
    shared: Mapping[str, int] = field(default_factory=dict)


def read_config(files: SubmissionFiles) -> XttsConfig:
    return msgspec.json.decode(files.paths["config"].read_bytes(), type=XttsConfig)


def read_host_weights(files: SubmissionFiles, settings: EngineSettings) -> XttsHostWeights:
    device, dtype = torch.device(settings.device), getattr(torch, settings.dtype)
    tensors = partial(MappedWeights, files.paths["weights"])
    submission_id, config = files.submission.id, read_config(files)
    if device.type == "cpu":
        return XttsHostWeights(submission_id, config, _cpu_bytes(tensors(), dtype), tensors)
    arena = WeightArena()
    held = arena.hold(prepare(tensors, config, device, dtype, arena))
    return XttsHostWeights(submission_id, config, held.size_bytes, tensors, held)


def prepare(
    tensors: Callable[[], Mapping[str, Tensor]],
    config: XttsConfig,
    device: torch.device,
    dtype: torch.dtype,
    arena: WeightArena | None = None,
) -> XttsTensors:
    """Copies of what a submission speaks with, as they are to run on a device: there, or in an arena."""
    gpt = prepare_gpt(tensors(), config, device, dtype, arena.copy if arena else None)
    vocoder = prepare_vocoder(tensors(), config.architecture, dtype)
    if arena:
        return XttsTensors(gpt, arena.copy_all(vocoder))
    return XttsTensors(gpt, {name: tensor.to(device) for name, tensor in vocoder.items()})


def is_matrix(name: str) -> bool:
    return name.startswith(MATRICES) and name.endswith("weight") and ".ln_" not in name


def _cpu_bytes(tensors: MappedWeights, dtype: torch.dtype) -> int:
    """Of all tensors: memory that a conditioning reads from the file counts too while it is mapped."""
    return sum(
        shape.numel() * (dtype if is_matrix(name) else stored).itemsize
        for name, shape, stored in tensors.describe()
    )
