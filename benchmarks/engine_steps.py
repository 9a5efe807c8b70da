"""How long each step of an engine takes, beside the published implementation, in one run.

    python -m benchmarks.engine_steps FOLDER [--upstream-python PATH] [--output FILE.jsonl]

FOLDER is an XTTS submission; without one, a full-size random submission is made first. Every measurement
has a process of its own, so that memory is its own, and the rounds alternate between engines, so that a
machine whose speed drifts slows all of them. One line of JSON per process goes to the output; the table
shows medians. `benchmarks.gpt_sovits_steps` measures the other family with the same steps.

Streams that come at the same moment are heard chunk by chunk, in the chunks of the server. The published
implementation takes one request at a time, so its second stream begins when its first one has ended: its
figures for several are what its one stream took, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.bounded_steps import (
    SHAPES,
    Admit,
    Step,
    counted_cost,
    faster,
    measure_steps,
    measured_machine,
    timed,
)
from benchmarks.bounds import Machine
from benchmarks.chunks import spans
from benchmarks.process_memory import peak_resident_mib, resident_mib
from benchmarks.random_xtts import write_submission
from models_store.recordings import read_recording
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers import registry
from providers.interface import (
    Admission,
    Engine,
    EngineSettings,
    Recording,
    ReferenceVoice,
    Span,
    Utterance,
)
from server.scheduling.device import KINDS

TEXT = "It took me quite a long time to develop a voice, and now I have it."
STEPS = {"prefill": "prefill", "decode": "decode step", "vocoder": "vocoder, 32 tokens"}
DEFAULT_BATCHES = (1, 4, 8)
BATCHES = (*DEFAULT_BATCHES, 16)  # those that have a row
STREAMS = (1, 2, 4, 8)
CONDITIONING_DTYPE = "float32"  # whatever the engine's is

ROWS = {
    "machine_gb_per_s": "reading memory, GB/s",
    "machine_gflops": "matrix product, GFLOP/s",
    "load_s": "load, s",
    "resident_mib": "resident after load, MiB",
    "peak_resident_mib": "peak resident, MiB",
    "conditioning_ms": "conditioning, ms",
    **{f"{name}_{n}_ms": f"{label}, batch {n}, ms" for name, label in STEPS.items() for n in BATCHES},
    "latent_pass_ms": "second pass for latents, ms",
    "vocoder_ms_per_audio_s": "vocoder, ms per second of audio",
    "total_s": "one request, s",
    "rtf": "one request, RTF",
    "times_real_time": "one request, × real time",
    "times_real_time_8": "eight requests, × real time",
    **{f"stream_ttfa_s_{n}": f"streams, {n}: first audio, median, s" for n in STREAMS},
    **{f"stream_last_ttfa_s_{n}": f"streams, {n}: first audio of the last, s" for n in STREAMS[1:]},
    **{f"stream_rtf_{n}": f"streams, {n}: RTF of the last" for n in STREAMS},
    **{f"stream_times_real_time_{n}": f"streams, {n}: all, × real time" for n in STREAMS},
    **{f"stream_resident_mib_{n}": f"streams, {n}: resident after, MiB" for n in STREAMS},
    "conditioning_percent_of_bound": "conditioning, % of bound",
    **{
        f"{name}_{n}_percent_of_bound": f"{label}, batch {n}, % of bound"
        for name, label in STEPS.items()
        for n in BATCHES
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--upstream-python", type=Path, help="an interpreter that has coqui-tts")
    parser.add_argument("--one", metavar="HOME", type=Path, help=argparse.SUPPRESS)
    add_arguments(parser)
    options = parser.parse_args()
    if options.one:
        json.dump(measure(options.one, options.dtype[0], options), sys.stdout)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or write_submission(Path(scratch) / "random")
        home = Path(scratch) / "home"
        submit(folder, home)
        commands = own_commands(home, options)
        if options.upstream_python:
            script = Path(__file__).parent / "upstream" / "xtts.py"
            commands["upstream"] = [
                *map(str, (options.upstream_python, script, folder, "--text", TEXT)),
                *common_flags(options),
            ]
        report(list(run_rounds(commands, options)), options.output)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those that the measurements of all families have."""
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", action="append", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch", type=int, action="append", help="of steps; default: 1, 4, 8")
    parser.add_argument("--output", type=Path, metavar="FILE.jsonl")


def common_flags(options: argparse.Namespace) -> list[str]:
    """Those that the published implementation is measured with too."""
    return ["--threads", str(options.threads), "--tokens", str(options.tokens)]


