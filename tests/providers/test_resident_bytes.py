"""How many submissions of the published sizes fit a device: counted on tensors without values."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.random_gpt_sovits import full_architecture
from benchmarks.random_xtts import FULL, gpt_shapes, speaker_encoder_shapes, vocoder_shapes
from models_store.checkpoints.gpt_sovits_tensors import sovits_shapes, text_to_semantic_shapes
from models_store.checkpoints.xtts_config import PublishedConfig
from models_store.checkpoints.xtts_tensors import expected_shapes, read_architecture
from providers.gpt_sovits import weights as gpt_sovits
from providers.gpt_sovits.t2s import decoder_spec
from providers.weight_arena import WeightArena
from providers.xtts import weights as xtts
from providers.xtts.conditioning import conditioning_weights

CUDA = torch.device("cuda:0")
H200_BYTES = 150e9  # as its driver says
WORKING_BYTES = 12e9  # activations, latents, graphs, the context, base models
KV_BYTES = 37.5e9  # a quarter: of a thousand streams of XTTS


def valueless(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return tensors | {name: torch.ones(1) for name in shapes if name.endswith(".alpha")}


def arena() -> WeightArena:
    return WeightArena(lambda size: torch.empty(size, dtype=torch.uint8, device="meta"))


@pytest.fixture(scope="module")
def xtts_tensors() -> tuple[Any, dict[str, Tensor]]:
    """Config and tensors of the published XTTS-v2."""
    prefixes = {"gpt.": gpt_shapes, "hifigan_decoder.waveform_decoder.": vocoder_shapes}
    prefixes["hifigan_decoder.speaker_encoder."] = speaker_encoder_shapes
    written = {prefix + name: shape for prefix, of in prefixes.items() for name, shape in of(FULL)}
    architecture = read_architecture(written, PublishedConfig({}, ()))
    config = SimpleNamespace(architecture=architecture, start_text_token=261, stop_text_token=0)
    return config, valueless(expected_shapes(architecture, FULL.text_tokens))


def test_an_xtts_takes_what_it_speaks_with_and_120_fit(xtts_tensors: Any) -> None:
    config, tensors = xtts_tensors
    here = arena()
    held = here.hold(xtts.prepare(lambda: tensors, config, CUDA, torch.bfloat16, here))
    assert 0.825e9 < held.size_bytes < 0.835e9
    assert 120 * held.size_bytes < H200_BYTES - KV_BYTES - WORKING_BYTES
    hears = sum(tensor.nbytes for tensor in conditioning_weights(tensors).values())
    assert 0.21e9 < hears < 0.22e9, "that much more it would take with what only conditioning needs"


@pytest.mark.parametrize(
    ("variant", "most_bytes", "fit"),
    [("v2", 0.300e9, 335), ("v2Pro", 0.315e9, 319), ("v2ProPlus", 0.362e9, 278)],
)
def test_a_gpt_sovits_takes_what_it_speaks_with(variant: str, most_bytes: float, fit: int) -> None:
    size_bytes = gpt_sovits_bytes(variant)
    assert most_bytes - 0.005e9 < size_bytes < most_bytes
    assert fit * size_bytes < H200_BYTES - KV_BYTES - WORKING_BYTES


def test_400_gpt_sovits_fit_beside_128_slots() -> None:
    architecture = full_architecture("v2").text_to_semantic
    token_bytes = 2 * architecture.layers * architecture.channels * 2
    slots_bytes = 128 * decoder_spec(architecture).capacity * token_bytes
    assert 400 * gpt_sovits_bytes("v2") < H200_BYTES - slots_bytes - WORKING_BYTES


def gpt_sovits_bytes(variant: str) -> int:
    architecture = full_architecture(variant)
    gpt = valueless(text_to_semantic_shapes(architecture.text_to_semantic))
    sovits = valueless(sovits_shapes(architecture))
    here = arena()
    prepared = gpt_sovits.prepare(lambda: gpt, lambda: sovits, architecture, CUDA, torch.bfloat16, here)
    return here.hold(prepared).size_bytes
