"""A submission's weights in host memory, ready for a device, and what it speaks with besides.

On a CPU they stay in the store's files, which are mapped. For a CUDA device they are brought into the dtypes
and layouts that it wants, in page-locked memory. What only a voice's conditioning needs, a quarter of a
v2Pro's bytes, stays in the file: it is brought to the device for that, and the next submission's takes its
place. Base models are read here too, because this happens beside running streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec
import torch
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture, GptSovitsConfig
from models_store.submission import SubmissionFiles
from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.reference import PREFIXES as REFERENCE_PREFIXES
from providers.gpt_sovits.sovits import GENERATOR_PREFIX, prepare_generator
from providers.gpt_sovits.t2s import TextToSemanticWeights, prepare_text_to_semantic
from providers.gpt_sovits.text.front_end import phone_reader
from providers.gpt_sovits.text.reading import PhoneReader
from providers.interface import EngineSettings
from providers.mapped_weights import MappedWeights
from providers.weight_arena import HeldTensors, WeightArena

# Only these are multiplied in the engine's dtype; all else of SoVITS is float32 on the device.
MATRICES = ("h.layers.", "dec.resblocks.")

Tensors = Callable[[], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class GptSovitsTensors:
    """What a submission speaks with, on one device."""

    text_to_semantic: TextToSemanticWeights
    sovits: Mapping[str, Tensor]  # float32, by published name, without the generator's
    generator: Mapping[str, Tensor]  # as `HifiganGenerator` takes them


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
    held: HeldTensors[GptSovitsTensors] | None = None  # for a CUDA device


def read_config(files: SubmissionFiles) -> GptSovitsConfig:
    return msgspec.json.decode(files.paths["config"].read_bytes(), type=GptSovitsConfig)


def read_host_weights(files: SubmissionFiles, settings: EngineSettings) -> GptSovitsHostWeights:
    config = read_config(files)
    device, dtype = torch.device(settings.device), getattr(torch, settings.dtype)
    gpt, sovits = (partial(MappedWeights, files.paths[role]) for role in ("gpt_weights", "sovits_weights"))
    held = None
    if device.type != "cpu":
        arena = WeightArena()
        held = arena.hold(prepare(gpt, sovits, config.architecture, device, dtype, arena))
    wants_speaker = config.architecture.speaker_vector_channels is not None
    encoders = BaseEncoders.read(files.base_models, dtype, wants_speaker)
    return GptSovitsHostWeights(
        submission_id=files.submission.id,
        config=config,
        size_bytes=held.size_bytes if held else sum(_cpu_bytes(read(), dtype) for read in (gpt, sovits)),
        shared=encoders.size_bytes,
        gpt=gpt,
        sovits=sovits,
        encoders=encoders,
        reader=phone_reader(config, files),
        held=held,
    )


def prepare(
    gpt: Tensors,
    sovits: Tensors,
    architecture: GptSovitsArchitecture,
    device: torch.device,
    dtype: torch.dtype,
    arena: WeightArena | None = None,
) -> GptSovitsTensors:
    """Copies of what a submission speaks with, as they are to run on a device: there, or in an arena."""
    text_to_semantic = prepare_text_to_semantic(
        gpt(), architecture.text_to_semantic, device, dtype, arena.copy if arena else None
    )
    generator = prepare_generator(sovits(), architecture, dtype)
    mapped = sovits()
    others = {
        name: mapped[name].float()
        for name in mapped
        if not name.startswith((GENERATOR_PREFIX, *REFERENCE_PREFIXES))
    }
    if arena:
        return GptSovitsTensors(text_to_semantic, arena.copy_all(others), arena.copy_all(generator))
    return GptSovitsTensors(
        text_to_semantic,
        {name: tensor.to(device) for name, tensor in others.items()},
        {name: tensor.to(device) for name, tensor in generator.items()},
    )


def is_matrix(name: str) -> bool:
    return name.startswith(MATRICES) and name.endswith("weight") and ".norm" not in name


def _cpu_bytes(tensors: MappedWeights, dtype: torch.dtype) -> int:
    """Of all tensors: memory that a conditioning reads from the file counts too while it is mapped."""
    return sum(
        shape.numel() * (dtype if is_matrix(name) else torch.float32).itemsize
        for name, shape, _ in tensors.describe()
    )
