"""Keys and values of every slot, in one pool per engine that all resident submissions share.

Two layouts hold the same numbers. `RowKVCache` is what tensor operations of any device can read with static
shapes. `PagedKVCache` is laid out for the CPU's embedding-bag kernel (see `attention.BagAttention`).
Both are allocated without being written, so on a CPU a tail that no utterance reaches costs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PAGE_TOKENS = 32


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
    """Pages of `PAGE_TOKENS` tokens; slot s owns pages [s * pages_per_slot, (s + 1) * pages_per_slot).

    keys   [layers, pages, heads, head channels, PAGE_TOKENS]: a channel of 32 tokens is contiguous
    values [layers, pages, heads, PAGE_TOKENS, head channels]: a token's channels are contiguous
    """

    def __init__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> None:
        self.pages_per_slot = -(-shape.capacity // PAGE_TOKENS)
        leading = (shape.layers, shape.slots * self.pages_per_slot, shape.heads)
        self.keys = torch.empty(*leading, shape.head_channels, PAGE_TOKENS, device=device, dtype=dtype)
        self.values = torch.empty(*leading, PAGE_TOKENS, shape.head_channels, device=device, dtype=dtype)
        self.key_rows = self.keys.view(shape.layers, -1, PAGE_TOKENS)
        self.value_rows = self.values.view(shape.layers, -1, shape.head_channels)

    def append(
        self, layer: int, pages: Tensor, offsets: Tensor, value_rows: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Write one token per slot: keys, values [B, heads, head channels] at `offsets` [B] of `pages` [B],
        which for the values are `value_rows` [B x heads]."""
        self.keys[layer][pages, :, :, offsets] = keys
        self.value_rows[layer][value_rows] = values.reshape(-1, values.shape[-1])

    def write_prompt(self, layer: int, slot: int, keys: Tensor, values: Tensor) -> None:
        """Write a slot's first T tokens: keys, values [T, heads, head channels]."""
        length, heads, channels = keys.shape
        count = -(-length // PAGE_TOKENS)
        pages = slice(slot * self.pages_per_slot, slot * self.pages_per_slot + count)
        paged = (count, PAGE_TOKENS, heads, channels)
        padding = (0, 0, 0, 0, 0, count * PAGE_TOKENS - length)
        self.keys[layer, pages] = F.pad(keys, padding).view(paged).permute(0, 2, 3, 1)
        self.values[layer, pages] = F.pad(values, padding).view(paged).permute(0, 2, 1, 3)
