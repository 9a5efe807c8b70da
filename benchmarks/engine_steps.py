"""How long each step of an engine takes, beside the published implementation, in one run.

    python -m benchmarks.engine_steps FOLDER [--upstream-python PATH] [--output FILE.jsonl]

FOLDER is an XTTS submission; without one, a full-size random submission is made first. Every measurement
has a process of its own, so that memory is its own, and the rounds alternate between engines, so that a
machine whose speed drifts slows all of them. One line of JSON per process goes to the output; the table
shows medians. `benchmarks.gpt_sovits_steps` measures the other family with the same steps.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.process_memory import peak_resident_mib, resident_mib
from benchmarks.random_xtts import write_submission
from models_store.submission import SubmissionFiles
from providers.interface import (
    Admission,
    Conditioning,
    Engine,
    EngineSettings,
    Recording,
    ReferenceVoice,
    Span,
    Utterance,
)

TEXT = "It took me quite a long time to develop a voice, and now I have it."
DECODE_BATCHES = (1, 4, 8)
STREAMS = 8
CHUNK_TOKENS = (8, 12, 20, 40, 80)  # as the server's scheduler grows them, but for a CPU's first
TIMED_STEPS = 30
MATRIX_SIZE, MATRIX_PRODUCTS = 512, 20

Admit = Callable[[int], dict[int, Admission]]  # how many → slot → utterance

ROWS = {
    "matmul_gflops": "matrix product, GFLOP/s",
    "load_s": "load, s",
    "resident_mib": "resident after load, MiB",
    "peak_resident_mib": "peak resident, MiB",
    "conditioning_s": "conditioning, s",
    "prefill_ms": "prefill, ms",
    "decode_ms_per_token": "decode step, batch 1, ms",
    "decode_ms_batch_4": "decode step, batch 4, ms",
    "decode_ms_batch_8": "decode step, batch 8, ms",
    "decode_ms_batch_16": "decode step, batch 16, ms",
    "latent_pass_ms": "second pass for latents, ms",
    "vocoder_ms_per_audio_s": "vocoder, ms per second of audio",
    "total_s": "one request, s",
    "rtf": "one request, RTF",
    "times_real_time": "one stream, × real time",
    "times_real_time_8": "eight streams, × real time",
    "stream_ttfa_s": "streaming, first audio, s",
    "stream_total_s": "streaming, whole, s",
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
    parser.add_argument("--batch", type=int, action="append", help="of decode steps; default: 1, 4, 8")
    parser.add_argument("--output", type=Path, metavar="FILE.jsonl")


def common_flags(options: argparse.Namespace) -> list[str]:
    """Those that the published implementation is measured with too."""
    return ["--threads", str(options.threads), "--tokens", str(options.tokens)]


def submit(folder: Path, home: Path) -> None:
    from models_store.store import ModelsStore

    ModelsStore(home / "store").submit(folder, name="measured")


def own_commands(home: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """One for each number format."""
    flags = ["--one", str(home), "--device", options.device, *common_flags(options)]
    flags += [part for batch in options.batch or DECODE_BATCHES for part in ("--batch", str(batch))]
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
            yield {"round": round_index, "machine": machine(), **json.loads(finished.stdout)}


def report(records: Sequence[dict[str, Any]], output: Path | None) -> None:
    if output:
        output.write_text("".join(json.dumps(record) + "\n" for record in records))
    Console(width=120).print(table(records))


def measure(home: Path, dtype: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Of the submission that is called "measured" in the store of `home`."""
    import torch

    from models_store.store import ModelsStore

    torch.set_num_threads(options.threads)
    batches = options.batch or DECODE_BATCHES
    store = ModelsStore(home / "store")
    files = store.files(store.resolve("measured").id)
    settings = EngineSettings(device=options.device, dtype=dtype, num_slots=max(*batches, STREAMS))
    figures: dict[str, Any] = {
        "engine": "voicecore",
        "variant": files.submission.variant,
        "device": options.device,
        "dtype": dtype,
        "threads": options.threads,
        "matmul_gflops": matmul_gflops(),
    }
    engine = load(files, settings, figures)
    conditioning = condition(engine, files, figures)
    admit = admitting(files, conditioning, options.tokens, figures)
    figures |= measure_steps(engine, admit, batches)
    figures |= measure_requests(engine, admit, options.tokens)
    figures |= measure_stream(engine, admit, options.tokens)
    figures["peak_resident_mib"] = peak_resident_mib()
    return figures


