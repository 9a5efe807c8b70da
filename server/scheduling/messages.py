"""What crosses between HTTP processes and the device process: msgpack frames over a Unix socket.

A frame is a 4-byte big-endian length and one encoded message. A closed socket means that the other side
died; no heartbeat is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

import msgspec

from providers.interface import FinishReason, Prompt, SamplingParams

FRAME_HEADER_BYTES = 4
MAX_FRAME_BYTES = 64 * 2**20  # a minute of audio is 6 MB; a longer frame is a bug, not a message


class Speak(msgspec.Struct, frozen=True, tag=True):
    """One request: all of its utterances."""

    request_id: str
    submission_id: str
    voice_id: str
    prompts: tuple[Prompt, ...]
    sampling: SamplingParams
    speed: float = 1.0
    edition: str | None = None  # of the submission's files, as the text was read with; None: any will do


class Cancel(msgspec.Struct, frozen=True, tag=True):
    request_id: str


class Pause(msgspec.Struct, frozen=True, tag=True):
    """The listener doesn't read: start no further utterance of this request. What runs is sent on."""

    request_id: str


class Resume(msgspec.Struct, frozen=True, tag=True):
    request_id: str


class Load(msgspec.Struct, frozen=True, tag=True):
    """Make a submission resident; answered by Answer."""

    call_id: str
    submission_id: str


class Evict(msgspec.Struct, frozen=True, tag=True):
    call_id: str
    submission_id: str


class GetState(msgspec.Struct, frozen=True, tag=True):
    call_id: str


class Audio(msgspec.Struct, frozen=True, tag=True):
    request_id: str
    utterance_index: int
    samples: bytes  # float32, native order, mono
    sample_rate_hz: int
    is_last: bool  # of its utterance


class UtteranceDone(msgspec.Struct, frozen=True, tag=True):
    """After an utterance's last audio."""

    request_id: str
    utterance_index: int
    num_tokens: int
    finish_reason: FinishReason


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A request ended with an error; nothing more of it follows. `error` is a class name of an errors.py."""

    request_id: str
    error: str
    message: str
    retry_after_s: float | None = None


class Answer(msgspec.Struct, frozen=True, tag=True):
    """To Load, Evict and GetState; `error` is a class name as in Failed."""

    call_id: str
    error: str | None = None
    message: str = ""
    state: WorkerState | None = None


class Resident(msgspec.Struct, frozen=True):
    submission_id: str
    size_bytes: int
    place: str  # "device" or "host"
    in_use: int  # requests, running and waiting


class WorkerState(msgspec.Struct, frozen=True):
    """A snapshot for /readyz, /metrics and `voicecore list`."""

    device: str
    dtype: str
    slots: int
    slots_in_use: int
    queued_utterances: int
    residents: tuple[Resident, ...]
    device_weight_bytes: int
    device_budget_bytes: int
    conditioning_cache_bytes: int
    conditioning_cache_hits: int
    conditioning_cache_misses: int
    decode_steps: int
    speech_tokens: int
    audio_seconds: float
    process_rss_bytes: int
    submission_loads: int


# msgspec needs unions that exist at run time on 3.10.
ToWorker = Union[Speak, Cancel, Pause, Resume, Load, Evict, GetState]  # noqa: UP007
ToServer = Union[Audio, UtteranceDone, Failed, Answer]  # noqa: UP007

_encoder = msgspec.msgpack.Encoder()
to_worker = msgspec.msgpack.Decoder(ToWorker)
to_server = msgspec.msgpack.Decoder(ToServer)


def frame(message: ToWorker | ToServer) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(FRAME_HEADER_BYTES, "big") + body


class FrameReader:
    """Cuts a byte stream into frames, however the socket happens to split it."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that `data` completes. Raises ValueError on a frame longer than any message."""
        self._buffer += data
        start = 0
        while (body := start + FRAME_HEADER_BYTES) <= len(self._buffer):
            size = int.from_bytes(self._buffer[start:body], "big")
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"found a frame of {size} bytes; expected at most {MAX_FRAME_BYTES}")
            if body + size > len(self._buffer):
                break
            yield bytes(self._buffer[body : body + size])
            start = body + size
        del self._buffer[:start]
