"""A simulated server in simulated time, and a stand-in one on loopback that speaks every dialect.

`simulate` runs a client against the simulated server under an event loop whose clock jumps to the next timer:
an hour of load takes as long as its events do, and what is measured is exact.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from benchmarks.load.adapters import Target
from benchmarks.load.arrivals import Load
from benchmarks.load.client import Client, Share
from benchmarks.load.playback import PcmTrack, Track
from benchmarks.load.record import Record
from benchmarks.load.texts import Text
from benchmarks.load.workload import Ask, Workload

RATE_HZ = 8_000
CHUNK_S = 0.2  # of audio


def sound(seconds: float) -> bytes:
    return np.full(round(seconds * RATE_HZ), 10_000, "<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE_HZ))


@dataclass
class SimulatedServer:
    """First audio after `first_s`, then a chunk every `every_s`; as many requests at once as `at_once`.

    The rest are ways to be a bad server.
    """

    first_s: float = 0.05
    every_s: float = 0.1
    num_chunks: int = 10
    at_once: int = 1_000_000
    drops_every: int = 0  # one chunk of so many, silently
    leads_with_silence_s: float = 0.0  # sent at once, so that something has come
    stalls: tuple[float, float] = (0.0, 0.0)  # from, to: says nothing meanwhile
    refuses_every: int = 0
    breaks_off_every: int = 0
    blocks_client_s: float = 0.0
    asked: list[tuple[float, Ask]] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0
    _sent: int = 0
    _places: asyncio.Semaphore | None = None

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[SimulatedResponse]:
        loop = asyncio.get_running_loop()
        if self.blocks_client_s:
            loop.now += self.blocks_client_s  # type: ignore[attr-defined]
        self.asked.append((loop.time(), ask))
        number = len(self.asked)
        if self.refuses_every and number % self.refuses_every == 0:
            yield SimulatedResponse(429, refusal())
            return
        self._places = self._places or asyncio.Semaphore(self.at_once)
        async with self._places:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            try:
                yield SimulatedResponse(200, self._speak(number))
            finally:
                self._running -= 1

    async def _speak(self, number: int) -> AsyncIterator[bytes]:
        if self.leads_with_silence_s:
            await asyncio.sleep(self.first_s)
            yield silence(self.leads_with_silence_s)
            await asyncio.sleep(self.leads_with_silence_s - self.every_s)
        for position in range(self.num_chunks):
            await asyncio.sleep(self.every_s if position or self.leads_with_silence_s else self.first_s)
            start, stop = self.stalls
            now = asyncio.get_running_loop().time()
            if start <= now < stop:
                await asyncio.sleep(stop - now)
            if self.breaks_off_every and number % self.breaks_off_every == 0 and position == 3:
                raise ConnectionResetError("broken off")
            self._sent += 1
            if not self.drops_every or self._sent % self.drops_every:
                yield sound(CHUNK_S)


async def refusal() -> AsyncIterator[bytes]:
    yield b"busy"


class SimulatedResponse:
    def __init__(self, status: int, content: AsyncIterator[bytes]) -> None:
        self.status = status
        self.track: Track = PcmTrack(RATE_HZ)
        self._content = content

    async def read(self) -> bytes:
        return await anext(self._content, b"")


class _Timers(selectors.SelectSelector):
    """Waits for nothing: passes the time that it was to wait for."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for nobody"
            self.loop.now += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        timers = _Timers()
        timers.loop = self
        super().__init__(timers)

    def time(self) -> float:
        return self.now


def run_simulated(share: Share, server: SimulatedServer) -> list[Record]:
    records: list[Record] = []
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(Client(share, server, records.append).run(begin_at=0.0))
    finally:
        loop.close()
    return sorted(records, key=lambda record: (record.scheduled_s, record.index))


@pytest.fixture(scope="session")
def simulated_server() -> type[SimulatedServer]:
    return SimulatedServer


@pytest.fixture(scope="session")
def workload() -> Workload:
    texts = tuple(Text("ordinary", "en", f"Text number {number}.") for number in range(5))
    return Workload(texts, models=("anna",))


