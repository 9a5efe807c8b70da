"""Decoding with fused kernels: all submissions of an engine in one pass, five kernels per block, one set of
graphs for whoever is resident.

What a step depends on lies in static tensors on the device: the slots' state, their pages, the addresses of
the residents' weights, and a small matrix that says which rows there are. Graphs are captured at warm-up, one
per number of tiles, and hold whatever comes and goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from providers.decoding import draw_kernel, kernels
from providers.decoding.backend import BackendOptions
from providers.decoding.blocks import DecoderWeights
from providers.decoding.kv_cache import in_format
from providers.decoding.kv_pages import PAGE_TOKENS, SCRATCH_PAGE, PagePool
from providers.decoding.linear import DenseLinear
from providers.decoding.row_tiles import LARGE_TILE, SMALL_TILE, Tiles, bring_into_tiles
from providers.decoding.spec import DecoderSpec, PrefillInput
from providers.decoding.state import FULL, RUNNING, STOPPED, SlotState
from providers.decoding.step_graph import capture
from providers.decoding.weight_table import (
    ATTENTION_NORM,
    ATTENTION_OUT,
    CONTRACT,
    EXPAND,
    FEED_FORWARD_NORM,
    FIELDS_PER_BLOCK,
    MAX_RESIDENTS,
    QKV,
    WeightTable,
)

NO_NORM = -1
# Utterances are expected to become as long as half of what they could: 14 s of XTTS's 28.
EXPECTED_SHARE = 0.5
MOST_WARM_TILES = 64

_DTYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16}


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut for the device: bytes of inputs and numbers of outputs at a time."""

    block_in_bytes: int
    block_out: int
    num_warps: int
    num_stages: int


# A step of few rows waits for weights: many small programs, each with 32 to 48 KiB of them on their way. One
# of many rows reuses them: larger squares.
TILINGS = {SMALL_TILE: Tiling(512, 32, 4, 3), LARGE_TILE: Tiling(128, 64, 4, 4)}


