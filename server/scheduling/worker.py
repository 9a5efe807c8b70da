"""The process that owns a device: `python -m server.scheduling.worker`.

Threads: one drives the engines (and owns all state, see `Desk`), one does the sockets (asyncio), one reads
weights, one derives conditionings. Only the first is ever waited for, and it waits for nobody.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NoReturn

import msgspec
import structlog

from models_store.errors import ModelsStoreError
from models_store.store import ModelsStore
from providers import registry
from providers.errors import EngineError
from providers.interface import Provider
from server import child, logs
from server.scheduling import messages
from server.scheduling.address import worker_socket
from server.scheduling.desk import Desk, Threads
from server.scheduling.device import Device, open_device
from server.settings import Settings

# Of what was sent and not read by the other process: above the one its requests start nothing new, below
# the other they go on. What runs adds at most an utterance per slot.
STALLED_ABOVE_BYTES = 8 * 2**20
READING_BELOW_BYTES = 1 * 2**20
STALL_LIMIT_S = 30.0

EXIT_DEVICE_LOST = 70

log = structlog.get_logger()


class Worker:
    """The threads around a `Desk`."""

    def __init__(
        self,
        device: Device,
        store: ModelsStore,
        settings: Settings,
        provider_of: Callable[[str], Provider] = registry.provider,
    ) -> None:
        self.store = store
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._is_stopping = False
        self.connections: set[_Connection] = set()
        self._threads = Threads(
            weights=ThreadPoolExecutor(1, "weights"), conditionings=ThreadPoolExecutor(1, "conditionings")
        )
        self.desk = Desk(device, store, settings, provider_of, self._threads, self.post)

    def post(self, call: Callable[[], None]) -> None:
        """Have something done by the engine thread, between two steps."""
        self._calls.put(call)

    async def serve(self, socket_path: Path, preload: Sequence[str] = ()) -> None:
        """Until cancelled. Raises what ended the engine thread."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        engine_thread = Thread(target=self._drive, args=(loop, ended), name="engine", daemon=True)
        engine_thread.start()
        try:
            await self._preload(preload, ended)
            server = await loop.create_unix_server(lambda: _Connection(self), socket_path)
            log.info("the device process is ready", socket=str(socket_path))
            try:
                await ended
            finally:
                server.close()
        finally:
            for connection in [*self.connections]:
                connection.close()
            self.post(self._stop)
            await asyncio.to_thread(engine_thread.join)
            for executor in self._threads:
                executor.shutdown(cancel_futures=True)

    async def _preload(self, names: Sequence[str], ended: asyncio.Future[None]) -> None:
        """A name that can't be loaded is a warning: the others can be spoken with."""
        for name in names:
            loading = asyncio.ensure_future(self._load(name))
            first: set[asyncio.Future[Any]] = {loading, ended}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not loading.done():
                loading.cancel()
                return
            if problem := loading.result():
                log.warning("could not preload", model=name, error=problem)

    async def _load(self, name: str) -> str | None:
        """What stood in the way, if anything did."""
        try:
            submission_id = self.store.resolve(name).id
        except ModelsStoreError as error:
            return str(error)
        own = _OwnCall()
        self.post(partial(self.desk.load, own, name, submission_id))
        answer = await own.answer
        return answer.message if answer.error else None

    # The engine thread

    def _drive(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        try:
            while not self._is_stopping:
                self._take_calls()
                self.desk.step()
        except BaseException as error:
            log.exception("the engine thread died")
            with suppress(RuntimeError):  # the loop has ended before us
                loop.call_soon_threadsafe(_set_exception, ended, error)

    def _take_calls(self) -> None:
        """All there are; sleeps until there is one while nobody speaks."""
        if not self.desk.has_work:
            self._calls.get()()
        while not self._calls.empty():
            self._calls.get()()

    def _stop(self) -> None:
        self._is_stopping = True


def _set_exception(ended: asyncio.Future[None], error: BaseException) -> None:
    if not ended.done():
        ended.set_exception(error)


class _OwnCall:
    """A connection for one call of this process's own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[messages.Answer] = self._loop.create_future()

    def send(self, replies: Sequence[messages.ToServer]) -> None:
        (answer,) = replies
        assert isinstance(answer, messages.Answer)
        self._loop.call_soon_threadsafe(self.answer.set_result, answer)


class _Connection(asyncio.Protocol):
    """One HTTP process. Everything but `send` runs in the event loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._frames = messages.FrameReader()
        self._giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._worker.connections.add(self)
        transport.set_write_buffer_limits(high=STALLED_ABOVE_BYTES, low=READING_BELOW_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._post(messages.to_worker.decode(body))
        except (ValueError, msgspec.DecodeError) as error:
            log.error("closed a connection that sent nonsense", error=str(error))
            self.close()

    def _post(self, message: messages.ToWorker) -> None:
        desk = self._worker.desk
        self._worker.post(partial(_CALLS[type(message)], desk, self, message))

    def send(self, replies: Sequence[messages.ToServer]) -> None:
        with suppress(RuntimeError):  # the loop has ended before us
            self._loop.call_soon_threadsafe(self._write, replies)

    def _write(self, replies: Sequence[messages.ToServer]) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"".join(map(messages.frame, replies)))

    def pause_writing(self) -> None:
        self._worker.post(partial(self._worker.desk.stall, self, True))
        self._giving_up = self._loop.call_later(STALL_LIMIT_S, self._give_up)

    def resume_writing(self) -> None:
        self._stop_giving_up()
        self._worker.post(partial(self._worker.desk.stall, self, False))

    def close(self) -> None:
        self._transport.abort()

    def _give_up(self) -> None:
        log.error("closed a connection that has not read for long", limit_s=STALL_LIMIT_S)
        self.close()

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_giving_up()
        self._worker.connections.discard(self)
        self._worker.post(partial(self._worker.desk.disconnect, self))


_CALLS: dict[type, Callable[..., None]] = {
    messages.Speak: lambda desk, connection, message: desk.speak(connection, message),
    messages.Cancel: lambda desk, connection, message: desk.cancel(connection, message.request_id),
    messages.Pause: lambda desk, connection, message: desk.pause(connection, message.request_id, True),
    messages.Resume: lambda desk, connection, message: desk.pause(connection, message.request_id, False),
    messages.Load: lambda desk, connection, message: desk.load(
        connection, message.call_id, message.submission_id
    ),
    messages.Evict: lambda desk, connection, message: desk.evict(
        connection, message.call_id, message.submission_id
    ),
    messages.GetState: lambda desk, connection, message: desk.get_state(connection, message.call_id),
}


def _first_loaded(store: ModelsStore, settings: Settings) -> Sequence[str]:
    """What was asked for; else the default model, so that the first request needn't wait for it."""
    return settings.preload or [name for name in (settings.default_model,) if name in store.names()]


async def _serve_until_told(worker: Worker, socket_path: Path, preload: Sequence[str]) -> None:
    serving = asyncio.ensure_future(worker.serve(socket_path, preload))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving


def run_process() -> NoReturn:
    """What the process does, from its settings to its exit status."""
    code = _run()
    sys.stderr.flush()
    os._exit(code)  # a lost CUDA context can hang an orderly exit


def _run() -> int:
    settings = child.begin()
    logs.configure(settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the supervisor decides
    socket_path = worker_socket(settings.home_path)
    with open(f"{socket_path}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            worker = Worker(open_device(settings), ModelsStore(settings.store_path), settings)
        except BlockingIOError:
            log.error("another device process serves this data folder", home=str(settings.home_path))
            return child.EXIT_UNUSABLE
        except (EngineError, ModelsStoreError) as error:
            log.error("the device process can't start", error=str(error))
            return child.EXIT_UNUSABLE
        try:
            asyncio.run(_serve_until_told(worker, socket_path, _first_loaded(worker.store, settings)))
        except Exception:
            return EXIT_DEVICE_LOST
    return 0


if __name__ == "__main__":
    run_process()
