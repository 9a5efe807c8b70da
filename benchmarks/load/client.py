"""One client process' share of a load: an event loop that asks when it is time, and writes down what comes.

Time is the event loop's, so that tests can run hours of it at once.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from benchmarks.load.adapters import ADAPTERS, Target, request_of
from benchmarks.load.arrivals import Load
from benchmarks.load.playback import TRACKS, BadAudio, Played, Track
from benchmarks.load.record import Record
from benchmarks.load.workload import Ask, Workload

# How far ahead of what it hears a paced listener reads. Less would measure timers, more wouldn't be paced.
READ_AHEAD_S = 0.5
LONGEST_STAGGER_S = 10.0  # until the last listener of a load has begun
LONGEST_TOLD_ERROR = 200  # characters
PACED_BUFFER_BYTES = 16 * 1024  # a third of a second of PCM at 24 kHz
UNPACED_BUFFER_BYTES = 256 * 1024


class Response(Protocol):
    """An answer that has begun."""

    status: int
    track: Track

    async def read(self) -> bytes:
        """What has come since; waits for some. Empty: that was all."""


class Transport(Protocol):
    def ask(self, ask: Ask) -> AbstractAsyncContextManager[Response]: ...


@dataclass(frozen=True, slots=True)
class Share:
    """Every `of`-th request of a load, or every `of`-th of its clients or listeners, from `part` on."""

    workload: Workload
    load: Load
    duration_s: float
    timeout_s: float
    part: int = 0
    of: int = 1
    seed: int = 0
    run: int = 0


class Client:
    """Asks its share; `keep` gets a record of every request."""

    def __init__(self, share: Share, transport: Transport, keep: Callable[[Record], None]) -> None:
        self._share = share
        self._transport = transport
        self._keep = keep
        self._began_at = 0.0

    async def run(self, begin_at: float) -> None:
        """From `begin_at`, a time of the loop's clock, until the last answer or its timeout."""
        self._began_at = begin_at
        load = self._share.load
        if load.is_open:
            await self._ask_as_scheduled()
        else:
            loop = self._ask_and_listen if load.kind == "listeners" else self._ask_again
            members = range(self._share.part, int(load.level), self._share.of)
            await asyncio.gather(*(loop(member) for member in members))

    async def _ask_as_scheduled(self) -> None:
        asked: set[asyncio.Task[Record]] = set()
        for index, scheduled_s in self._arrivals():
            await self._sleep_until(scheduled_s)
            task = asyncio.create_task(self._ask(index, scheduled_s))
            asked.add(task)
            task.add_done_callback(asked.discard)
        await asyncio.gather(*asked)

    def _arrivals(self) -> Iterator[tuple[int, float]]:
        share = self._share
        for index, scheduled_s in enumerate(share.load.arrivals(share.duration_s, share.seed)):
            if index % share.of == share.part:
                yield index, scheduled_s

    async def _ask_again(self, member: int) -> None:
        await self._sleep_until(0.0)
        for index in self._indices(member):
            if (now := self._now()) >= self._share.duration_s:
                return
            record = await self._ask(index, now)
            if not record.succeeded:
                await asyncio.sleep(0.1)  # refusals come at once, and the next one would too

    async def _ask_and_listen(self, member: int) -> None:
        share = self._share
        dice = random.Random(f"{share.seed}/listener/{member}")
        next_s = dice.uniform(0, min(LONGEST_STAGGER_S, share.duration_s / 3))
        for index in self._indices(member):
            await self._sleep_until(next_s)
            if next_s >= share.duration_s:
                return
            record = await self._ask(index, next_s, is_paced=True)
            next_s = self._now()
            if record.arrivals:
                heard_until_s = record.arrivals[0][0] + record.audio_s + sum(record.gaps_s())
                next_s = max(next_s, heard_until_s)
            elif not record.succeeded:
                next_s += 0.1

    def _indices(self, member: int) -> Iterator[int]:
        """No two members ask for the same number."""
        index = member
        while True:
            yield index
            index += int(self._share.load.level)

    async def _ask(self, index: int, scheduled_s: float, is_paced: bool = False) -> Record:
        ask = self._share.workload.ask(index)
        status, num_bytes, error = 0, 0, ""
        track: Track | None = None
        sent_s = self._now()

        async def listen() -> None:
            nonlocal status, num_bytes, track
            async with self._transport.ask(ask) as response:
                status = response.status
                if status != 200:
                    told = (await response.read()).decode(errors="replace")[:LONGEST_TOLD_ERROR]
                    raise BadAudio(f"status {status}: {told}")
                track = response.track
                first_at_s: float | None = None
                while data := await response.read():
                    now = self._now()
                    num_bytes += len(data)
                    track.feed(now, data)
                    if is_paced and track.buffered_s:
                        first_at_s = now if first_at_s is None else first_at_s
                        await self._sleep_until(first_at_s + track.buffered_s - READ_AHEAD_S)

        try:
            await asyncio.wait_for(listen(), self._share.timeout_s)
        except asyncio.TimeoutError:
            error = f"no end after {self._share.timeout_s:g} s"
        except (BadAudio, OSError, aiohttp.ClientError, EOFError) as raised:
            error = str(raised) or type(raised).__name__
        finished_s = self._now()
        played, unplayable = await _finish(track)
        if not error and not unplayable and not (played and played.arrivals):
            unplayable = "found no audio; expected some"
        record = Record(
            index=index,
            scheduled_s=scheduled_s,
            sent_s=sent_s,
            finished_s=finished_s,
            model=ask.model,
            voice=ask.voice,
            format=ask.format,
            language=ask.text.language,
            text_set=ask.text.set,
            text=ask.text.text,
            seed=ask.seed,
            run=self._share.run,
            is_voice_new=ask.is_voice_new,
            status=status,
            error=error or unplayable,
            num_bytes=num_bytes,
            sample_rate_hz=played.sample_rate_hz if played else 0,
            arrivals=played.arrivals if played else (),
            first_audible=played.first_audible if played else None,
        )
        self._keep(record)
        return record

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began_at

    async def _sleep_until(self, at_s: float) -> None:
        if (seconds := at_s - self._now()) > 0:
            await asyncio.sleep(seconds)


