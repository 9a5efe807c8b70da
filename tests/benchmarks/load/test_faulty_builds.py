"""Builds of the server with one part exchanged for a faulty one, under `voicecore bench` over loopback.

Each is the real application with its real speech route; only the device process behind it is a stand-in that
says the same at the same pace in every build. What a fault costs listeners is longer than any bound here by
arithmetic (sleeps don't end early), and a sound build keeps them by two orders of magnitude.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import structlog
import uvicorn
from typer.testing import CliRunner

from benchmarks.load.statistics import Summary
from models_store.recordings import wav_bytes
from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers.interface import Prompt, SamplingParams
from server.cli import app as voicecore
from server.errors import WorkerLost
from server.http.app import create_app
from server.http.audio_stream import Messages
from server.http.text_pool import ReadText
from server.scheduling.messages import Audio, Speak, UtteranceDone, WorkerState
from server.settings import Settings

pytestmark = pytest.mark.slow

RATE_HZ = 24_000
CHUNK_S = 0.1
NUM_CHUNKS = 20  # of an answer
PACE_S = 0.0125  # between chunks: eight times as fast as they are heard
NUM_REQUESTS = 20  # within one second
DROPS_EVERY = 100  # chunks
SILENCE_S = 3.5
LATE_S = 3.0  # serially, the last but one begins after 18 * 20 * 0.0125 s, and was due within the first


def chunk(speak: Speak, seconds: float, level: float) -> Audio:
    samples = np.full(round(seconds * RATE_HZ), level, np.float32)
    return Audio(speak.request_id, 0, samples.tobytes(), RATE_HZ, is_last=False)


class Sound:
    """Says two seconds to whoever asks, to as many at once as ask."""

    async def connect(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to end."""

    async def speak(self, speak: Speak) -> AsyncGenerator[Audio | UtteranceDone, None]:
        for _ in range(NUM_CHUNKS):
            await asyncio.sleep(PACE_S)
            yield chunk(speak, CHUNK_S, 0.3)
        yield UtteranceDone(speak.request_id, 0, NUM_CHUNKS, "stop")

    async def load(self, submission_id: str) -> WorkerState:
        raise WorkerLost("there is no device process")

    evict = load

    async def state(self) -> WorkerState:
        return await self.load("")


class DropsChunks(Sound):
    """Loses one chunk in a hundred and says nothing of it."""

    def __init__(self) -> None:
        self._said = 0

    async def speak(self, speak: Speak) -> Messages:
        async for message in super().speak(speak):
            self._said += isinstance(message, Audio)
            if isinstance(message, UtteranceDone) or self._said % DROPS_EVERY:
                yield message


class LeadsWithSilence(Sound):
    """Answers at once, with nothing to hear for as long as it takes to begin."""

    async def speak(self, speak: Speak) -> Messages:
        yield chunk(speak, SILENCE_S, 0.0)
        await asyncio.sleep(SILENCE_S)
        async for message in super().speak(speak):
            yield message


