"""Speech on its way to one client: order, encoding, envelope, and every way it can end."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.errors import RequestTimeout
from server.http.audio_stream import in_reading_order, samples_of
from server.http.encoders import DEFAULT_SAMPLE_RATE_HZ, Encoder, Samples, wav_header
from server.http.errors import describe
from server.http.metrics import Metrics
from server.http.services import SpeechClient
from server.http.speech import Speech
from server.scheduling.messages import Audio, UtteranceDone

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Usage:
    input_tokens: int
    output_tokens: int

    def to_dict(self) -> dict[str, int]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
        }


class Envelope(Protocol):
    """How a response carries the bytes of a file."""

    def media_type(self, speech: Speech) -> str: ...
    def delta(self, encoded: bytes) -> bytes: ...
    def done(self, usage: Usage) -> bytes: ...

    def failed(self, error: dict[str, Any]) -> bytes | None:
        """The last bytes after a failure. None: it can only be told by breaking the connection."""


class PlainAudio:
    """The file itself."""

    def media_type(self, speech: Speech) -> str:
        return speech.format.media_type

    def delta(self, encoded: bytes) -> bytes:
        return encoded

    def done(self, usage: Usage) -> bytes:
        return b""

    def failed(self, error: dict[str, Any]) -> bytes | None:
        return None


class ServerSentEvents:
    """OpenAI's dialect: the deltas' audio, put together, is the file."""

    def media_type(self, speech: Speech) -> str:
        return "text/event-stream"

    def delta(self, encoded: bytes) -> bytes:
        return _event("speech.audio.delta", audio=base64.b64encode(encoded).decode())

    def done(self, usage: Usage) -> bytes:
        return _event("speech.audio.done", usage=usage.to_dict())

    def failed(self, error: dict[str, Any]) -> bytes | None:
        return _event("speech.audio.error", **error)


ENVELOPES: dict[str, Envelope] = {"audio": PlainAudio(), "sse": ServerSentEvents()}


class SpeechResponse(Response):
    """Begins with the first audio, so that whatever fails before it still has a status of its own.

    A failure after it breaks the connection (or is an event): a client must not take half a file for a whole
    one. When the client is gone the device process is told at once.
    """

    def __init__(
        self,
        speech: Speech,
        envelope: Envelope,
        client: SpeechClient,
        metrics: Metrics,
        accepted_at: float,
        timeout_s: float,
    ) -> None:
        super().__init__(
            media_type=envelope.media_type(speech),
            headers={
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
                "x-seed": str(speech.speak.sampling.seed),
            },
        )
        del self.headers["content-length"]
        self._speech = speech
        self._envelope = envelope
        self._client = client
        self._metrics = metrics
        self._accepted_at = accepted_at
        self._timeout_s = timeout_s
        self._audio_seconds = 0.0
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send))
        gone = asyncio.create_task(_disconnected(receive))
        outcome = "cancelled"  # also by a server that stops
        try:
            await asyncio.wait(
                {sending, gone},
                timeout=self._timeout_s - self._elapsed_s(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            outcome = self._outcome(sending, gone)
        except Exception as error:
            outcome = "failed"
            if not self._has_begun:
                raise
            await _cancelled(sending)
            await self._end_broken(error, send)
        finally:
            await _cancelled(sending, gone)
            self._count(outcome)

    def _outcome(self, sending: asyncio.Task[None], gone: asyncio.Task[None]) -> str:
        """Raises what the speech failed with."""
        if sending.done():
            sending.result()
            return "completed"
        if gone.done():
            return "cancelled"
        raise RequestTimeout(
            f"the speech took more than {self._timeout_s:g} s. Send a shorter text, or try again later."
        )

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._body()) as body:
            async for content in body:
                if not self._has_begun:
                    self._has_begun = True
                    self._metrics.time_to_first_audio.observe(self._elapsed_s())
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": content, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _body(self) -> AsyncGenerator[bytes, None]:
        speech, envelope = self._speech, self._envelope
        encoder: Encoder | None = None
        num_speech_tokens = 0
        messages = in_reading_order(self._client.speak(speech.speak), len(speech.speak.prompts))
        async with aclosing(messages):
            async for message in messages:
                if isinstance(message, UtteranceDone):
                    num_speech_tokens += message.num_tokens
                    continue
                encoder = encoder or self._encoder(message.sample_rate_hz)
                samples = self._with_pause(message)
                self._audio_seconds += len(samples) / message.sample_rate_hz
                if encoded := await _aside(encoder, partial(encoder.encode, samples)):
                    yield envelope.delta(encoded)
        encoder = encoder or self._encoder(DEFAULT_SAMPLE_RATE_HZ)
        if encoded := await _aside(encoder, encoder.finish):
            yield envelope.delta(encoded)
        yield envelope.done(Usage(speech.num_text_tokens, num_speech_tokens))

    def _encoder(self, in_rate_hz: int) -> Encoder:
        """Known with the first audio: only the device process knows a submission's own rate."""
        encoder = Encoder(self._speech.format, in_rate_hz, self._speech.sample_rate_hz or in_rate_hz)
        self.headers["x-sample-rate"] = str(encoder.sample_rate_hz)
        return encoder

    def _with_pause(self, audio: Audio) -> Samples:
        samples = samples_of(audio)
        num_silent = round(self._speech.pause_s * audio.sample_rate_hz) if audio.is_last else 0
        return np.concatenate((samples, np.zeros(num_silent, np.float32))) if num_silent else samples

    async def _end_broken(self, error: Exception, send: Send) -> None:
        status, body, _ = describe(error)
        log.warning("speech broke off", status=status, exc_info=error)
        if (last := self._envelope.failed(body)) is not None:
            await send({"type": "http.response.body", "body": last, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        # Otherwise the body stays without its end, and the server closes the connection over that.

    def _count(self, outcome: str) -> None:
        self._metrics.speech_requests.labels(outcome).inc()
        self._metrics.served_audio_seconds.inc(self._audio_seconds)
        if outcome == "completed" and self._audio_seconds:
            self._metrics.real_time_factor.observe(self._elapsed_s() / self._audio_seconds)

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._accepted_at


class WholeFileResponse(SpeechResponse):
    """Begins with the last audio, so that the file says how long it is and every failure has a status."""

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._body()) as body:
            content = b"".join([part async for part in body])
        if self._speech.format.name == "wav":
            placeholder = wav_header(sample_rate := int(self.headers["x-sample-rate"]))
            num_samples = (len(content) - len(placeholder)) // 2
            content = wav_header(sample_rate, num_samples) + content[len(placeholder) :]
        self.headers["content-length"] = str(len(content))
        self._has_begun = True
        self._metrics.time_to_first_audio.observe(self._elapsed_s())
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": content, "more_body": False})


async def _aside(encoder: Encoder, encode: Callable[[], bytes]) -> bytes:
    """In a thread where a codec works; PCM takes less time than the way there and back."""
    return encode() if encoder.format.codec is None else await asyncio.to_thread(encode)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _event(type: str, **fields: Any) -> bytes:
    return b"data: " + json.dumps({"type": type} | fields, ensure_ascii=False).encode() + b"\n\n"