def load(files: SubmissionFiles, settings: EngineSettings, figures: dict[str, Any]) -> Engine:
    from providers import registry

    provider = registry.provider(files.submission.family)
    started = time.perf_counter()
    engine = provider.create_engine(provider.architecture(files), settings)
    arrival = engine.load(provider.read_weights(files, settings))
    if arrival is not None:
        arrival.result()
    figures["load_s"] = time.perf_counter() - started
    figures["resident_mib"] = resident_mib()
    return engine


def condition(engine: Engine, files: SubmissionFiles, figures: dict[str, Any]) -> Conditioning:
    """On the submission's own voice."""
    from models_store.recordings import read_recording

    own = files.submission.voice
    recordings = tuple(Recording(*read_recording(path)) for path in files.recordings)
    voice = ReferenceVoice(recordings, own.language, own.transcript)
    started = time.perf_counter()
    conditioning = engine.condition(files.submission.id, voice)
    figures["conditioning_s"] = time.perf_counter() - started
    return conditioning


def admitting(
    files: SubmissionFiles, conditioning: Conditioning, num_tokens: int, figures: dict[str, Any]
) -> Admit:
    """Utterances of the one text, each in a slot of its own."""
    from providers import registry

    front_end = registry.text_front_end(files)
    (prompt,) = front_end.prompts(TEXT, "en", "cut0")
    sampling = replace(front_end.default_sampling, max_tokens=num_tokens, seed=1)
    submission = files.submission
    figures |= {"text_tokens": len(prompt.ids), "tokens": num_tokens}

    def utterance(slot: int) -> Utterance:
        return Utterance(
            request_id=str(slot),
            index=slot,
            submission_id=submission.id,
            voice_id=submission.voice.id,
            prompt=prompt,
            sampling=sampling,
        )

    return lambda count: {slot: Admission(utterance(slot), conditioning) for slot in range(count)}


def matmul_gflops() -> float:
    """How fast this machine multiplies just now: it may share its cores, and what follows depends on it."""
    import torch

    left, right = torch.randn(2, MATRIX_SIZE, MATRIX_SIZE)
    seconds = []
    for _ in range(MATRIX_PRODUCTS):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return 2e-9 * MATRIX_SIZE**3 / statistics.median(seconds)


def measure_steps(engine: Engine, admit: Admit, batches: Sequence[int]) -> dict[str, Any]:
    """Prefill and decode step, each alone; the first of each is not timed."""
    figures = {}
    for _ in range(2):
        started = time.perf_counter()
        engine.prefill(admit(1))
        figures["prefill_ms"] = 1e3 * (time.perf_counter() - started)
        engine.decode([0], 2)
        engine.release([0])
    for batch in batches:
        slots = list(range(batch))
        engine.prefill(admit(batch))
        engine.decode(slots, 2)
        started = time.perf_counter()
        engine.decode(slots, TIMED_STEPS)
        name = "decode_ms_per_token" if batch == 1 else f"decode_ms_batch_{batch}"
        figures[name] = 1e3 * (time.perf_counter() - started) / TIMED_STEPS
        engine.release(slots)
    return figures


def measure_requests(engine: Engine, admit: Admit, num_tokens: int) -> dict[str, Any]:
    """One request whole, then several at once; the vocoder prepares a new length once, before."""
    speak(engine, admit, 1, num_tokens)
    total_s, vocoder_s, audio_s = speak(engine, admit, 1, num_tokens)
    together_s, _, together_audio_s = speak(engine, admit, STREAMS, num_tokens)
    return {
        "audio_s": audio_s,
        "vocoder_ms_per_audio_s": 1e3 * vocoder_s / audio_s,
        "total_s": total_s,
        "rtf": total_s / audio_s,
        "times_real_time": audio_s / total_s,
        f"times_real_time_{STREAMS}": together_audio_s / together_s,
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


def measure_stream(engine: Engine, admit: Admit, num_tokens: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    started = time.perf_counter()
    engine.prefill(admit(1))
    for start, stop in spans(num_tokens, engine.spec.first_chunk_tokens):
        engine.decode([0], stop - start)
        engine.vocode({0: Span(start, stop, is_last=stop == num_tokens)})
        figures.setdefault("stream_ttfa_s", time.perf_counter() - started)
    engine.release([0])
    figures["stream_total_s"] = time.perf_counter() - started
    return figures


def spans(num_tokens: int, first_chunk_tokens: int = 1) -> Iterator[tuple[int, int]]:
    """The first one is long enough to be heard."""
    start = 0
    for index in range(num_tokens):
        if start >= num_tokens:
            return
        size = CHUNK_TOKENS[min(index, len(CHUNK_TOKENS) - 1)]
        stop = min(num_tokens, start + (size if start else max(size, first_chunk_tokens)))
        yield start, stop
        start = stop


def machine() -> dict[str, Any]:
    import torch

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
