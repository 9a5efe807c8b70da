"""What an HTTP process spends on its listeners: shares of its event loop and of a core, format by format.

    python -m benchmarks.http_share [--listeners 50 …] [--format pcm …] [--processes 1] [--output FILE.jsonl]

The real server but for its device process, whose stand-in has sound for everybody at once: ten seconds for
each request, in the chunks of a GPU and as far ahead of the listener as its scheduler gets. Listeners hear
each answer to its end and then ask for the next, so that each takes a second of sound per second. Shares are
CPU time over time, so neither the client nor the stand-in counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.chunks import spans
from server import child, supervisor
from server.http.encoders import FORMATS
from server.scheduling import messages
from server.scheduling.address import worker_socket
from server.scheduling.scheduler import Policy
from server.settings import Settings

# Never the same: the server keeps what it has read.
TEXTS = map("It took me {} days to develop a voice, and now I have it.".format, count(1))
RATE_HZ = 24_000
TOKEN_SAMPLES = 1114  # of XTTS: 1,024 of 22,050 Hz
AHEAD_S = Policy().lead_s
READ_BYTES = 2**16
START_S = 60.0
ROWS = {
    "event_loop_share": "event loop, % of a core",
    "threads_share": "codecs' threads, % of a core",
    "text_share": "text processes, % of a core",
    "first_byte_ms_p50": "first byte, p50, ms",
    "first_byte_ms_p95": "first byte, p95, ms",
    "listeners_per_event_loop": "listeners that fill one event loop",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listeners", type=int, nargs="+", default=[50])
    parser.add_argument("--format", choices=FORMATS, nargs="+", default=[*FORMATS])
    parser.add_argument("--tokens", type=int, default=215, help="of an answer; 215 are ten seconds")
    parser.add_argument("--processes", type=int, default=1, help="that serve HTTP")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--output", type=Path, metavar="FILE.jsonl")
    options = parser.parse_args(arguments)
    from benchmarks.engine_steps import machine  # torch, which neither the server nor the stand-in needs

    records = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(Path(scratch), options.tokens, options.processes) as server,
    ):
        for listeners in options.listeners:
            for name in options.format:
                figures = asyncio.run(measure(server, name, listeners, options.seconds))
                records.append({"machine": machine(), "http_processes": options.processes, **figures})
    if options.output:
        options.output.write_text("".join(json.dumps(record) + "\n" for record in records))
    Console(width=120).print(table(records))


# The server


@dataclass(frozen=True)
class Server:
    url: str
    process: psutil.Process  # the supervisor
    answer_s: float

    def http_processes(self) -> list[psutil.Process]:
        return [one for one in self.process.children() if "server.http_process" in one.cmdline()]


@contextmanager
def served(home: Path, num_tokens: int, http_processes: int) -> Iterator[Server]:
    """A server of one tiny submission, "measured", whose device process is a stand-in."""
    from benchmarks.engine_steps import submit
    from benchmarks.random_xtts import SIZES, write_submission

    submit(write_submission(home / "submission", SIZES["tiny"]), home)
    arguments = SERVER, str(home), str(num_tokens), str(http_processes)
    command = [sys.executable, "-m", "benchmarks.http_share", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            server = Server(url, psutil.Process(process.pid), num_tokens * TOKEN_SAMPLES / RATE_HZ)
            asyncio.run(wait_until_ready(server))
            yield server
        finally:
            process.terminate()


async def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_S
    async with aiohttp.ClientSession(server.url) as session:
        while True:
            try:
                async with session.get("/readyz") as response:
                    if response.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server was not ready after {START_S:g} s")
            await asyncio.sleep(0.1)


def run_server(home: str, num_tokens: str, http_processes: str) -> None:
    settings = Settings(
        home=Path(home), port=0, demo=False, http_processes=int(http_processes), log_level="warning"
    )
    device = (sys.executable, "-m", "benchmarks.http_share", DEVICE, num_tokens, child.SUPERVISED)
    supervisor.serve(settings, worker_command=device)


# The stand-in for the device process


def run_device(num_tokens: str) -> None:
    settings = child.begin()
    asyncio.run(_serve(worker_socket(settings.home_path), [*sound(int(num_tokens))]))


async def _serve(socket_path: Path, chunks: Sequence[bytes]) -> None:
    async with await asyncio.start_unix_server(partial(_converse, chunks), socket_path) as server:
        await server.serve_forever()


async def _converse(
    chunks: Sequence[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    frames = messages.FrameReader()
    speaking: dict[str, asyncio.Task[None]] = {}
    while data := await reader.read(READ_BYTES):
        for body in frames.feed(data):
            message = messages.to_worker.decode(body)
            if isinstance(message, messages.Speak):
                speaking[message.request_id] = asyncio.create_task(_speak(message, chunks, writer))
            elif isinstance(message, messages.Cancel):
                speaking.pop(message.request_id).cancel()
            elif isinstance(message, messages.GetState):
                writer.write(messages.frame(messages.Answer(message.call_id, state=STATE)))


async def _speak(asked: messages.Speak, chunks: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
    """One utterance after the other; a cancelled task ends them all."""
    name, begun, num_samples = asked.request_id, time.monotonic(), 0
    num_tokens = sum(map(len, chunks)) // (4 * TOKEN_SAMPLES)
    for index in range(len(asked.prompts)):
        for number, chunk in enumerate(chunks, 1):
            await asyncio.sleep(begun + num_samples / RATE_HZ - AHEAD_S - time.monotonic())
            audio = messages.Audio(name, index, chunk, RATE_HZ, is_last=number == len(chunks))
            writer.write(messages.frame(audio))
            num_samples += len(chunk) // 4
        writer.write(messages.frame(messages.UtteranceDone(name, index, num_tokens, "stop")))


def sound(num_tokens: int) -> Iterator[bytes]:
    """Noise as loud as speech, in the chunks of a GPU's policy: float32 as it leaves a device process."""
    noise = np.random.default_rng(0).normal(0, 0.1, num_tokens * TOKEN_SAMPLES).astype(np.float32)
    for start, stop in spans(num_tokens, Policy().chunk_tokens):
        yield noise[start * TOKEN_SAMPLES : stop * TOKEN_SAMPLES].tobytes()


