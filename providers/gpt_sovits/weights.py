"""A submission's weights in host memory, ready to be prepared for a device, and what it speaks with besides.

On a CPU they stay in the store's files, which are mapped. For a CUDA device they are pinned, so that it can
copy them at full speed. Base models are read here too, because this happens beside running streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsConfig
from models_store.submission import SubmissionFiles
from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.text.front_end import phone_reader
from providers.gpt_sovits.text.reading import PhoneReader
from providers.interface import EngineSettings
from providers.mapped_weights import MappedWeights

# Only these are multiplied in the engine's dtype; all else of SoVITS is float32 on the device.
MATRICES = ("h.layers.", "dec.resblocks.")

Tensors = Callable[[], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class GptSovitsHostWeights:
    """Implements `HostWeights`."""

    submission_id: str
    config: GptSovitsConfig
    size_bytes: int  # on the device, without the base models
    shared: Mapping[str, int]  # these
    # Published names, weight norm folded. Asked anew by each part that is prepared, so that a memory map
    # whose tensors one part keeps doesn't also keep the pages that another part has copied.
    gpt: Tensors
    sovits: Tensors
    encoders: BaseEncoders
    reader: PhoneReader


def read_config(files: SubmissionFiles) -> GptSovitsConfig:
    return msgspec.json.decode(files.paths["config"].read_bytes(), type=GptSovitsConfig)


def read_host_weights(files: SubmissionFiles, settings: EngineSettings) -> GptSovitsHostWeights:
    config = read_config(files)
    device, dtype = torch.device(settings.device), getattr(torch, settings.dtype)
    gpt, sovits = files.paths["gpt_weights"], files.paths["sovits_weights"]
    wants_speaker = config.architecture.speaker_vector_channels is not None
    encoders = BaseEncoders.read(files.base_models, dtype, wants_speaker)
    return GptSovitsHostWeights(
        submission_id=files.submission.id,
        config=config,
        size_bytes=sum(_device_bytes(path, dtype) for path in (gpt, sovits)),
        shared=encoders.size_bytes,
        gpt=_tensors(gpt, device, dtype),
        sovits=_tensors(sovits, device, dtype),
        encoders=encoders,
        reader=phone_reader(config, files),
    )


def is_matrix(name: str) -> bool:
    return name.startswith(MATRICES) and name.endswith("weight") and ".norm" not in name


def _device_bytes(path: Path, dtype: torch.dtype) -> int:
    return sum(
        shape.numel() * (dtype if is_matrix(name) else torch.float32).itemsize
        for name, shape, _ in MappedWeights(path).describe()
    )


def _tensors(path: Path, device: torch.device, dtype: torch.dtype) -> Tensors:
    if device.type == "cpu":
        return partial(MappedWeights, path)
    pinned = {
        name: (tensor.to(dtype) if is_matrix(name) else tensor).pin_memory()
        for name, tensor in MappedWeights(path).items()
    }
    return lambda: pinned
