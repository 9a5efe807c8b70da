"""A real HTTP server on loopback before an honest, tiny device process.

`FakeSpeech` implements the seam of the scheduling client: each utterance is a tone whose pitch only this
submission, voice and text give, so a test can tell from the audio alone what was spoken and in what order.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import msgspec
import numpy as np
import psutil
import pytest
import soundfile
import structlog
import uvicorn
from fastapi import FastAPI

from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore
from models_store.submission import Submission, SubmissionFiles
from providers.errors import SynthesisError
from server.errors import WorkerLost
from server.http.app import create_app
from server.http.text_pool import ReadText
from server.scheduling.messages import Audio, Resident, Speak, UtteranceDone, WorkerState
from server.settings import Settings

SAMPLE_RATE_HZ = 24_000
SAMPLES_PER_TOKEN = 1_200  # 50 ms
CHUNK_TOKENS = 4

STATE = WorkerState(
    device="cpu",
    dtype="float32",
    slots=8,
    slots_in_use=1,
    queued_utterances=2,
    residents=(),
    device_weight_bytes=3,
    device_budget_bytes=4,
    conditioning_cache_bytes=5,
    conditioning_cache_hits=6,
    conditioning_cache_misses=7,
    decode_steps=8,
    speech_tokens=9,
    audio_seconds=10.5,
    process_rss_bytes=11,
    submission_loads=12,
)


def tone(speak: Speak, index: int, start: int, stop: int) -> np.ndarray:
    """Samples of speech tokens [start, stop) of an utterance."""
    identity = (speak.submission_id, speak.voice_id, speak.prompts[index].text)
    digest = hashlib.sha256(repr(identity).encode()).digest()
    pitch_hz = 200 + 1020 * int.from_bytes(digest[:4], "big") / 2**32
    t = np.arange(start * SAMPLES_PER_TOKEN, stop * SAMPLES_PER_TOKEN) / SAMPLE_RATE_HZ
    # The glide makes one place of the tone unlike any other, so that a delay can be measured.
    return (0.5 * np.sin(2 * np.pi * pitch_hz * t * (1 + 0.1 * t))).astype(np.float32)


def whole_tone(speak: Speak) -> np.ndarray:
    """All of a request's samples in reading order."""
    return np.concatenate(
        [tone(speak, index, 0, len(prompt.ids)) for index, prompt in enumerate(speak.prompts)]
    )


