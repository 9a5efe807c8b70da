"""Blocks against torch's own transformer layers, which know both places for the norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from providers.decoding.attention import attend_prompt, prompt_visibility
from providers.decoding.blocks import Block, DecoderWeights, LayerNorm, run_blocks
from providers.decoding.linear import prepare_linear

CPU = torch.device("cpu")
CHANNELS, HEADS = 32, 4
ACTIVATIONS = {"relu": F.relu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}


def block_of(layer: nn.TransformerEncoderLayer, activation: str) -> Block:
    def linear(weight, bias, activation="none"):
        return prepare_linear(weight.detach().t(), bias.detach(), CPU, torch.float32, activation)

    def norm(module):
        return LayerNorm(module.weight.detach(), module.bias.detach())

    attention = layer.self_attn
    return Block(
        attention_norm=norm(layer.norm1),
        qkv=linear(attention.in_proj_weight, attention.in_proj_bias),
        attention_out=linear(attention.out_proj.weight, attention.out_proj.bias),
        feed_forward_norm=norm(layer.norm2),
        expand=linear(layer.linear1.weight, layer.linear1.bias, activation),
        contract=linear(layer.linear2.weight, layer.linear2.bias),
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_blocks_are_transformer_layers(norm, activation):
    torch.manual_seed(0)
    layers = [
        nn.TransformerEncoderLayer(
            CHANNELS,
            HEADS,
            4 * CHANNELS,
            0.0,
            ACTIVATIONS[activation],
            batch_first=True,
            norm_first=norm == "pre",
        )
        for _ in range(3)
    ]
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.3)
    x = torch.randn(11, CHANNELS)
    expected = x[None]
    mask = nn.Transformer.generate_square_subsequent_mask(11)
    for layer in layers:
        expected = layer(expected, src_mask=mask, is_causal=True)
    weights = DecoderWeights(
        blocks=tuple(block_of(layer, activation) for layer in layers),
        heads=HEADS,
        norm=norm,
        final_norms=(),
        head=prepare_linear(torch.zeros(CHANNELS, 2), torch.zeros(2), CPU, torch.float32),
        token_table=torch.zeros(2, CHANNELS),
        position_table=torch.zeros(2, CHANNELS),
    )
    is_visible = prompt_visibility(11, 11, 0, CPU)
    with torch.inference_mode():
        actual = run_blocks(weights, x, lambda layer, q, k, v: attend_prompt(q, k, v, is_visible))
    torch.testing.assert_close(actual, expected[0].detach(), rtol=0, atol=2e-5)