@pytest.fixture(scope="session")
def simulate(workload: Workload) -> Callable[..., list[Record]]:
    """`simulate(server, load, duration_s, **more of the share)` → the records."""

    def simulate(server: SimulatedServer, load: Load, duration_s: float = 60.0, **more: Any) -> list[Record]:
        fields = {"workload": workload, "load": load, "duration_s": duration_s, "timeout_s": 1_000.0} | more
        return run_simulated(Share(**fields), server)

    return simulate


@pytest.fixture
def ask_simulated() -> Callable[..., Callable[..., list[Record]]]:
    """`ask_simulated(make_server)` → what a campaign asks with; a new server for every run."""

    def ask_simulated(make_server: Callable[[Target], SimulatedServer]) -> Callable[..., list[Record]]:
        def ask(share: Share, target: Target, folder: Path, processes: int) -> list[Record]:
            return run_simulated(replace(share), make_server(target))

        return ask

    return ask_simulated


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """A record by its times. `arrivals`: (time, seconds of audio)."""

    def make_record(
        index: int = 0, scheduled_s: float = 0.0, arrivals: tuple[tuple[float, float], ...] = (), **more: Any
    ) -> Record:
        fields = {
            "sent_s": scheduled_s,
            "finished_s": arrivals[-1][0] if arrivals else scheduled_s,
            "model": "anna",
            "voice": "default",
            "format": "pcm",
            "language": "en",
            "text_set": "ordinary",
            "text": f"text {index}",
            "seed": 0,
            "sample_rate_hz": 1_000,
            "arrivals": tuple((at_s, round(1_000 * audio_s)) for at_s, audio_s in arrivals),
            "first_audible": 0 if arrivals else None,
        }
        return Record(index=index, scheduled_s=scheduled_s, **(fields | more))

    return make_record


@dataclass
class StandIn:
    """A server on loopback: half a second of sound in five chunks, in every dialect that is asked for."""

    url: str = ""
    bodies: list[tuple[str, Any]] = field(default_factory=list)
    voices: dict[str, bytes] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    loads: int = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.add_routes(
            [
                web.post("/v1/audio/speech", self._openai),
                web.post("/v1/audio/voices", self._add_voice),
                web.delete("/v1/audio/voices/{name}", self._delete_voice),
                web.post("/tts_stream", self._wav),
                web.post("/tts", self._wav),
                web.get("/studio_speakers", self._speakers),
                web.post("/clone_speaker", self._clone),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._spoken(request, b"", {"x-sample-rate": str(RATE_HZ)})

    async def _wav(self, request: web.Request) -> web.StreamResponse:
        header = (
            b"RIFF" + bytes(4) + b"WAVEfmt \x10\0\0\0\1\0\1\0" + RATE_HZ.to_bytes(4, "little")
            + (2 * RATE_HZ).to_bytes(4, "little") + b"\2\0\x10\0data" + bytes(4)
        )  # fmt: skip
        return await self._spoken(request, header, {})

    async def _spoken(
        self, request: web.Request, header: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        self.bodies.append((request.path, await request.json()))
        if self.refusal:
            return web.Response(status=self.refusal[0], text=self.refusal[1])
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for part in (header, *(sound(0.1) for _ in range(5))):
            if part:
                await response.write(part)
        await response.write_eof()
        return response

    async def _add_voice(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.voices[str(form["name"])] = form["file"].file.read()  # type: ignore[union-attr]
        return web.json_response({"name": form["name"]})

    async def _delete_voice(self, request: web.Request) -> web.Response:
        self.deleted.append(request.match_info["name"])
        return web.Response(status=204)

    async def _speakers(self, request: web.Request) -> web.Response:
        return web.json_response({"Ana": {"speaker_embedding": [1.0], "gpt_cond_latent": [[2.0]]}})

    async def _clone(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert "wav_file" in form
        return web.json_response({"speaker_embedding": [3.0], "gpt_cond_latent": [[4.0]]})

    async def _metrics(self, request: web.Request) -> web.Response:
        self.loads += 3
        told = (
            f"voicecore_submission_loads_total {self.loads}\nvoicecore_worker_resident_memory_bytes 5e+06\n"
        )
        return web.Response(text=f'# HELP x y\n{told}other 1\nlabelled{{a="b"}} 2\n')


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(stand_in.app())
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield stand_in
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def json_of() -> Callable[[bytes], Any]:
    return json.loads
