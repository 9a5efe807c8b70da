"""How many submissions fit a device beside each other, and how fast one comes there from host memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks import random_gpt_sovits
from benchmarks.random_xtts import initial
from models_store.checkpoints.gpt_sovits_architecture import GptSovitsConfig
from models_store.checkpoints.gpt_sovits_tensors import sovits_shapes, text_to_semantic_shapes
from models_store.checkpoints.shapes import Shape
from providers.errors import DeviceOutOfMemory
from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.engine import GptSovitsEngine
from providers.gpt_sovits.text.reading import PhoneReader
from providers.gpt_sovits.weights import GptSovitsHostWeights, prepare
from providers.interface import Engine, EngineSettings
from providers.weight_arena import WeightArena

SWAPS = 20

Figure = dict[str, Any]


def fill(engine: Engine, weights: Any, most: int) -> Figure:
    """Load copies until no more fit, then put one in another's place, again and again.

    `weights` are read once: all copies come from the same host memory. A swap counts from the call until the
    submission is ready; the engine's thread is free again when the call returns. All are evicted at the end.
    """
    resident: list[str] = []
    with suppress(DeviceOutOfMemory):
        while len(resident) < most:
            name = f"resident {len(resident)}"
            _load(engine, replace(weights, submission_id=name))
            resident.append(name)
    swaps = []
    for i in range(SWAPS):
        engine.evict(resident.pop(0))
        resident.append(f"swapped {i}")
        swaps.append(_load(engine, replace(weights, submission_id=resident[-1])))
    for name in resident:
        engine.evict(name)
    ready_ms, called_ms = ([1e3 * seconds for seconds in times] for times in zip(*swaps, strict=True))
    return {
        "resident": len(resident),
        "size_bytes": weights.size_bytes,
        "swap_ms_median": median(ready_ms),
        "swap_ms_max": max(ready_ms),
        "engine_thread_ms_median": median(called_ms),
    }


def _load(engine: Engine, weights: Any) -> tuple[float, float]:
    """Seconds until it was ready, and until the call had returned."""
    started = time.perf_counter()
    arrival = engine.load(weights)
    called_s = time.perf_counter() - started
    if arrival is not None:
        arrival.result()
    return time.perf_counter() - started, called_s


def gpt_sovits(
    settings: EngineSettings, size: Literal["full", "tiny"]
) -> tuple[Engine, GptSovitsHostWeights]:
    """A v2 of random weights that never was in a store: it doesn't listen, so it needs no base models."""
    architecture = random_gpt_sovits.ARCHITECTURES[size]("v2")
    gpt = _random(text_to_semantic_shapes(architecture.text_to_semantic))
    sovits = _random(sovits_shapes(architecture))
    held = None
    device = torch.device(settings.device)
    if device.type != "cpu":
        dtype, arena = getattr(torch, settings.dtype), WeightArena()
        held = arena.hold(prepare(lambda: gpt, lambda: sovits, architecture, device, dtype, arena))
    weights = GptSovitsHostWeights(
        submission_id="measured",
        config=GptSovitsConfig(architecture, ("en",), random_gpt_sovits.MAX_AUDIO_S),
        size_bytes=held.size_bytes if held else sum(t.nbytes for t in (*gpt.values(), *sovits.values())),
        shared={},
        gpt=lambda: gpt,
        sovits=lambda: sovits,
        encoders=BaseEncoders(),
        reader=PhoneReader("v2", ("en",)),
        held=held,
    )
    return GptSovitsEngine(architecture, settings), weights


def _random(shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.ones(shape) if name.endswith("alpha") else initial(name, shape, generator)
        for name, shape in shapes.items()
    }
