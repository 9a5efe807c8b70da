"""Attention of one new token per slot over what the slot has cached, and of whole prompts.

A step first makes a plan (what to write and read, the same for every layer), then attends once per layer.

- `RowAttention`: static shapes for CUDA graphs. Every slot reads up to the step's bound; what it has not
  written is masked.
- `BagAttention`: reads live tokens only. A single query makes attention two weighted sums of rows,
  scores = sum_d q[d] K^T[d] and out = sum_t p[t] V[t], which is what an embedding bag computes, with ragged
  lengths, at the speed of memory, in one call for all slots and heads. Against scaled_dot_product_attention
  slot by slot (8 slots of 200 tokens, 30 layers of 16 heads, one thread; benchmarks/cpu_kernels.py): 37 ms
  instead of 41 in float32, 22 instead of 91 in bfloat16.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from providers.decoding.kv_cache import PAGE_TOKENS, KVShape, PagedKVCache, RowKVCache


class Attention(Protocol):
    """Owns the KV pool of one engine. What a plan holds is its own business."""

    def plan(self, slots: Tensor, lengths: Tensor, bound: int) -> Any:
        """For one new token per slot. slots, lengths (tokens cached so far) [B]; no slot exceeds `bound`
        tokens with the new one."""

    def __call__(self, layer: int, plan: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Cache the new keys and values and attend: each [B, heads, head channels] → [B, channels]."""

    def write_prompt(self, layer: int, slot: int, keys: Tensor, values: Tensor) -> None:
        """Cache a slot's first T tokens: [T, heads, head channels]."""


class AttentionFactory(Protocol):
    def __call__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> Attention: ...


class RowPlan(NamedTuple):
    slots: Tensor  # [B]
    positions: Tensor  # [B] of the new token
    is_live: Tensor  # [B, 1, 1, bound]
    bound: int


