"""Runs the decode step over a group of slots: directly, or as CUDA graphs of static shape.

Both pad a group with the scratch slot, which belongs to nobody and is always finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from providers.decoding.blocks import DecoderWeights
from providers.decoding.linear import CPU_MIN_ROWS

# (weights, slots [B], bound): one decode step of these slots, none of which exceeds `bound` tokens with it.
Step = Callable[[DecoderWeights, Tensor, int], None]

BOUND_STEP = 128


class StepRunner(Protocol):
    def run(self, weights: DecoderWeights, slots: Sequence[int], longest: int) -> None:
        """One step; `longest` bounds the tokens of each slot with the new one."""

    def forget(self, weights: DecoderWeights) -> None:
        """Drop what was prepared for these weights."""


class StepRunnerFactory(Protocol):
    def __call__(self, step: Step, scratch_slot: int, capacity: int, device: torch.device) -> StepRunner: ...


class EagerSteps:
    """Runs the step as it is. On a CPU groups have at least `CPU_MIN_ROWS` rows (see linear.py)."""

    def __init__(self, step: Step, scratch_slot: int, capacity: int, device: torch.device) -> None:
        self._step = step
        self._scratch_slot = scratch_slot
        self._device = device
        self._min_rows = CPU_MIN_ROWS if device.type == "cpu" else 1

    def run(self, weights: DecoderWeights, slots: Sequence[int], longest: int) -> None:
        padded = [*slots, *[self._scratch_slot] * (self._min_rows - len(slots))]
        self._step(weights, torch.tensor(padded, device=self._device), longest)

    def forget(self, weights: DecoderWeights) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _StaticStep:
    slots: Tensor  # [bucket], written before each replay
    replay: Callable[[], None]


class StepGraphs:
    """One graph per weights, batch bucket (a power of two) and context bucket, captured on first use.

    All graphs share one memory pool: they never run at the same time. On a device without graphs the same
    static buffers are used and the step runs directly.
    """

    def __init__(self, step: Step, scratch_slot: int, capacity: int, device: torch.device) -> None:
        self._step = step
        self._scratch_slot = scratch_slot
        self._capacity = capacity
        self._device = device
        self._steps: dict[DecoderWeights, dict[tuple[int, int], _StaticStep]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def run(self, weights: DecoderWeights, slots: Sequence[int], longest: int) -> None:
        bucket = 1 << (len(slots) - 1).bit_length()
        bound = min(-(-longest // BOUND_STEP) * BOUND_STEP, self._capacity)
        steps = self._steps.setdefault(weights, {})
        if (bucket, bound) not in steps:
            steps[bucket, bound] = self._prepare(weights, bucket, bound)
        static = steps[bucket, bound]
        padded = [*slots, *[self._scratch_slot] * (bucket - len(slots))]
        static.slots.copy_(torch.tensor(padded), non_blocking=True)
        static.replay()

    def forget(self, weights: DecoderWeights) -> None:
        self._steps.pop(weights, None)

    def _prepare(self, weights: DecoderWeights, bucket: int, bound: int) -> _StaticStep:
        slots = torch.full((bucket,), self._scratch_slot, device=self._device)

        def step() -> None:
            self._step(weights, slots, bound)

        return _StaticStep(slots, self._capture(step) if self._pool is not None else step)

    def _capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Warm up and capture on a side stream; both only touch the scratch slot."""
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(2):
                step()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream):
            step()
        return graph.replay
