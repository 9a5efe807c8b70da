"""The engine's goals, measured on a device: one JSON line per figure, with its bound where there is one.

    python -m benchmarks.goals MEASURE … --device cuda:0 --output FILE [--size tiny] [--home FOLDER]

Measures are named in the order in which they should run. `--home` keeps the random submission between calls.
`benchmarks/gpu.sh` runs all of them, each in a process and with a time limit of its own, so that what fails
or takes long loses nothing else. `--size tiny` is for trying that out where there is no device.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks import bounds, random_gpt_sovits
from benchmarks.engine_steps import own_voice
from benchmarks.random_xtts import SIZES, write_submission
from benchmarks.residency import fill, gpt_sovits
from models_store.checkpoints.architecture import XttsArchitecture
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers import registry
from providers.decoding.decoder import Decoder
from providers.decoding.kv_cache import KV_DTYPES
from providers.gpt_sovits import t2s
from providers.interface import (
    Admission,
    AudioChunk,
    Conditioning,
    Engine,
    EngineSettings,
    HostWeights,
    ReferenceVoice,
    SamplingParams,
    Span,
    Utterance,
)
from providers.xtts.gpt import decoder_spec
from server.scheduling.scheduler import Policy, Scheduler

TEXT = "It took me quite a long time to develop a voice, and now I have it."
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
UNTIMED_STEPS, TIMED_STEPS = 8, 48
TIMED_CONTEXT = UNTIMED_STEPS + 1.5 * TIMED_STEPS  # drawn tokens on average: the second run counts
UTTERANCE_TOKENS = 215  # ten seconds of XTTS
FIRST_CHUNK_TOKENS = 8
MOST_RESIDENT = {"cpu": 4, "cuda": 1000}

Figure = dict[str, Any]
KVCache = Literal["auto", "fp8"]


@dataclass(frozen=True)
class Bench:
    """What measures share: one random XTTS submission, read once, and how to run it."""

    home: Path
    device: str
    size: Literal["full", "tiny"]
    most_streams: int

    @cached_property
    def dtype(self) -> Literal["float32", "bfloat16"]:
        return "float32" if self.device == "cpu" else "bfloat16"

    @cached_property
    def machine(self) -> bounds.Machine | None:
        if self.device == "cpu":
            return None
        return bounds.MACHINES.get(torch.cuda.get_device_name(self.device))

    @cached_property
    def files(self) -> SubmissionFiles:
        store = ModelsStore(self.home / "store")
        if "measured" not in store.names():
            with tempfile.TemporaryDirectory() as scratch:
                store.submit(write_submission(Path(scratch), SIZES[self.size]), name="measured")
        return store.files(store.resolve("measured").id)

    @cached_property
    def weights(self) -> HostWeights:
        return registry.provider("xtts").read_weights(self.files, self.settings(1))

    @cached_property
    def architecture(self) -> XttsArchitecture:
        architecture = registry.provider("xtts").architecture(self.files)
        assert isinstance(architecture, XttsArchitecture)
        return architecture

    @cached_property
    def voice(self) -> ReferenceVoice:
        return own_voice(self.files)

    def batches(self) -> Iterator[int]:
        return (batch for batch in BATCHES if batch <= self.most_streams)

    def settings(self, slots: int, use_graphs: bool = True, kv_cache: KVCache = "auto") -> EngineSettings:
        return EngineSettings(self.device, self.dtype, slots, use_graphs, kv_cache=kv_cache)

    def engine(
        self, slots: int, submissions: int = 1, use_graphs: bool = True, kv_cache: KVCache = "auto"
    ) -> Engine:
        """With copies of the submission's weights under `submissions` ids."""
        settings = self.settings(slots, use_graphs, kv_cache)
        engine = registry.provider("xtts").create_engine(self.architecture, settings)
        for index in range(submissions):
            engine.load(self.copy(index))
        return engine

    def copy(self, index: int) -> Any:
        return replace(self.weights, submission_id=f"copy {index}")  # type: ignore[type-var]

    def conditioning(self, engine: Engine) -> Conditioning:
        return engine.condition("copy 0", self.voice)

    def utterances(self, count: int, submissions: int = 1, tokens: int = UTTERANCE_TOKENS) -> list[Utterance]:
        front_end = registry.text_front_end(self.files)
        (prompt,) = front_end.prompts(TEXT, "en")
        sampling = replace(front_end.default_sampling, max_tokens=tokens)
        return [
            Utterance(
                request_id=str(index),
                index=0,
                submission_id=f"copy {index % submissions}",
                voice_id=self.files.submission.voice.id,
                prompt=prompt,
                sampling=replace(sampling, seed=index),
            )
            for index in range(count)
        ]

    def seconds(self, call: Callable[[], object], rounds: int = 5) -> float:
        """Least of some rounds, after one that isn't timed; what was queued on the device is waited for."""
        times = []
        for _ in range(rounds + 1):
            self.wait()
            started = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - started)
        return min(times[1:])

    def wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def bound(self, cost: bounds.Cost, seconds: float) -> Figure:
        """The figures that say how far from possible `seconds` are; none for an unknown device."""
        if self.machine is None:
            return cost._asdict()
        return self.machine.figures(cost, seconds)


