"""Prefill, decode step, vocoder and conditioning, each alone, and the least time that they can take here.

What a step must move and multiply comes from `benchmarks.bounds`; how fast this machine moves and multiplies
is measured beside the steps, by as many threads as these have, since a shared one has no rates of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, NamedTuple, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import bounds
from benchmarks.bounds import Cost, Machine
from models_store.checkpoints.architecture import HifiganArchitecture
from providers.decoding.decoder import DecoderSpec
from providers.gpt_sovits import t2s
from providers.interface import Admission, Conditioning, Engine, Prompt, Span
from providers.xtts import gpt

UNTIMED_STEPS, TIMED_STEPS = 2, 30
VOCODED_TOKENS = UNTIMED_STEPS + TIMED_STEPS
READ_BYTES = 2**28  # more than a cache holds
MATRIX_SIZES = {"cpu": 1024, "cuda": 8192}
MACHINE_ROUNDS = 5

T = TypeVar("T")
Admit = Callable[[int], Mapping[int, Admission]]  # how many → slot → utterance


class Step(NamedTuple):
    name: str
    seconds: float
    cost: Cost
    dtype: str  # of what it multiplies

    def figures(self, machine: Machine) -> dict[str, float]:
        """What it took, what it costs, and how near that is to the least that `machine` can take."""
        figures = {"ms": 1e3 * self.seconds} | machine.figures(self.cost, self.seconds)
        return {f"{self.name}_{name}": value for name, value in figures.items()}


class EngineShape(NamedTuple):
    """What decides how much the steps of one utterance cost."""

    decoder: DecoderSpec
    vocoder: HifiganArchitecture
    prompt_tokens: int  # cached before the first token is drawn
    run_tokens: int  # of these, what prefill runs: the rest is copied from the voice's prefix


def xtts_shape(architecture: Any, conditioning: Any, prompt: Prompt) -> EngineShape:
    run_tokens = len(prompt.ids) + 2  # with where the text begins and ends
    prompt_tokens = architecture.perceiver_latents + run_tokens
    return EngineShape(gpt.decoder_spec(architecture), architecture.vocoder, prompt_tokens, run_tokens)


def gpt_sovits_shape(architecture: Any, conditioning: Any, prompt: Prompt) -> EngineShape:
    # The last token of the example is run by the first decode step.
    tokens = len(conditioning.phones) + len(prompt.ids) + len(conditioning.tokens) - 1
    decoder = t2s.decoder_spec(architecture.text_to_semantic)
    return EngineShape(decoder, architecture.vocoder, tokens, tokens)


SHAPES: dict[str, Callable[[Any, Conditioning, Prompt], EngineShape]] = {
    "xtts": xtts_shape,
    "gpt_sovits": gpt_sovits_shape,
}


def measure_steps(engine: Engine, admit: Admit, batch: int, shape: EngineShape, dtype: str) -> Iterator[Step]:
    """Of so many utterances at once: their beginnings, spoken once untimed and once timed."""
    speak_beginnings(engine, admit, batch)
    prefill_s, decode_s, vocoder_s, num_samples = speak_beginnings(engine, admit, batch)
    value_bytes = getattr(torch, dtype).itemsize
    context = shape.prompt_tokens + UNTIMED_STEPS + TIMED_STEPS / 2
    prefill = bounds.prefill(shape.decoder, batch, shape.run_tokens, value_bytes)
    decode = bounds.decode_step(shape.decoder, batch, context, bytes_per_value=value_bytes)
    yield Step(f"prefill_{batch}", prefill_s, prefill, dtype)
    yield Step(f"decode_{batch}", decode_s / TIMED_STEPS, decode, dtype)
    yield Step(f"vocoder_{batch}", vocoder_s, vocoder_cost(shape.vocoder, num_samples), dtype)


def speak_beginnings(engine: Engine, admit: Admit, batch: int) -> tuple[float, float, float, int]:
    """Seconds of prefill, of `TIMED_STEPS` decode steps and of the vocoder, and the samples it made."""
    slots = list(range(batch))
    _, prefill_s = timed(lambda: engine.prefill(admit(batch)))
    engine.decode(slots, UNTIMED_STEPS)
    _, decode_s = timed(lambda: engine.decode(slots, TIMED_STEPS))
    beginnings = dict.fromkeys(slots, Span(0, VOCODED_TOKENS, is_last=True))
    waves, vocoder_s = timed(lambda: engine.vocode(beginnings))
    engine.release(slots)
    return prefill_s, decode_s, vocoder_s, sum(map(len, waves.values()))


def vocoder_cost(architecture: HifiganArchitecture, num_samples: int) -> Cost:
    """The generator's, which is all of XTTS's vocoder and nearly all of GPT-SoVITS's."""
    frame = bounds.vocoder_frame(architecture)
    return Cost(frame.bytes, frame.flops * num_samples / prod(architecture.upsample_strides))


def counted_cost(call: Callable[[], object]) -> Cost:
    """Of what has no formula: the multiplications that torch is asked for, those of attention by its plain
    formula, since torch counts no other on a CPU."""
    from torch.utils.flop_counter import FlopCounterMode  # 70 MiB, which no engine needs

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return Cost(bytes=0, flops=counter.get_total_flops())


def measured_machine(device: torch.device, dtype: torch.dtype) -> Machine:
    """What a device reaches just now, at best of a few rounds, on reading memory and on a large product."""
    read = torch.ones(READ_BYTES // dtype.itemsize, dtype=dtype, device=device)
    size = MATRIX_SIZES[device.type]
    left, right = torch.randn(2, size, size, device=device).to(dtype)

    def least_s(call: Callable[[], torch.Tensor]) -> float:
        # One number of the result on the host: then it is there.
        return min(timed(lambda: call().flatten()[0].item())[1] for _ in range(MACHINE_ROUNDS))

    return Machine(
        bytes_per_s=READ_BYTES / least_s(read.sum),
        flops_per_s=2 * size**3 / least_s(lambda: torch.mm(left, right)),
    )


def faster(one: Machine, other: Machine) -> Machine:
    """Of rates measured before and after the steps: a shared machine may be slowed down during either."""
    return Machine(max(one.bytes_per_s, other.bytes_per_s), max(one.flops_per_s, other.flops_per_s))


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What `call` gives and the seconds that it took."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started