class RowAttention:
    def __init__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> None:
        self._cache = RowKVCache(shape, device, dtype)
        self.write_prompt = self._cache.write_prompt

    def plan(self, slots: Tensor, lengths: Tensor, bound: int) -> RowPlan:
        is_live = torch.arange(bound, device=slots.device) <= lengths[:, None]
        return RowPlan(slots, lengths, is_live[:, None, None], bound)

    def __call__(self, layer: int, plan: RowPlan, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self._cache.append(layer, plan.slots, plan.positions, keys, values)
        attended = F.scaled_dot_product_attention(
            queries[:, :, None],
            self._cache.keys[layer, :, :, : plan.bound].index_select(0, plan.slots),
            self._cache.values[layer, :, :, : plan.bound].index_select(0, plan.slots),
            attn_mask=plan.is_live,
        )
        return attended.reshape(len(queries), -1)  # [B, heads, 1, head channels] → [B, C]


class BagPlan(NamedTuple):
    """Where the bags' rows are. B slots, H heads, P pages of the longest; ragged axes are concatenated."""

    pages: Tensor  # [B H] of the new token
    offsets: Tensor  # [B H] of the new token in its page
    new_value_rows: Tensor  # [B H]
    query_of_page: Tensor  # [H x live pages] row of queries [B H, head channels]
    key_rows: Tensor  # [H x live pages x head channels]
    key_bags: Tensor  # [B H P] first index of each bag; a page that a slot has not reached is an empty bag
    is_dead: Tensor  # [B, 1, P x PAGE_TOKENS]
    live_scores: Tensor  # [H x live tokens] of scores [B H P PAGE_TOKENS]
    value_rows: Tensor  # [H x live tokens]
    value_bags: Tensor  # [B H]


class BagAttention:
    def __init__(self, shape: KVShape, device: torch.device, dtype: torch.dtype) -> None:
        self._cache = PagedKVCache(shape, device, dtype)
        self._heads, self._head_channels = shape.heads, shape.head_channels
        self.write_prompt = self._cache.write_prompt

    def plan(self, slots: Tensor, lengths: Tensor, bound: int) -> BagPlan:
        heads, pages_per_head = self._heads, self._cache.pages
        live = (lengths + 1)[:, None, None]  # tokens, with the new one
        most_pages = -(-int(live.max()) // PAGE_TOKENS)
        page, token = torch.arange(most_pages), torch.arange(most_pages * PAGE_TOKENS)
        first_page = (slots[:, None] * heads + torch.arange(heads)) * pages_per_head  # [B, H]
        pages = (first_page[..., None] + page).reshape(-1)
        value_rows = (first_page[..., None] * PAGE_TOKENS + token).reshape(-1)
        page_is_live = (page * PAGE_TOKENS < live).expand(-1, heads, -1).reshape(-1)
        token_is_live = token < live  # [B, 1, tokens]
        live_pages = page_is_live.nonzero()[:, 0]
        live_scores = token_is_live.expand(-1, heads, -1).reshape(-1).nonzero()[:, 0]
        new_page, new_offset = lengths[:, None] // PAGE_TOKENS, lengths % PAGE_TOKENS
        return BagPlan(
            pages=(first_page + new_page).reshape(-1),
            offsets=new_offset.repeat_interleave(heads),
            new_value_rows=(first_page * PAGE_TOKENS + lengths[:, None]).reshape(-1),
            query_of_page=live_pages // most_pages,
            key_rows=_rows(pages[live_pages], self._head_channels),
            key_bags=_bag_starts(page_is_live * self._head_channels),
            is_dead=~token_is_live,
            live_scores=live_scores,
            value_rows=value_rows[live_scores].to(torch.int32),
            value_bags=_bag_starts(live.reshape(-1).repeat_interleave(heads)),
        )

    def __call__(self, layer: int, plan: BagPlan, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        cache = self._cache
        cache.append(layer, plan.pages, plan.offsets, plan.new_value_rows, keys, values)
        batch, heads, channels = queries.shape
        queries = (queries * channels**-0.5).view(batch * heads, channels)
        scores = _weighted_sums(
            cache.key_rows[layer], plan.key_rows, plan.key_bags, queries.index_select(0, plan.query_of_page)
        ).view(batch, heads, -1)
        weights = scores.masked_fill_(plan.is_dead, -torch.inf).softmax(dim=-1)
        attended = _weighted_sums(
            cache.value_rows[layer],
            plan.value_rows,
            plan.value_bags,
            weights.view(-1).index_select(0, plan.live_scores),
        )
        return attended.view(batch, heads * channels)


def _rows(first: Tensor, count: int) -> Tensor:
    """Blocks of `count` consecutive rows: [n] block numbers → [n x count] row numbers."""
    return (first[:, None] * count + torch.arange(count)).reshape(-1).to(torch.int32)


def _bag_starts(sizes: Tensor) -> Tensor:
    return (sizes.cumsum(0) - sizes).to(torch.int32)


def _weighted_sums(table: Tensor, rows: Tensor, bags: Tensor, weights: Tensor) -> Tensor:
    """sum of weights[i] * table[rows[i]] over each bag: [bags, row width]. An empty bag sums to zero."""
    sums, _, _, _ = torch.embedding_bag(table, rows, bags, False, 0, False, weights.view(-1), False)
    return sums


def prompt_visibility(tokens: int, total: int, bidirectional: int, device: torch.device) -> Tensor:
    """Which of a prompt's S tokens each of its last T sees: [T, S] bool.

    All before it and itself; the first `bidirectional` of the T also see each other.
    """
    past = total - tokens
    is_visible = torch.ones(tokens, total, dtype=torch.bool, device=device).tril_(past)
    is_visible[:, : past + bidirectional] = True
    return is_visible


def attend_prompt(queries: Tensor, keys: Tensor, values: Tensor, is_visible: Tensor) -> Tensor:
    """Attention of a prompt's last T tokens over those of its S tokens that they see.

    queries [T, heads, head channels], keys and values [S, heads, head channels], is_visible [T, S]
    → [T, channels].
    """
    attended = F.scaled_dot_product_attention(
        queries.transpose(0, 1)[None],
        keys.transpose(0, 1)[None],
        values.transpose(0, 1)[None],
        attn_mask=is_visible,
    )
    return attended[0].transpose(0, 1).reshape(len(queries), -1)
