"""The device process as seen from HTTP: one connection, many requests at once. Asyncio, no torch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from providers.errors import EngineError
from server.errors import WorkerLost
from server.scheduling.failures import Failure, from_failure
from server.scheduling.messages import (
    Answer,
    Audio,
    Cancel,
    Evict,
    Failed,
    FrameReader,
    GetState,
    Load,
    Pause,
    Resume,
    Speak,
    ToServer,
    ToWorker,
    UtteranceDone,
    WorkerState,
    frame,
    to_server,
)

READ_BYTES = 256 * 2**10
# A listener who reads slower than we speak: unread audio of one request, 43 s and 11 s at 24 kHz.
PAUSE_ABOVE_BYTES = 4 * 2**20
RESUME_BELOW_BYTES = 1 * 2**20
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 0.5

log = structlog.get_logger()


class _Inbox:
    """What has arrived for one request and was not read yet."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Audio | UtteranceDone | Exception] = asyncio.Queue()
        self.unread_bytes = 0
        self.paused = False

    def put(self, message: Audio | UtteranceDone | Exception) -> None:
        self.unread_bytes += _size(message)
        self._messages.put_nowait(message)

    async def get(self) -> Audio | UtteranceDone:
        message = await self._messages.get()
        self.unread_bytes -= _size(message)
        if isinstance(message, Exception):
            raise message
        return message


def _size(message: object) -> int:
    return len(message.samples) if isinstance(message, Audio) else 0


class SpeechClient:
    """Speaks to the device process over its Unix socket and comes back by itself when that restarts."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._serial = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._requests: dict[str, _Inbox] = {}
        self._calls: dict[str, asyncio.Future[Answer]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def connect(self) -> None:
        """Start to hold a connection. Returns after the first attempt, whether it found a worker or not."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._stay_connected(), name="worker connection")
        await self._tried.wait()

    async def close(self) -> None:
        """End the connection, and with it whatever is still being spoken."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def speak(self, speak: Speak) -> AsyncGenerator[Audio | UtteranceDone, None]:
        """What the request's utterances sound like, as it is made; several may be under way at once.

        Ends after the last `UtteranceDone`. Closing it earlier cancels the request. Raises Overloaded,
        SynthesisError, EngineError, NotFound or WorkerLost. On the wire the request has a name of its own
        (the messages' `request_id`), so callers may use the same one twice.
        """
        wire_id = f"{speak.request_id}.{next(self._serial)}"
        self._send(msgspec.structs.replace(speak, request_id=wire_id))
        inbox = self._requests[wire_id] = _Inbox()
        unfinished = len(speak.prompts)
        try:
            while unfinished:
                message = await inbox.get()
                if inbox.paused and inbox.unread_bytes < RESUME_BELOW_BYTES:
                    inbox.paused = False
                    self._send(Resume(wire_id))
                unfinished -= isinstance(message, UtteranceDone)
                yield message
        finally:
            # Still known: it was neither answered to the end nor failed.
            if self._requests.pop(wire_id, None) and unfinished:
                with suppress(WorkerLost):
                    self._send(Cancel(wire_id))

    async def load(self, submission_id: str) -> WorkerState:
        """Make a submission resident. Raises NotFound, EngineError (DeviceOutOfMemory), WorkerLost."""
        return await self._call(Load(self._call_id(), submission_id))

    async def evict(self, submission_id: str) -> WorkerState:
        """Take a submission off the device and out of host memory. Raises InUse, NotFound, WorkerLost."""
        return await self._call(Evict(self._call_id(), submission_id))

    async def state(self) -> WorkerState:
        return await self._call(GetState(self._call_id()))

    def _call_id(self) -> str:
        return str(next(self._serial))

    async def _call(self, call: Load | Evict | GetState) -> WorkerState:
        self._send(call)
        answered = self._calls[call.call_id] = asyncio.get_running_loop().create_future()
        try:
            answer = await answered
        finally:
            self._calls.pop(call.call_id, None)
        if answer.error is not None:
            raise from_failure(Failure(answer.error, answer.message, None))
        if answer.state is None:
            raise EngineError(f"the device process answered {type(call).__name__} without its state.")
        return answer.state

    def _send(self, message: ToWorker) -> None:
        if self._writer is None:
            raise WorkerLost("the device process is not up; it is being started. Try again in a moment.")
        self._writer.write(frame(message))

    async def _stay_connected(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket_path)
            except OSError:
                self._tried.set()
                retry_s = min(2 * retry_s, LAST_RETRY_S)
            else:
                retry_s = FIRST_RETRY_S
                await self._converse(reader, writer)
            await asyncio.sleep(retry_s)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._tried.set()
        frames = FrameReader()
        try:
            while data := await reader.read(READ_BYTES):
                for body in frames.feed(data):
                    self._dispatch(to_server.decode(body))
        except (OSError, ValueError, msgspec.DecodeError) as error:
            log.error("lost the device process", error=str(error))
        finally:
            self._writer = None
            self._fail_all()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _dispatch(self, message: ToServer) -> None:
        if isinstance(message, Answer):
            answered = self._calls.pop(message.call_id, None)
            if answered is not None and not answered.done():
                answered.set_result(message)
            return
        inbox = self._requests.get(message.request_id)
        if inbox is None:  # cancelled meanwhile
            return
        if isinstance(message, Failed):
            del self._requests[message.request_id]
            inbox.put(from_failure(Failure(message.error, message.message, message.retry_after_s)))
            return
        inbox.put(message)
        if not inbox.paused and inbox.unread_bytes > PAUSE_ABOVE_BYTES:
            inbox.paused = True
            self._send(Pause(message.request_id))

    def _fail_all(self) -> None:
        message = "the device process died; it is being restarted. Try again in a moment."
        for inbox in self._requests.values():
            inbox.put(WorkerLost(message))
        self._requests.clear()
        for answered in self._calls.values():
            if not answered.done():
                answered.set_exception(WorkerLost(message))
        self._calls.clear()
