"""A small random decoder: two layers of 48 channels, 40 tokens, enough for every path of the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from providers.decoding.blocks import Block, DecoderWeights, LayerNorm
from providers.decoding.decoder import Decoder, DecoderSpec, PrefillInput
from providers.decoding.linear import Activation, Linear, prepare_linear
from providers.interface import SamplingParams

CPU = torch.device("cpu")
SPEC = DecoderSpec(layers=2, channels=48, heads=3, vocabulary=40, stop_token=39, max_prompt=70, max_tokens=50)

MakeWeights = Callable[..., DecoderWeights]
MakeDecoder = Callable[..., Decoder]
MakePrompt = Callable[..., PrefillInput]


@pytest.fixture(scope="session")
def spec() -> DecoderSpec:
    return SPEC


@pytest.fixture(scope="session")
def make_weights() -> MakeWeights:
    return _make_weights


@pytest.fixture(scope="session")
def weights() -> DecoderWeights:
    return _make_weights(seed=0)


@pytest.fixture(scope="session")
def make_decoder() -> MakeDecoder:
    def make(
        num_slots: int = 4,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
        spec: DecoderSpec = SPEC,
        **parts,
    ) -> Decoder:
        return Decoder(spec, num_slots, device, dtype, **parts)

    return make


@pytest.fixture(scope="session")
def make_prompt() -> MakePrompt:
    return _make_prompt


def _make_weights(
    seed: int, dtype: torch.dtype = torch.float32, device: torch.device = CPU, norm: str = "pre",
    activation: Activation = "gelu_tanh", stop_bias: float = 0.0,
) -> DecoderWeights:  # fmt: skip
    """`stop_bias` raises the stop token's logit."""
    generator = torch.Generator().manual_seed(seed)
    channels, vocabulary = SPEC.channels, SPEC.vocabulary

    def random(*size: int, scale: float = 1.0) -> Tensor:
        return torch.randn(size, generator=generator) * scale

    def layer_norm(dtype: torch.dtype = dtype) -> LayerNorm:
        tensors = 1 + random(channels, scale=0.1), random(channels, scale=0.1)
        return LayerNorm(*(tensor.to(device, dtype) for tensor in tensors))

    def linear(inputs: int, outputs: int, activation: Activation = "none") -> Linear:
        weight, bias = random(inputs, outputs, scale=1.5 * inputs**-0.5), random(outputs, scale=0.1)
        return prepare_linear(weight, bias, device, dtype, activation)

    def block() -> Block:
        return Block(
            attention_norm=layer_norm(),
            qkv=linear(channels, 3 * channels),
            attention_out=linear(channels, channels),
            feed_forward_norm=layer_norm(),
            expand=linear(channels, 4 * channels, activation),
            contract=linear(4 * channels, channels),
        )

    head_bias = torch.zeros(vocabulary)
    head_bias[SPEC.stop_token] = stop_bias
    return DecoderWeights(
        blocks=tuple(block() for _ in range(SPEC.layers)),
        heads=SPEC.heads,
        norm=norm,  # type: ignore[arg-type]
        final_norms=(layer_norm(torch.float32), layer_norm(torch.float32)),
        head=prepare_linear(random(channels, vocabulary, scale=0.4), head_bias, device, torch.float32),
        token_table=random(vocabulary, channels).to(device, dtype),
        position_table=random(SPEC.max_tokens + 2, channels, scale=0.5).to(device, dtype),
    )


def _make_prompt(
    weights: DecoderWeights,
    length: int = 9,
    seed: int = 0,
    index: int = 0,
    bidirectional: int = 0,
    **sampling: float,
) -> PrefillInput:
    """A random prompt of `length` inputs; `sampling` replaces fields of plain drawing."""
    generator = torch.Generator().manual_seed(1000 + length)
    plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "max_tokens": 24}
    return PrefillInput(
        weights=weights,
        embeddings=torch.randn(length, SPEC.channels, generator=generator).to(weights.token_table),
        position=1,
        seen=(1, 2),
        sampling=SamplingParams(**plain | sampling, seed=seed),
        utterance_index=index,
        bidirectional=bidirectional,
    )