class AnswersSerially(Sound):
    """Speaks to one listener at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def speak(self, speak: Speak) -> Messages:
        async with self._turn:
            async for message in super().speak(speak):
                yield message


BUILDS: dict[str, Callable[[], Sound]] = {
    "sound": Sound,
    "drops-chunks": DropsChunks,
    "leads-with-silence": LeadsWithSilence,
    "answers-serially": AnswersSerially,
}


class OnePrompt:
    """A text reader that leaves texts whole."""

    async def read(
        self, files: SubmissionFiles, text: str, language: str | None, method: str | None = None
    ) -> ReadText:
        sampling = SamplingParams(1.0, 1, 1.0, 1.0, max_tokens=NUM_CHUNKS, seed=0)
        return ReadText((Prompt((1, 2, 3), text, language or "en"),), sampling)


def publish_anna(store: ModelsStore) -> None:
    with store.scratch() as scratch:
        weights, recording = scratch / "weights", scratch / "voice.wav"
        weights.write_bytes(b"weights")
        recording.write_bytes(wav_bytes(np.full(2_400, 0.25, np.float32), 24_000))
        converted = Converted("xtts", "fake", ("en",), {"weights": weights}, recording, 0.1)
        store.publish(Checked(Report("xtts"), converted), "anna")


@contextmanager
def served(build: Callable[[], Sound], home: Path) -> Iterator[str]:
    """The URL of a build of the server that has one submission, `anna`."""
    settings = Settings(home=home)
    store = ModelsStore(settings.store_path)
    publish_anna(store)
    app = create_app(settings, store, build(), OnePrompt())
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive(), "the server did not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def options(folder: Path) -> list[str]:
    """Every request is due within a second, and none is judged by how fast this machine is."""
    load = {"--rate": NUM_REQUESTS, "--arrivals": "constant", "--duration": 1, "--warm-up": 0}
    workload = {"--model": "anna", "--texts": folder / "texts.txt"}
    objective = {"--ttfa-ms": 1e3 * LATE_S, "--gap-ms": 1e3 * LATE_S, "--max-lag-ms": 60_000}
    rest = {"--processes": 1, "--output": folder / "report"}
    return [str(word) for option in (load | workload | objective | rest).items() for word in option]


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Summary]]:
    """What one campaign says of every build."""
    folder = tmp_path_factory.mktemp("builds")
    (folder / "texts.txt").write_text("en\tOne of two texts.\nen\tThe other one.\n")
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
    try:
        with ExitStack() as running:
            targets = [
                f"{name}={running.enter_context(served(build, folder / name))}"
                for name, build in BUILDS.items()
            ]
            result = CliRunner().invoke(voicecore, ["bench", *targets, *options(folder)])
        assert result.exit_code == 0, result.output
        runs = json.loads((folder / "report" / "summary.json").read_text())["results"]["runs"]
        yield {run["target"]: msgspec.convert(run["summary"], Summary) for run in runs}
    finally:
        structlog.reset_defaults()


def noticed(summary: Summary) -> set[str]:
    """The figures that are not what they should be."""
    assert summary.ttfa_s
    assert summary.first_audio_s
    assert summary.leading_silence_s
    assert summary.underruns
    assert summary.completeness
    found = {
        "success": summary.success < 1,
        "first audio": summary.first_audio_s.p95 > LATE_S,
        "audible audio": summary.ttfa_s.p95 > LATE_S,
        "leading silence": summary.leading_silence_s.p95 > 0,
        "underruns": summary.underruns.longest_s > LATE_S,
        "completeness": summary.completeness.share < 1,
    }
    return {name for name, is_off in found.items() if is_off}


@pytest.mark.parametrize(
    ("build", "shows_in", "missed"),
    [
        pytest.param("sound", set(), [], id="sound"),
        pytest.param("drops-chunks", {"completeness"}, ["complete"], id="drops-chunks"),
        pytest.param(
            "leads-with-silence",
            {"audible audio", "leading silence"},
            ["p95 audible TTFA"],
            id="leads-with-silence",
        ),
        pytest.param(
            "answers-serially", {"first audio", "audible audio"}, ["p95 audible TTFA"], id="answers-serially"
        ),
    ],
)
def test_a_fault_of_a_build_shows_in_the_right_figure_and_in_no_other(
    summaries: dict[str, Summary], build: str, shows_in: set[str], missed: list[str]
):
    found = summaries[build]
    assert found.requests == NUM_REQUESTS
    assert noticed(found) == shows_in
    assert len(found.misses) == len(missed)
    assert all(miss.startswith(start) for miss, start in zip(found.misses, missed, strict=True))


def test_figures_say_how_bad_a_fault_is(summaries: dict[str, Summary]):
    dropping, silent = summaries["drops-chunks"], summaries["leads-with-silence"]
    assert dropping.completeness
    chunks = NUM_CHUNKS * (1 + NUM_REQUESTS)  # one request comes before those that count
    assert dropping.completeness.lost_audio_s == pytest.approx(CHUNK_S * (chunks // DROPS_EVERY))
    assert silent.leading_silence_s
    assert silent.leading_silence_s.p50 == pytest.approx(SILENCE_S, abs=0.01)
    serial, sound = summaries["answers-serially"], summaries["sound"]
    assert silent.goodput_requests_per_s == 0
    assert serial.goodput_requests_per_s < sound.goodput_requests_per_s == NUM_REQUESTS