def decode_step(bench: Bench) -> Iterator[Figure]:
    """Graphs for every batch; for some, eager steps and keys and values of 8 bits: what these are worth."""
    few = [1, 8, 64]
    variants: tuple[tuple[bool, KVCache, list[int]], ...] = (
        (True, "auto", [*bench.batches()]),
        (False, "auto", few),
        (True, "fp8", [*few, 256]),
    )
    for use_graphs, kv_cache, batches in variants:
        engine = bench.engine(bench.most_streams, use_graphs=use_graphs, kv_cache=kv_cache)
        spec = replace(decoder_spec(bench.architecture), kv_dtype=KV_DTYPES[kv_cache])
        conditioning = bench.conditioning(engine)
        for batch in batches:
            if batch <= bench.most_streams:
                ms = 1e3 * _decode_s(bench, engine, conditioning, batch)
                context = _prompt_tokens(bench) + TIMED_CONTEXT
                how = {"graphs": use_graphs, "kv_cache": kv_cache, "batch": batch, "ms": ms}
                yield how | bench.bound(bounds.decode_step(spec, batch, context), ms / 1e3)


def submissions(bench: Bench) -> Iterator[Figure]:
    """A step of 256 utterances spread over ever more submissions."""
    streams = bench.most_streams
    for count in (1, 4, 16):
        engine = bench.engine(streams, count)
        ms = 1e3 * _decode_s(bench, engine, bench.conditioning(engine), streams, count)
        context = _prompt_tokens(bench) + TIMED_CONTEXT
        cost = bounds.decode_step(decoder_spec(bench.architecture), streams, context, count)
        yield {"submissions": count, "batch": streams, "ms": ms} | bench.bound(cost, ms / 1e3)
        del engine


def _decode_s(
    bench: Bench, engine: Engine, conditioning: Conditioning, batch: int, submissions: int = 1
) -> float:
    """Seconds per step. Decoding is queued, so a long run is timed and divided."""
    slots = list(range(batch))
    utterances = bench.utterances(batch, submissions)
    times = []
    for _ in range(2):
        engine.prefill({slot: Admission(utterances[slot], conditioning) for slot in slots})
        engine.decode(slots, UNTIMED_STEPS)
        times.append(bench.seconds(lambda: engine.decode(slots, TIMED_STEPS), rounds=1))
        engine.release(slots)
    return min(times) / TIMED_STEPS


def _prompt_tokens(bench: Bench) -> int:
    (utterance,) = bench.utterances(1)
    return bench.architecture.perceiver_latents + len(utterance.prompt.ids) + 3


def prefill(bench: Bench) -> Iterator[Figure]:
    engine = bench.engine(bench.most_streams)
    conditioning = bench.conditioning(engine)
    for prompts in (number for number in (1, 4, 8) if number <= bench.most_streams):
        slots = list(range(prompts))
        admissions = {
            slot: Admission(utterance, conditioning)
            for slot, utterance in zip(slots, bench.utterances(prompts), strict=True)
        }

        def run(admissions: dict[int, Admission] = admissions) -> None:
            engine.prefill(admissions)
            engine.release(list(admissions))

        ms = 1e3 * bench.seconds(run)
        # The conditioning's part is copied from the voice's prefix.
        tokens = _prompt_tokens(bench) - bench.architecture.perceiver_latents
        cost = bounds.prefill(decoder_spec(bench.architecture), prompts, tokens)
        yield {"prompts": prompts, "tokens": tokens, "ms": ms} | bench.bound(cost, ms / 1e3)


def conditioning(bench: Bench) -> Iterator[Figure]:
    engine = bench.engine(1)
    yield {"ms": 1e3 * bench.seconds(lambda: bench.conditioning(engine))}


def vocoder(bench: Bench) -> Iterator[Figure]:
    """Chunks from the first to the longest, alone and together."""
    engine = bench.engine(bench.most_streams)
    speaker = bench.conditioning(engine)
    slots = list(range(min(64, bench.most_streams)))
    utterances = bench.utterances(len(slots))
    engine.prefill({slot: Admission(utterances[slot], speaker) for slot in slots})
    engine.decode(slots, 88)
    frame = bounds.vocoder_frame(bench.architecture.vocoder)
    for start, stop in ((0, 8), (8, 20), (8, 88)):
        for batch in (1, 8, len(slots)):
            spans = dict.fromkeys(slots[:batch], Span(start, stop, is_last=False))
            made = engine.vocode(spans)
            samples = sum(map(len, made.values()))
            seconds = bench.seconds(lambda spans=spans: engine.vocode(spans))  # type: ignore[misc]
            audio_s = samples / engine.spec.sample_rate_hz
            frames = samples / bench.architecture.output_hop
            yield {
                "tokens": stop - start,
                "batch": batch,
                "ms": 1e3 * seconds,
                "times_real_time": audio_s / seconds,
            } | bench.bound(bounds.Cost(0, frame.flops * frames), seconds)