STATE = messages.WorkerState(
    device="stand-in",
    dtype="float32",
    slots=1000,
    slots_in_use=0,
    queued_utterances=0,
    residents=(),
    device_weight_bytes=0,
    device_budget_bytes=0,
    conditioning_cache_bytes=0,
    conditioning_cache_hits=0,
    conditioning_cache_misses=0,
    decode_steps=0,
    speech_tokens=0,
    audio_seconds=0,
    process_rss_bytes=0,
    submission_loads=0,
)


# The listeners


async def measure(server: Server, name: str, listeners: int, seconds: float) -> dict[str, Any]:
    """Of so many listeners that all are under way: the window begins when the last one has begun."""
    answer_s = server.answer_s
    first_byte_s: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        tasks = [
            asyncio.create_task(listen(session, name, answer_s, answer_s * place / listeners, first_byte_s))
            for place in range(listeners)
        ]
        await asyncio.sleep(answer_s)
        first_byte_s.clear()
        before, began = cpu_seconds(server), time.monotonic()
        failed, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        spent = cpu_seconds(server) - before
        took_s = time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(set(tasks) - failed), return_exceptions=True)
        await asyncio.gather(*failed)  # raises what ended them
    event_loop, threads, text = 100 * spent / took_s
    quantiles = statistics.quantiles(first_byte_s, n=20)
    return {
        "format": name,
        "listeners": listeners,
        "seconds": took_s,
        "requests": len(first_byte_s),
        "event_loop_share": event_loop,
        "threads_share": threads,
        "text_share": text,
        "first_byte_ms_p50": 1e3 * quantiles[9],
        "first_byte_ms_p95": 1e3 * quantiles[18],
        "listeners_per_event_loop": 100 * listeners / event_loop,
    }


async def listen(
    session: aiohttp.ClientSession, name: str, answer_s: float, begin_s: float, first_byte_s: list[float]
) -> None:
    """Until cancelled: an answer, and the time that it takes to hear it."""
    asked = {"model": "measured", "voice": "default", "response_format": name}
    await asyncio.sleep(begin_s)
    while True:
        began = time.monotonic()
        async with session.post("/v1/audio/speech", json=asked | {"input": next(TEXTS)}) as response:
            if not response.ok:
                raise ConnectionError(f"found {response.status}: {await response.text()}; expected speech")
            await response.content.readany()
            first_byte_s.append(time.monotonic() - began)
            async for _ in response.content.iter_any():
                pass
        await asyncio.sleep(began + answer_s - time.monotonic())


def cpu_seconds(server: Server) -> np.ndarray[Any, Any]:
    """That HTTP processes have spent in their event loops, in other threads, and in their text processes."""
    spent = np.zeros(3)
    for process in server.http_processes():
        for thread in process.threads():
            spent[0 if thread.id == process.pid else 1] += thread.user_time + thread.system_time
        spent[2] += sum(sum(text.cpu_times()[:2]) for text in process.children(recursive=True))
    return spent


def table(records: Sequence[dict[str, Any]]) -> Table:
    result = Table("", *(f"{record['format']}, {record['listeners']}" for record in records))
    for key, label in ROWS.items():
        result.add_row(label, *(f"{record[key]:.3g}" for record in records))
    return result


SERVER, DEVICE = "--server", "--device-process"

if __name__ == "__main__":
    if DEVICE in sys.argv:
        run_device(sys.argv[2])
    elif SERVER in sys.argv:
        run_server(*sys.argv[2:])
    else:
        main()