def submit(folder: Path, home: Path) -> None:
    ModelsStore(home / "store").submit(folder, name="measured")


def own_commands(home: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """One for each number format."""
    flags = ["--one", str(home), "--device", options.device, *common_flags(options)]
    flags += [part for batch in options.batch or DEFAULT_BATCHES for part in ("--batch", str(batch))]
    return {
        dtype: [sys.executable, "-m", "benchmarks.engine_steps", *flags, "--dtype", dtype]
        for dtype in options.dtype or ("float32", "bfloat16")
    }


def run_rounds(
    commands: Mapping[str, Sequence[str]], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    for round_index in range(options.rounds):
        for command in commands.values():
            finished = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
            record = {"round": round_index, "machine": machine(), **json.loads(finished.stdout)}
            yield one_at_a_time(record) if "stream_total_s" in record else record


def one_at_a_time(record: dict[str, Any]) -> dict[str, Any]:
    """With what several streams get of an engine that takes the next one when the last one has ended."""
    total_s, audio_s = record["stream_total_s"], record["stream_audio_s"]
    figures: dict[str, float] = {}
    for count in STREAMS:
        first_s = [record["stream_ttfa_s"] + turn * total_s for turn in range(count)]
        figures |= stream_figures(first_s, count * total_s, count * audio_s, record["stream_resident_mib"])
    return record | figures


def stream_figures(
    first_s: Sequence[float], total_s: float, audio_s: float, resident: float
) -> dict[str, float]:
    """Of streams that began together; `first_s` has each one's first audio, the rest is of all of them."""
    count = len(first_s)
    return {
        f"stream_ttfa_s_{count}": statistics.median(first_s),
        f"stream_last_ttfa_s_{count}": max(first_s),
        f"stream_rtf_{count}": total_s * count / audio_s,
        f"stream_times_real_time_{count}": audio_s / total_s,
        f"stream_resident_mib_{count}": resident,
    }


def report(records: Sequence[dict[str, Any]], output: Path | None) -> None:
    if output:
        output.write_text("".join(json.dumps(record) + "\n" for record in records))
    Console(width=120).print(table(records))


def measure(home: Path, dtype: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Of the submission that is called "measured" in the store of `home`."""
    torch.set_num_threads(options.threads)
    batches = options.batch or DEFAULT_BATCHES
    store = ModelsStore(home / "store")
    files = store.files(store.resolve("measured").id)
    settings = EngineSettings(device=options.device, dtype=dtype, num_slots=max(*batches, *STREAMS))
    figures: dict[str, Any] = {
        "engine": "voicecore",
        "variant": files.submission.variant,
        "device": options.device,
        "dtype": dtype,
        "threads": options.threads,
        "tokens": options.tokens,
    }
    machines = measured_machines(options.device, dtype)
    engine = load(files, settings, figures)
    voice = own_voice(files)
    conditioning, conditioning_s = timed(lambda: engine.condition(files.submission.id, voice))
    utterance = own_utterance(files, options.tokens)
    figures["text_tokens"] = len(utterance.prompt.ids)

    def admit(count: int) -> dict[int, Admission]:
        return {
            slot: Admission(replace(utterance, request_id=str(slot), index=slot), conditioning)
            for slot in range(count)
        }

    architecture = registry.provider(files.submission.family).architecture(files)
    shape = SHAPES[files.submission.family](architecture, conditioning, utterance.prompt)
    steps = [step for batch in batches for step in measure_steps(engine, admit, batch, shape, dtype)]
    figures |= measure_requests(engine, admit, options.tokens)
    chunk_tokens = KINDS[options.device.split(":")[0]].policy.chunk_tokens
    for count in STREAMS:
        figures |= measure_streams(engine, admit, count, options.tokens, chunk_tokens)
    figures["peak_resident_mib"] = peak_resident_mib()

    # What follows takes memory of its own.
    cost = counted_cost(lambda: engine.condition(files.submission.id, voice))
    steps.append(Step("conditioning", conditioning_s, cost, CONDITIONING_DTYPE))
    again = measured_machines(options.device, dtype)
    machines = {name: faster(machine, again[name]) for name, machine in machines.items()}
    for step in steps:
        figures |= step.figures(machines[step.dtype])
    figures["machine_gb_per_s"] = 1e-9 * machines[dtype].bytes_per_s
    figures["machine_gflops"] = 1e-9 * machines[dtype].flops_per_s
    return figures


def measured_machines(device: str, dtype: str) -> dict[str, Machine]:
    """The rates of all formats that an engine of `dtype` multiplies in."""
    return {
        name: measured_machine(torch.device(device), getattr(torch, name))
        for name in {dtype, CONDITIONING_DTYPE}
    }


def load(files: SubmissionFiles, settings: EngineSettings, figures: dict[str, Any]) -> Engine:
    provider = registry.provider(files.submission.family)
    started = time.perf_counter()
    engine = provider.create_engine(provider.architecture(files), settings)
    arrival = engine.load(provider.read_weights(files, settings))
    if arrival is not None:
        arrival.result()
    figures["load_s"] = time.perf_counter() - started
    figures["resident_mib"] = resident_mib()
    return engine


def own_voice(files: SubmissionFiles) -> ReferenceVoice:
    own = files.submission.voice
    recordings = tuple(Recording(*read_recording(path)) for path in files.recordings)
    return ReferenceVoice(recordings, own.language, own.transcript)


def own_utterance(files: SubmissionFiles, num_tokens: int) -> Utterance:
    """Of `TEXT`, in the submission's own voice."""
    front_end = registry.text_front_end(files)
    (prompt,) = front_end.prompts(TEXT, "en", "cut0")
    return Utterance(
        request_id="0",
        index=0,
        submission_id=files.submission.id,
        voice_id=files.submission.voice.id,
        prompt=prompt,
        sampling=replace(front_end.default_sampling, max_tokens=num_tokens, seed=1),
    )


def measure_requests(engine: Engine, admit: Admit, num_tokens: int) -> dict[str, Any]:
    """One request whole, then several at once; the vocoder prepares a new length once, before."""
    speak(engine, admit, 1, num_tokens)
    total_s, vocoder_s, audio_s = speak(engine, admit, 1, num_tokens)
    together_s, _, together_audio_s = speak(engine, admit, STREAMS[-1], num_tokens)
    return {
        "audio_s": audio_s,
        "vocoder_ms_per_audio_s": 1e3 * vocoder_s / audio_s,
        "total_s": total_s,
        "rtf": total_s / audio_s,
        "times_real_time": audio_s / total_s,
        f"times_real_time_{STREAMS[-1]}": together_audio_s / together_s,
    }


def speak(engine: Engine, admit: Admit, streams: int, num_tokens: int) -> tuple[float, float, float]:
    """Seconds that it took, seconds of these in the vocoder, seconds of audio."""
    slots = list(range(streams))
    started = time.perf_counter()
    engine.prefill(admit(streams))
    engine.decode(slots, num_tokens)
    vocoder_started = time.perf_counter()
    waves = engine.vocode(dict.fromkeys(slots, Span(0, num_tokens, is_last=True)))
    finished = time.perf_counter()
    engine.release(slots)
    audio_s = sum(len(wave) for wave in waves.values()) / engine.spec.sample_rate_hz
    return finished - started, finished - vocoder_started, audio_s


def measure_streams(
    engine: Engine, admit: Admit, count: int, num_tokens: int, chunk_tokens: Sequence[int]
) -> dict[str, float]:
    """Streams that begin together. Chunks are vocoded in turn: the first one need not wait for all."""
    slots = list(range(count))
    first_s: dict[int, float] = {}
    num_samples = 0
    started = time.perf_counter()
    engine.prefill(admit(count))
    for start, stop in spans(num_tokens, chunk_tokens, engine.spec.first_chunk_tokens):
        engine.decode(slots, stop - start)
        for slot in slots:
            waves = engine.vocode({slot: Span(start, stop, is_last=stop == num_tokens)})
            first_s.setdefault(slot, time.perf_counter() - started)
            num_samples += len(waves[slot])
    total_s = time.perf_counter() - started
    engine.release(slots)
    audio_s = num_samples / engine.spec.sample_rate_hz
    return stream_figures(list(first_s.values()), total_s, audio_s, resident_mib())


def machine() -> dict[str, Any]:
    processor = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {"processor": processor, "cores": os.cpu_count(), "torch": torch.__version__}


def table(records: Iterable[dict[str, Any]]) -> Table:
    columns: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        name = " ".join(record[part] for part in ("engine", "variant", "dtype") if part in record)
        columns.setdefault(name, []).append(record)
    result = Table("", *columns)
    for key, label in ROWS.items():
        medians = [
            statistics.median(values) if (values := [r[key] for r in column if key in r]) else None
            for column in columns.values()
        ]
        if any(median is not None for median in medians):
            result.add_row(
                label,
                *(
                    "–" if median is None else f"{median:.3g}" if median < 100 else f"{median:.0f}"
                    for median in medians
                ),
            )
    return result


if __name__ == "__main__":
    main()