def first_audio(bench: Bench) -> Iterator[Figure]:
    """From an utterance to its first samples on the host, nothing else going on."""
    engine = bench.engine(bench.most_streams)
    speaker = bench.conditioning(engine)
    (utterance,) = bench.utterances(1)

    def speak() -> None:
        engine.prefill({0: Admission(utterance, speaker)})
        known = 0
        while known < FIRST_CHUNK_TOKENS:
            known = engine.decode([0], FIRST_CHUNK_TOKENS - known)[0].num_tokens
        engine.vocode({0: Span(0, known, is_last=False)})
        engine.release([0])

    yield {"ms": 1e3 * bench.seconds(speak, rounds=20)}


def aggregate(bench: Bench) -> Iterator[Figure]:
    """The scheduler over the engine, without HTTP: everybody asks at once, one submission and sixteen."""
    for submissions in (1, 16):
        engine = bench.engine(bench.most_streams, submissions)
        _speak_all(bench, engine, submissions, tokens=30)  # what is prepared on first use
        yield {"submissions": submissions, **_speak_all(bench, engine, submissions, UTTERANCE_TOKENS)}
        del engine


def _speak_all(bench: Bench, engine: Engine, submissions: int, tokens: int) -> Figure:
    scheduler = Scheduler(engine, Policy())
    speaker = bench.conditioning(engine)
    started = time.monotonic()
    for utterance in bench.utterances(bench.most_streams, submissions, tokens):
        scheduler.submit([utterance], speaker, started)
    first_audio_s: dict[str, float] = {}
    while scheduler.has_work:
        for event in scheduler.step(time.monotonic()):
            if isinstance(event, AudioChunk) and len(event.samples):
                first_audio_s.setdefault(event.request_id, time.monotonic() - started)
        scheduler.settle()
    taken_s = time.monotonic() - started
    return {
        "streams": bench.most_streams,
        "times_real_time": scheduler.audio_s / taken_s,
        "first_audio_p50_s": float(np.percentile([*first_audio_s.values()], 50)),
        "first_audio_p99_s": float(np.percentile([*first_audio_s.values()], 99)),
    }


def residency(bench: Bench) -> Iterator[Figure]:
    """How many submissions of a family fit beside each other, and how fast one takes another's place."""
    most = MOST_RESIDENT["cpu" if bench.device == "cpu" else "cuda"]
    slots = min(64, bench.most_streams)
    yield {"family": "xtts"} | fill(bench.engine(slots, submissions=0), bench.weights, most)
    gc.collect()  # an engine and its graphs know each other
    yield {"family": "gpt_sovits"} | fill(*gpt_sovits(bench.settings(slots), bench.size), most)


def semantic_tokens(bench: Bench) -> Iterator[Figure]:
    """GPT-SoVITS's decoder alone, on random weights: tokens per second of one utterance and of many."""
    architecture = random_gpt_sovits.ARCHITECTURES[bench.size]("v2").text_to_semantic
    state = random_gpt_sovits.gpt_state(architecture, torch.Generator().manual_seed(0))
    tensors = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    device, dtype = torch.device(bench.device), getattr(torch, bench.dtype)
    spec = t2s.decoder_spec(architecture)
    decoder = Decoder(spec, bench.most_streams, device, dtype)
    weights = t2s.prepare_text_to_semantic(tensors, architecture, device, dtype)
    sampling = SamplingParams(1.0, 15, 1.0, 1.35, max_tokens=spec.max_tokens, seed=0)
    prompt = [1] * 120, [1] * 125
    for batch in bench.batches():
        slots = list(range(batch))
        with torch.inference_mode():
            inputs = {slot: weights.utterance(prompt[0], None, prompt[1], sampling, slot) for slot in slots}
        decoder.prefill(inputs)
        decoder.decode(slots, UNTIMED_STEPS)
        seconds = bench.seconds(lambda slots=slots: decoder.decode(slots, TIMED_STEPS), rounds=1)  # type: ignore[misc]
        decoder.release(slots)
        step_s = seconds / TIMED_STEPS
        cost = bounds.decode_step(spec, batch, 245 + TIMED_CONTEXT)
        yield {"batch": batch, "ms": 1e3 * step_s, "tokens_per_s": batch / step_s} | bench.bound(cost, step_s)


MEASURES: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    measure.__name__: measure
    for measure in (
        decode_step,
        semantic_tokens,
        first_audio,
        prefill,
        vocoder,
        submissions,
        aggregate,
        conditioning,
        residency,
    )
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measures", nargs="+", choices=MEASURES)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch, options.output.open("a") as output:
        bench = Bench(options.home or Path(scratch), options.device, options.size, options.streams)
        for name in options.measures:
            for figure in MEASURES[name](bench):
                line = json.dumps({"measure": name, "size": options.size, "dtype": bench.dtype, **figure})
                print(line, flush=True)
                print(line, file=output, flush=True)


if __name__ == "__main__":
    main()
