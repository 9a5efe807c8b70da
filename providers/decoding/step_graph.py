"""Runs the decode step over a group of slots: directly, or as CUDA graphs of static shape.

Both pad a group with the scratch slot, which belongs to nobody and is always finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(slots=True)
class _StaticStep:
    buffer: Tensor  # [bucket]: the slots that a replay steps
    replay: Callable[[], None]
    slots: list[int]  # what the buffer holds


class StepGraphs:
    """One graph per weights, batch bucket (a power of two) and context bucket, captured on first use.

    All graphs share one memory pool: they never run at the same time. Where there is no room for one, and on
    a device without graphs, the same static buffers are used and the step runs directly.
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
        if padded != static.slots:
            static.buffer.copy_(torch.tensor(padded), non_blocking=True)
            static.slots = padded
        static.replay()

    def forget(self, weights: DecoderWeights) -> None:
        self._steps.pop(weights, None)

    def _prepare(self, weights: DecoderWeights, bucket: int, bound: int) -> _StaticStep:
        slots = [self._scratch_slot] * bucket
        buffer = torch.tensor(slots, device=self._device)

        def step() -> None:
            self._step(weights, buffer, bound)

        replay = step if self._pool is None else capture(step, self._device, self._pool)
        return _StaticStep(buffer, replay, slots)


def capture(step: Callable[[], None], device: torch.device, pool: Any) -> Callable[[], None]:
    """Run a step as a CUDA graph from now on; where there is no room for one, as it is.

    It runs three times for that, the first two outside of the graph, so it must do no harm.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    try:
        with torch.cuda.stream(stream):
            for _ in range(2):
                step()
        # Another thread may use the device meanwhile: only this one's calls are watched.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            step()
    except torch.OutOfMemoryError:
        return step
    finally:
        torch.cuda.current_stream(device).wait_stream(stream)
    return graph.replay