@dataclass(frozen=True, slots=True)
class Model:
    """What all submissions of an engine have in common beside the spec."""

    is_pre_norm: bool
    activation: str
    feed_forward: int  # channels
    final_norms: int
    epsilon: float

    @staticmethod
    def of(weights: DecoderWeights) -> Model:
        expand = weights.blocks[0].expand
        assert isinstance(expand, DenseLinear)
        return Model(
            is_pre_norm=weights.norm == "pre",
            activation=expand.activation,
            feed_forward=expand.weight.shape[1],
            final_norms=len(weights.final_norms),
            epsilon=weights.blocks[0].attention_norm.epsilon,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Which token of which slot each row is, and whose weights each tile takes."""

    slots: Tensor  # [rows]
    positions: Tensor  # [rows]
    visible: Tensor  # [rows] tokens that it attends to
    residents: Tensor  # [tiles]
    tile: int


@dataclass(slots=True, eq=False)
class _StaticPass:
    """A captured pass and what it reads: `table` [4, rows] (slots, positions, visible, residents)."""

    table: Tensor
    inputs: Tensor  # [rows, C]; a decode step takes the slots' own instead
    replay: Callable[[], None]
    filled_with: NDArray[np.int64] | None = None


class FusedBackend:
    """Implements `Backend`."""

    def __init__(
        self, spec: DecoderSpec, device: torch.device, dtype: torch.dtype, options: BackendOptions
    ) -> None:
        self._spec, self._device, self._dtype = spec, device, dtype
        self._kv_dtype = spec.kv_dtype or dtype
        self._captures = options.use_graphs and device.type == "cuda"
        self.num_slots = options.num_slots
        slots = self.num_slots + 1
        self.state = SlotState(slots, spec.max_tokens, spec.vocabulary, spec.channels, device, dtype)
        self._pool = PagePool(self._affordable_pages(options), _pages_of(spec))
        size = (spec.layers, self._pool.num_pages + 1, spec.heads, PAGE_TOKENS, spec.head_channels)
        self._keys = torch.empty(size, device=device, dtype=self._kv_dtype)
        self._values = torch.empty(size, device=device, dtype=self._kv_dtype)
        self._pages = torch.full(
            (slots, self._pool.most_pages), SCRATCH_PAGE, dtype=torch.int32, device=device
        )
        self._passes: dict[tuple[bool, int, int], _StaticPass] = {}
        self._graph_pool = torch.cuda.graph_pool_handle() if self._captures else None
        self._model: Model | None = None
        self._weights: WeightTable

    # Backend

    def warm_up(self, weights: DecoderWeights) -> None:
        """Compile every kernel and capture every graph that common numbers of rows need."""
        if self._model is not None or not self._captures:
            return
        column = self._column(weights)
        tiles = 1
        while tiles <= min(self.num_slots, MOST_WARM_TILES):
            for rows in (SMALL_TILE, LARGE_TILE):
                if tiles * rows <= 2 * max(self.num_slots, LARGE_TILE):
                    layout = Tiles([-1] * tiles * rows, [column] * tiles, rows)
                    self._static_pass(layout, is_prefill=False)
                    self._static_pass(layout, is_prefill=True)
            tiles *= 2

    def hold(self, slot: int, tokens: int) -> bool:
        held = len(self._pool.pages(slot))
        if not self._pool.hold(slot, tokens):
            return False
        pages = self._pool.pages(slot)
        if len(pages) != held:
            # The whole row: behind its end there may be pages that belong to others by now.
            row = [*pages, *[SCRATCH_PAGE] * (self._pool.most_pages - len(pages))]
            self._pages[slot] = torch.tensor(row, dtype=torch.int32).to(self._device, non_blocking=True)
        return True

    def room(self) -> int:
        spec = self._spec
        return self._pool.room(int(EXPECTED_SHARE * (spec.max_prompt + spec.max_tokens)))

    def cache_prompts(self, prompts: Mapping[int, PrefillInput]) -> None:
        for slot, prompt in prompts.items():
            self._copy_prefix(slot, prompt)
        by_column = _group(prompts, lambda slot: self._column(prompts[slot].weights))
        ordered = [(slot, prompts[slot]) for slots in by_column.values() for slot in slots]
        layout = bring_into_tiles(
            {column: sum(prompts[slot].num_run for slot in slots) for column, slots in by_column.items()}
        )
        inputs = torch.cat([prompt.embeddings[: prompt.num_run] for _, prompt in ordered])
        static = self._static_pass(layout, is_prefill=True)
        is_row = torch.tensor([row >= 0 for row in layout.rows]).nonzero()[:, 0].to(self._device)
        static.inputs.index_copy_(0, is_row, inputs.to(self._dtype))
        self._fill(static, layout, np.concatenate([_prompt_rows(*one) for one in ordered], axis=1))
        static.replay()

    def run(self, groups: Mapping[DecoderWeights, Sequence[int]], steps: int, longest: int) -> None:
        by_column = {self._column(weights): slots for weights, slots in groups.items()}
        layout = bring_into_tiles({column: len(slots) for column, slots in by_column.items()})
        slots = np.array([slot for group in by_column.values() for slot in group])
        static = self._static_pass(layout, is_prefill=False)
        self._fill(static, layout, np.stack((slots, slots * 0, slots * 0 + 1)))
        for _ in range(steps):
            static.replay()

    def release(self, slot: int) -> None:
        self._pool.release(slot)

    def forget(self, weights: DecoderWeights) -> None:
        if self._model is not None:
            self._weights.forget(weights)

    # Rows

    def _column(self, weights: DecoderWeights) -> int:
        if self._model is None:
            self._model = Model.of(weights)
            self._weights = WeightTable(self._spec.layers, self._model.final_norms, self._device)
        return self._weights.column(weights)

    def _static_pass(self, layout: Tiles, is_prefill: bool) -> _StaticPass:
        key = (is_prefill, len(layout.owners), layout.tile_rows)
        if key not in self._passes:
            self._passes[key] = self._prepare(layout, is_prefill)
        return self._passes[key]

    def _prepare(self, layout: Tiles, is_prefill: bool) -> _StaticPass:
        rows, tiles = len(layout.rows), len(layout.owners)
        table = torch.zeros(4, rows, dtype=torch.int64, device=self._device)
        inputs = torch.zeros(rows, self._spec.channels, dtype=self._dtype, device=self._device)
        run = _Rows(table[0], table[1], table[2], table[3, :tiles], layout.tile_rows)
        step = partial(self._prefill, inputs, run) if is_prefill else partial(self._decode, run)
        static = _StaticPass(table, inputs, step)
        self._fill(static, layout._replace(rows=[-1] * rows), np.zeros((3, 0), np.int64))
        if self._captures:
            static.replay = capture(step, self._device, self._graph_pool)
        return static

    def _fill(self, static: _StaticPass, layout: Tiles, rows: NDArray[np.int64]) -> None:
        """Say which rows there are: `rows` [3, n] slots, positions, visible. All others are scratch."""
        filled = np.zeros((4, len(layout.rows)), np.int64)
        filled[0], filled[2] = self.num_slots, 1
        number = np.array(layout.rows)
        filled[:3, number >= 0] = rows
        filled[3, : len(layout.owners)] = layout.owners
        if static.filled_with is None or not np.array_equal(static.filled_with, filled):
            static.table.copy_(torch.from_numpy(filled), non_blocking=True)
            static.filled_with = filled

    def _copy_prefix(self, slot: int, prompt: PrefillInput) -> None:
        if prompt.prefix is None:
            return
        token = torch.arange(prompt.prefix_tokens, device=self._device)
        page, offset = self._pages[slot, token // PAGE_TOKENS].long(), token % PAGE_TOKENS
        for pages, part in ((self._keys, prompt.prefix.keys), (self._values, prompt.prefix.values)):
            # As bytes: not every operation of torch knows every format.
            kept = in_format(part, self._kv_dtype).view(torch.uint8)
            pages.view(torch.uint8)[:, page, :, offset] = kept.transpose(0, 1)

    # Passes

    def _prefill(self, inputs: Tensor, rows: _Rows) -> None:
        self._blocks(inputs, rows)

    def _decode(self, rows: _Rows) -> None:
        state = self.state
        cached = state.cached[rows.slots]
        now = _Rows(rows.slots, cached, cached + 1, rows.residents, rows.tile)
        latents = self._latents(self._blocks(state.next_input[rows.slots], now), now)
        logits = latents.new_empty(len(latents), self._spec.vocabulary)
        self._linear(now, latents, logits, self._weights.head)
        draw_fused(
            state,
            self._spec,
            rows.slots,
            latents,
            logits,
            self._weights.addresses,
            rows.residents,
            self._weights.embeddings,
            rows.tile,
        )

    def _blocks(self, x: Tensor, rows: _Rows) -> Tensor:
        """[rows, C] → [rows, C]; what the last block adds is not yet normalised if norms follow."""
        assert self._model is not None
        is_pre_norm = self._model.is_pre_norm
        before = NO_NORM  # the norm that the previous block leaves to its readers
        for layer in range(self._spec.layers):
            field = layer * FIELDS_PER_BLOCK
            first = field + ATTENTION_NORM
            second = field + FEED_FORWARD_NORM
            norm, middle = (first, second) if is_pre_norm else (before, first)
            kept, kept_middle = (NO_NORM, NO_NORM) if is_pre_norm else (before, first)
            attended = self._attend(layer, self._queries(layer, x, rows, field + QKV, norm), rows)
            x = self._add(rows, attended, x, field + ATTENTION_OUT, kept)
            expanded = x.new_empty(len(x), self._model.feed_forward)
            activation = self._model.activation
            self._linear(rows, x, expanded, field + EXPAND, norm=middle, activation=activation)
            x = self._add(rows, expanded, x, field + CONTRACT, kept_middle)
            before = second
        return x

    def _latents(self, hidden: Tensor, rows: _Rows) -> Tensor:
        """float32 [rows, C] of what the blocks gave."""
        assert self._model is not None
        if not self._model.is_pre_norm:
            last = (self._spec.layers - 1) * FIELDS_PER_BLOCK + FEED_FORWARD_NORM
            hidden = self._normalise(rows, hidden, last, self._dtype)
        latents = hidden.float()
        for i in range(self._model.final_norms):
            latents = self._normalise(rows, latents, self._weights.final_norms + 2 * i, torch.float32)
        return latents

    def _queries(self, layer: int, x: Tensor, rows: _Rows, field: int, norm: int) -> Tensor:
        """Queries [rows, C]; keys and values go where they belong."""
        spec, channels = self._spec, self._spec.channels
        queries = torch.empty_like(x)
        tiling, block_out = TILINGS[rows.tile], _block_out(channels, rows.tile)
        kernels.queries_keys_values[(3 * channels // block_out, len(rows.residents))](
            x, queries, self._keys[layer], self._values[layer],
            self._weights.addresses, rows.residents, MAX_RESIDENTS, field, norm,
            rows.slots, rows.positions, self._pages, self._pool.most_pages,
            CHANNELS=channels, PADDED=triton.next_power_of_2(channels),
            HEAD_CHANNELS=spec.head_channels, PAGE_TOKENS=PAGE_TOKENS,
            NORMALISE=norm != NO_NORM, EPSILON=self._epsilon, TILE=rows.tile,
            BLOCK_IN=_block_in(channels, x.dtype, tiling), BLOCK_OUT=block_out, **_launch(tiling),
        )  # fmt: skip
        return queries

    def _attend(self, layer: int, queries: Tensor, rows: _Rows) -> Tensor:
        spec, out = self._spec, torch.empty_like(queries)
        kernels.attend[(len(queries), spec.heads)](
            queries, out, self._keys[layer], self._values[layer],
            rows.slots, rows.visible, self._pages, self._pool.most_pages, self.num_slots,
            HEADS=spec.heads, HEAD_CHANNELS=spec.head_channels, PAGE_TOKENS=PAGE_TOKENS,
        )  # fmt: skip
        return out

    def _add(self, rows: _Rows, x: Tensor, residual: Tensor, field: int, residual_norm: int) -> Tensor:
        out = torch.empty_like(residual)
        self._linear(rows, x, out, field, residual=residual, residual_norm=residual_norm)
        return out

    def _linear(
        self,
        rows: _Rows,
        x: Tensor,
        out: Tensor,
        field: int,
        *,
        norm: int = NO_NORM,
        activation: str = "none",
        residual: Tensor | None = None,
        residual_norm: int = NO_NORM,
    ) -> None:
        inputs, outputs = x.shape[1], out.shape[1]
        tiling, block_out = TILINGS[rows.tile], _block_out(outputs, rows.tile)
        kind = "none" if residual is None else "plain" if residual_norm == NO_NORM else "normalised"
        kernels.linear[(triton.cdiv(outputs, block_out), len(rows.residents))](
            x, out, out if residual is None else residual,
            self._weights.addresses, rows.residents, MAX_RESIDENTS, field, norm, residual_norm,
            INPUTS=inputs, OUTPUTS=outputs,
            PADDED_INPUTS=triton.next_power_of_2(inputs), PADDED_OUTPUTS=triton.next_power_of_2(outputs),
            NORMALISE=norm != NO_NORM, ACTIVATION=activation, RESIDUAL=kind, EPSILON=self._epsilon,
            TILE=rows.tile, BLOCK_IN=_block_in(inputs, x.dtype, tiling), BLOCK_OUT=block_out,
            **_launch(tiling),
        )  # fmt: skip

    def _normalise(self, rows: _Rows, x: Tensor, field: int, dtype: torch.dtype) -> Tensor:
        """float32 [rows, C], rounded to the weights' dtype on the way."""
        channels = self._spec.channels
        out = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        kernels.normalise[(len(x),)](
            x, out, self._weights.addresses, rows.residents, MAX_RESIDENTS, field,
            CHANNELS=channels, PADDED=triton.next_power_of_2(channels), TILE=rows.tile,
            EPSILON=self._epsilon, weight_dtype=_DTYPES[dtype], rounded_dtype=_DTYPES[dtype],
        )  # fmt: skip
        return out

    @property
    def _epsilon(self) -> float:
        assert self._model is not None
        return self._model.epsilon

    def _affordable_pages(self, options: BackendOptions) -> int:
        spec, most = self._spec, _pages_of(self._spec)
        wanted = options.num_slots * most
        if options.kv_bytes is None:
            return wanted
        page_bytes = 2 * spec.layers * spec.channels * PAGE_TOKENS * self._kv_dtype.itemsize
        return max(most, min(wanted, options.kv_bytes // page_bytes))


def draw_fused(
    state: SlotState,
    spec: DecoderSpec,
    slots: Tensor,
    latents: Tensor,
    logits: Tensor,
    addresses: Tensor,
    residents: Tensor,
    field: int,
    tile: int,
) -> None:
    """`backend.draw` as one kernel; `field` is the token table's, and tile t of rows is `residents[t]`'s."""
    sampling, rule = state.all_sampling, spec.rule
    draw_kernel.draw[(len(slots),)](
        logits, latents, slots,
        state.cached, state.generated, state.limit, state.position, state.finish,
        state.seen.view(torch.uint8), state.codes, state.latents, state.next_input,
        sampling.temperature, sampling.top_k, sampling.top_p, sampling.repetition_penalty, sampling.key,
        addresses, residents, addresses.shape[1], field, len(state.finish) - 1,
        VOCABULARY=spec.vocabulary, PADDED_VOCABULARY=triton.next_power_of_2(spec.vocabulary),
        CHANNELS=spec.channels, PADDED_CHANNELS=triton.next_power_of_2(spec.channels),
        TOKENS=state.codes.shape[1], TILE=tile,
        STOP=spec.stop_token, MIN_TOKENS=rule.min_tokens, STOPS_IF_LIKELIEST=rule.stops_if_likeliest,
        TOP_P_FIRST=rule.filters == "top_p_first", COUNTS_STOP=spec.counts_stop,
        RUNNING=RUNNING, STOPPED=STOPPED, FULL=FULL,
    )  # fmt: skip


def problem(spec: DecoderSpec, device: torch.device) -> str | None:
    """Why these kernels can't decode this shape on this device, if they can't. Compiles and runs one."""
    if triton.next_power_of_2(spec.head_channels) != spec.head_channels or spec.channels % LARGE_TILE:
        return f"found {spec.channels} channels in {spec.heads} heads"
    try:
        size = (1, spec.heads, PAGE_TOKENS, spec.head_channels)
        page = torch.zeros(size, device=device, dtype=spec.kv_dtype or torch.float32)
        row = torch.zeros(1, spec.channels, device=device)
        zero = torch.zeros(1, dtype=torch.int64, device=device)
        kernels.attend[(1, spec.heads)](
            row, torch.empty_like(row), page, page, zero, zero + 1, zero.int(), 1, 1,
            HEADS=spec.heads, HEAD_CHANNELS=spec.head_channels, PAGE_TOKENS=PAGE_TOKENS,
        )  # fmt: skip
    except Exception as error:  # a compiler that is missing or too old, a driver of another version …
        return f"{type(error).__name__}: {error}"
    return None


def _prompt_rows(slot: int, prompt: PrefillInput) -> NDArray[np.int64]:
    """[3, n] slots, positions and visible tokens of the embeddings that prefill runs."""
    index = np.arange(prompt.num_run)
    seen = np.where(index < prompt.bidirectional, prompt.bidirectional, index + 1)
    return np.stack((np.full_like(index, slot), prompt.prefix_tokens + index, prompt.prefix_tokens + seen))


def _group(slots: Mapping[int, Any], column_of: Callable[[int], int]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for slot in slots:
        groups.setdefault(column_of(slot), []).append(slot)
    return groups


def _pages_of(spec: DecoderSpec) -> int:
    return -(-spec.capacity // PAGE_TOKENS)


def _block_in(inputs: int, dtype: torch.dtype, tiling: Tiling) -> int:
    """The largest power of two that divides the inputs and keeps to the tiling."""
    return min(inputs & -inputs, tiling.block_in_bytes // dtype.itemsize)


def _block_out(outputs: int, tile: int) -> int:
    """As the tiling says, or smaller where it must divide; few outputs are cut finer to occupy the device."""
    divisor = outputs & -outputs
    wanted = TILINGS[tile].block_out
    if tile == SMALL_TILE and outputs <= 1024:
        wanted = 16
    return min(wanted, divisor) if divisor >= 16 else wanted


def _launch(tiling: Tiling) -> dict[str, int]:
    return {"num_warps": tiling.num_warps, "num_stages": tiling.num_stages}
