"""Transformer blocks as data: what distinguishes one decoder from another is a row of options.

`run_blocks` knows nothing about caches. Prefill and decoding differ in the function that attends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from providers.decoding.linear import Linear

# (layer, queries, keys, values), each [rows, heads, head channels] → [rows, channels]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class LayerNorm:
    weight: Tensor  # [C]
    bias: Tensor  # [C]
    epsilon: float = 1e-5

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class Block:
    """One attention and one feed-forward layer. The feed-forward activation is part of `expand`."""

    attention_norm: LayerNorm
    qkv: Linear  # C → queries, keys, values, each [heads, head channels]
    attention_out: Linear
    feed_forward_norm: LayerNorm
    expand: Linear
    contract: Linear


@dataclass(frozen=True, slots=True, eq=False)
class DecoderWeights:
    """One submission's decoder on a device. Compared by identity: the engine groups slots by it.

    A token's input embedding is `token_table[token] + position_table[position]`. A latent is the last block's
    output after `final_norms`, in float32, and the head reads logits off it in float32: both are small, and
    the vocoder and the sampler are where rounding would be heard.
    """

    blocks: tuple[Block, ...]
    heads: int
    norm: Literal["pre", "post"]  # of each block: before its layers (GPT-2), or after the residual sum
    final_norms: tuple[LayerNorm, ...]  # float32
    head: Linear  # float32, C → vocabulary
    token_table: Tensor  # [vocabulary, C]
    position_table: Tensor  # [positions, C]

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """[B] and [B] → [B, C]."""
        return F.embedding(tokens, self.token_table) + F.embedding(positions, self.position_table)

    def latents(self, hidden: Tensor) -> Tensor:
        """[rows, C] in the engine's dtype → [rows, C] float32."""
        latents = hidden.float()
        for norm in self.final_norms:
            latents = norm(latents)
        return latents


def run_blocks(weights: DecoderWeights, x: Tensor, attend: Attend) -> Tensor:
    """[rows, C] → [rows, C] through all blocks."""
    run = _BLOCKS[weights.norm]
    for layer, block in enumerate(weights.blocks):
        x = run(block, weights.heads, layer, x, attend)
    return x


def _pre_norm_block(block: Block, heads: int, layer: int, x: Tensor, attend: Attend) -> Tensor:
    attended = attend(layer, *_split_heads(block.qkv(block.attention_norm(x)), heads))
    x = block.attention_out.add_to(x, attended)
    return block.contract.add_to(x, block.expand(block.feed_forward_norm(x)))


def _post_norm_block(block: Block, heads: int, layer: int, x: Tensor, attend: Attend) -> Tensor:
    attended = attend(layer, *_split_heads(block.qkv(x), heads))
    x = block.attention_norm(block.attention_out.add_to(x, attended))
    return block.feed_forward_norm(block.contract.add_to(x, block.expand(x)))


_BLOCKS = {"pre": _pre_norm_block, "post": _post_norm_block}


def _split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """[rows, 3 C] → queries, keys, values, each [rows, heads, head channels]."""
    rows, width = qkv.shape
    queries, keys, values = torch.unbind(qkv.view(rows, 3, heads, width // (3 * heads)), dim=1)
    return queries, keys, values
