"""Keys and values of every slot, in one pool per engine that all resident submissions share.

Two layouts hold the same numbers. `RowKVCache` is what tensor operations of any device can read with static
shapes. `PagedKVCache` is laid out for the CPU's embedding-bag kernel (see `attention.BagAttention`).
Both are allocated without being written, so on a CPU a tail that no utterance reaches costs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
        # A masked value is multiplied by zero, which would not hide an infinity of the slot's last occupant.
        self.values[layer, slot, :, length:] = 0


class PagedKVCache:
    """Pages of `PAGE_TOKENS` tokens.

    keys   [layers, slots, pages, heads, head channels, PAGE_TOKENS]: a channel of 32 tokens is contiguous
    values [layers, slots, pages, heads, PAGE_TOKENS, head channels]: a token's channels are contiguous
    """

    def __init__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> None:
        self.shape = shape
        self.pages = -(-shape.capacity // PAGE_TOKENS)
        leading = (shape.layers, shape.slots, self.pages, shape.heads)
        self.keys = torch.empty(*leading, shape.head_channels, PAGE_TOKENS, device=device, dtype=dtype)
        self.values = torch.empty(*leading, PAGE_TOKENS, shape.head_channels, device=device, dtype=dtype)

    def append(
        self, layer: int, slots: Tensor, pages: Tensor, offsets: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Write a token per slot at `offsets` [B] of `pages` [B]; keys, values [B, heads, head channels]."""
        self.keys[layer][slots, pages, :, :, offsets] = keys
        self.values[layer][slots, pages, :, offsets] = values

    def write_prompt(self, layer: int, slot: int, keys: Tensor, values: Tensor) -> None:
        """Write a slot's first T tokens: keys, values [T, heads, head channels]."""
        length, heads, channels = keys.shape
        pages = -(-length // PAGE_TOKENS)
        rounded = (pages, PAGE_TOKENS, heads, channels)
        padding = (0, 0, 0, 0, 0, pages * PAGE_TOKENS - length)
        paged_keys = torch.nn.functional.pad(keys, padding).view(rounded)
        paged_values = torch.nn.functional.pad(values, padding).view(rounded)
        self.keys[layer, slot, :pages] = paged_keys.permute(0, 2, 3, 1)
        self.values[layer, slot, :pages] = paged_values.permute(0, 2, 1, 3)