@dataclass
class FakeSpeech:
    """One token per character of an utterance. A test may set how it shall behave."""

    spoken: list[Speak] = field(default_factory=list)
    cancelled_at: dict[str, float] = field(default_factory=dict)
    resident: dict[str, str] = field(default_factory=dict)  # submission id → place
    evicted: list[str] = field(default_factory=list)
    in_use: set[str] = field(default_factory=set)
    is_up: bool = True
    hangs: bool = False
    order: Callable[[list[Audio | UtteranceDone]], list[Audio | UtteranceDone]] = list
    error: Exception | None = None
    error_after: int = 0  # messages
    first_delay_s: float = 0.0
    delay_s: float = 0.0  # between messages
    sample_rate_hz: int = SAMPLE_RATE_HZ

    async def connect(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to end."""

    async def speak(self, speak: Speak) -> AsyncGenerator[Audio | UtteranceDone, None]:
        self._check_up()
        self.spoken.append(speak)
        completed = False
        try:
            await asyncio.sleep(self.first_delay_s)
            for position, message in enumerate(self.order(_messages(speak, self.sample_rate_hz))):
                if self.error is not None and position == self.error_after:
                    raise self.error
                yield message
                await asyncio.sleep(self.delay_s)
            if self.error is not None:
                raise self.error
            completed = True
        except Exception:
            completed = True
            raise
        finally:
            if not completed:
                self.cancelled_at[speak.request_id] = time.monotonic()

    async def load(self, submission_id: str) -> WorkerState:
        self.resident[submission_id] = "device"
        return await self.state()

    async def evict(self, submission_id: str) -> WorkerState:
        self._check_up()
        self.evicted.append(submission_id)
        self.resident.pop(submission_id, None)
        return await self.state()

    async def state(self) -> WorkerState:
        self._check_up()
        await asyncio.sleep(3600 * self.hangs)
        residents = tuple(Resident(found, 100, place, 0) for found, place in self.resident.items())
        return msgspec.structs.replace(STATE, residents=residents)

    def _check_up(self) -> None:
        if not self.is_up:
            raise WorkerLost("the device process is not up; it is being started. Try again in a moment.")


def _messages(speak: Speak, sample_rate_hz: int) -> list[Audio | UtteranceDone]:
    messages: list[Audio | UtteranceDone] = []
    for index, prompt in enumerate(speak.prompts):
        length = len(prompt.ids)
        for start in range(0, length, CHUNK_TOKENS):
            stop = min(start + CHUNK_TOKENS, length)
            samples = tone(speak, index, start, stop).tobytes()
            messages.append(Audio(speak.request_id, index, samples, sample_rate_hz, stop == length))
        messages.append(UtteranceDone(speak.request_id, index, length, "stop"))
    return messages


class TextHere:
    """A text reader in this process: the fake family's front end, without processes and cache."""

    def __init__(self, front_end: Callable[[SubmissionFiles], Any]) -> None:
        self._front_end = front_end
        self.delay_s = 0.0

    async def read(
        self, files: SubmissionFiles, text: str, language: str | None, method: str | None = None
    ) -> ReadText:
        await asyncio.sleep(self.delay_s)
        front_end = self._front_end(files)
        return ReadText(tuple(front_end.prompts(text, language, method)), front_end.default_sampling)


class QuickServer(uvicorn.Server):
    """Looks for its end more often than every 0.1 s: there is one per test."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.005)


class Running:
    """A server that answers, and all of its parts."""

    def __init__(self, app: FastAPI, speech: FakeSpeech, store: ModelsStore, text: TextHere) -> None:
        self.app = app
        self.speech = speech
        self.store = store
        self.text = text
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{self.address}"
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none")
        self._server = QuickServer(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Running:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
            assert self._thread.is_alive(), "the server did not start"
        self.http = httpx.Client(base_url=self.url, timeout=20, trust_env=False, verify=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive(), "the server did not stop"

    def speak(self, input: str = "hello there", **fields: Any) -> httpx.Response:
        return self.http.post("/v1/audio/speech", json={"model": "anna", "input": input} | fields)


PROGRAM = """
    import asyncio, json, socket, sys
    import uvicorn
    from models_store.store import ModelsStore
    from server.http.app import create_app
    from server.scheduling.client import SpeechClient
    from server.settings import Settings

    class NeverReads:
        async def read(self, *_):
            await asyncio.Event().wait()

    settings = Settings(**json.loads(sys.argv[1]))
    client = SpeechClient(settings.home_path / "worker.sock")
    app = create_app(settings, ModelsStore(settings.store_path), client, NeverReads())
    listening = socket.socket(fileno=int(sys.argv[2]))
    uvicorn.Server(uvicorn.Config(app, log_config=None)).run(sockets=[listening])
"""


class KillableServer:
    """A process with the application alone, which can't speak. Its socket outlives it, as with the
    supervisor."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self._settings = {"home": str(home), "demo": False, "log_level": "error"} | settings
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def start(self) -> None:
        descriptor = self._listening.fileno()
        program = textwrap.dedent(PROGRAM)
        command = [sys.executable, "-c", program, json.dumps(self._settings), str(descriptor)]
        self._process = subprocess.Popen(command, pass_fds=[descriptor])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> KillableServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._listening.close()

    @property
    def resident_bytes(self) -> int:
        return psutil.Process(self._process.pid).memory_info().rss


@pytest.fixture(scope="session")
def killable_server() -> type[KillableServer]:
    return KillableServer


@pytest.fixture(autouse=True)
def log_where_pytest_collects_it() -> Iterator[None]:
    """The last line of a request may come after its test has ended; printed, it would be in the way."""
    structlog.configure(
        logger_factory=structlog.stdlib.LoggerFactory(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(),
        ],
    )
    yield
    structlog.reset_defaults()


@pytest.fixture
def store(tmp_path: Path) -> ModelsStore:
    return ModelsStore(tmp_path / "home" / "store")


@pytest.fixture
def publish(store: ModelsStore) -> Callable[..., Submission]:
    """Puts a submission of the fake family into the store, past the intake."""

    def publish(name: str, languages: tuple[str, ...] = ("en", "de")) -> Submission:
        with store.scratch() as scratch:
            weights, recording = scratch / "weights", scratch / "voice.wav"
            weights.write_bytes(name.encode())
            soundfile.write(recording, np.full(2400, 0.25, np.float32), 24_000, subtype="FLOAT")
            converted = Converted("xtts", "fake", languages, {"weights": weights}, recording, 0.1)
            return store.publish(Checked(Report("xtts"), converted), name).submission

    return publish


@pytest.fixture
def serve(
    tmp_path: Path, store: ModelsStore, publish: Callable[..., Submission], fake_family: ModuleType
) -> Iterator[Callable[..., Running]]:
    """Starts a server that has one submission, `anna`; its arguments are settings."""
    publish("anna")
    with ExitStack() as running:

        def serve(clock: Callable[[], float] = time.time, **settings: Any) -> Running:
            speech, text = FakeSpeech(), TextHere(fake_family.FakeTextFrontEnd)
            app = create_app(Settings(home=tmp_path / "home", **settings), store, speech, text, clock)
            return running.enter_context(Running(app, speech, store, text))

        yield serve


@pytest.fixture
def server(serve: Callable[..., Running]) -> Running:
    return serve()


@pytest.fixture(scope="session")
def expected_tone() -> Callable[[Speak], np.ndarray]:
    return whole_tone


@pytest.fixture(scope="session")
def synthesis_error() -> SynthesisError:
    return SynthesisError("found a text that can't be spoken.")
