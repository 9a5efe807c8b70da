"""Keys and values of every slot, in one pool per engine that all resident submissions share.

Two layouts hold the same numbers. `RowKVCache` is what tensor operations of any device can read with static
shapes. `PagedKVCache` is laid out for the CPU's embedding-bag kernel (see `attention.BagAttention`).
Both are allocated without being written, so on a CPU a tail that no utterance reaches costs no memory.

An engine may keep keys and values in a smaller format than it computes in: `in_format`. The fused kernels'
pages and prefixes are in it; these two layouts stay in the engine's own and take what it would give back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PAGE_TOKENS = 32

# Setting → format, where it isn't the engine's own. Without a scale beside it: four octaves up or down change
# nothing of what an e4m3 loses, and neither do keys and values behind a norm (benchmarks/NOTES.md).
KV_DTYPES = {"auto": None, "fp8": torch.float8_e4m3fn}


def in_format(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x as a cache of `dtype` keeps it: the nearest number that there is, the largest where x is beyond."""
    if x.dtype == dtype:
        return x
    limit = torch.finfo(dtype).max
    return x.clamp(-limit, limit).to(dtype)


def given_back(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x as a cache of `dtype` gives it back, in its own format again."""
    return in_format(x, dtype).to(x.dtype)


@dataclass(frozen=True, slots=True)
class KVShape:
    layers: int
    heads: int
    head_channels: int
    slots: int
    capacity: int  # tokens per slot


@dataclass(frozen=True, slots=True)
class PrefixKV:
    """Keys and values of a prefix that many prompts of one submission share; copied into slots."""

    keys: Tensor  # [layers, P, heads, head channels]
    values: Tensor  # [layers, P, heads, head channels]

    @property
    def num_tokens(self) -> int:
        return self.keys.shape[1]

    @property
    def size_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class RowKVCache:
    """keys and values [layers, slots, heads, capacity, head channels]."""

    def __init__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> None:
        size = (shape.layers, shape.slots, shape.heads, shape.capacity, shape.head_channels)
        self.keys = torch.zeros(size, device=device, dtype=dtype)
        self.values = torch.zeros(size, device=device, dtype=dtype)

    def append(self, layer: int, slots: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write one token per slot: slots, positions [B]; keys, values [B, heads, head channels]."""
        self.keys[layer][slots, :, positions] = keys
        self.values[layer][slots, :, positions] = values

    def write_prompt(self, layer: int, slot: int, keys: Tensor, values: Tensor) -> None:
        """Write a slot's first T tokens: keys, values [T, heads, head channels]."""
        length = keys.shape[0]
        self.keys[layer, slot, :, :length] = keys.transpose(0, 1)
        self.values[layer, slot, :, :length] = values.transpose(0, 1)
        # Masks add minus infinity and multiply by zero: neither hides infinities of the last occupant.
        self.keys[layer, slot, :, length:] = 0
        self.values[layer, slot, :, length:] = 0


class PagedKVCache:
    """Keys in pages of `PAGE_TOKENS` tokens. What one head of a slot has cached lies in one piece.

    keys   [layers, slots, heads, pages, head channels, PAGE_TOKENS]: a channel of 32 tokens is contiguous
    values [layers, slots, heads, pages x PAGE_TOKENS, head channels]: a token's channels are contiguous
    """

    def __init__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> None:
        self.pages = -(-shape.capacity // PAGE_TOKENS)
        channels, leading = shape.head_channels, (shape.layers, shape.slots, shape.heads)
        self.keys = torch.empty(*leading, self.pages, channels, PAGE_TOKENS, device=device, dtype=dtype)
        self.values = torch.empty(*leading, self.pages * PAGE_TOKENS, channels, device=device, dtype=dtype)
        self.key_pages = self.keys.view(shape.layers, -1, channels, PAGE_TOKENS)
        self.key_rows = self.keys.view(shape.layers, -1, PAGE_TOKENS)
        self.value_rows = self.values.view(shape.layers, -1, channels)

    def append(
        self, layer: int, pages: Tensor, offsets: Tensor, value_rows: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Write one token per slot: keys, values [B, heads, head channels] at `offsets` of `key_pages` and at
        `value_rows`, each [B x heads]."""
        channels = keys.shape[-1]
        self.key_pages[layer][pages, :, offsets] = keys.reshape(-1, channels)
        self.value_rows[layer][value_rows] = values.reshape(-1, channels)

    def write_prompt(self, layer: int, slot: int, keys: Tensor, values: Tensor) -> None:
        """Write a slot's first T tokens: keys, values [T, heads, head channels]."""
        length, heads, channels = keys.shape
        count = -(-length // PAGE_TOKENS)
        padded = F.pad(keys, (0, 0, 0, 0, 0, count * PAGE_TOKENS - length))
        paged = padded.view(count, PAGE_TOKENS, heads, channels).permute(2, 0, 3, 1)
        self.keys[layer, slot, :, :count] = paged
        self.values[layer, slot, :, :length] = values.transpose(0, 1)