async def _finish(track: Track | None) -> tuple[Played | None, str]:
    """(what was heard, why it can't be)"""
    if track is None:
        return None, ""
    try:
        # Decoding takes milliseconds, which other requests' clocks don't have.
        is_coded = track.buffered_s is None
        return (await asyncio.to_thread(track.finish) if is_coded else track.finish()), ""
    except BadAudio as error:
        return None, str(error)


class HttpResponse:
    """aiohttp's, with the track that its format and headers ask for."""

    def __init__(self, response: aiohttp.ClientResponse, format: str, sample_rate_hz: int) -> None:
        self._response = response
        self.status = response.status
        self.track = TRACKS[format](int(response.headers.get("x-sample-rate", sample_rate_hz)))

    async def read(self) -> bytes:
        return await self._response.content.readany()


class HttpTransport:
    """POSTs to a target, over connections that are kept open."""

    def __init__(self, session: aiohttp.ClientSession, target: Target) -> None:
        self._session = session
        self._target = target
        self._adapter = ADAPTERS[target.adapter]

    @asynccontextmanager
    async def ask(self, ask: Ask) -> AsyncIterator[HttpResponse]:
        body, format = request_of(self._target, ask)
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._adapter.path, data=body, headers=headers) as response:
            yield HttpResponse(response, format, self._adapter.sample_rate_hz)


def open_session(target: Target, is_paced: bool = False) -> aiohttp.ClientSession:
    """As many connections as are asked for, none through a proxy. To be used in an event loop.

    A paced listener's connections hold little: what has been sent must not all be here already.
    """
    return aiohttp.ClientSession(
        target.url,
        headers=target.headers,
        connector=aiohttp.TCPConnector(limit=0, socket_factory=_small_socket if is_paced else None),
        read_bufsize=PACED_BUFFER_BYTES if is_paced else UNPACED_BUFFER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None),  # each request has its own
        trust_env=False,
    )


def _small_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, type, protocol, _, _ = address
    opened = socket.socket(family, type, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PACED_BUFFER_BYTES)
    return opened
