"""One request spoken in this process: the device process's desk, driven by the thread that listens."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue

from models_store.base_models import require_base_models
from models_store.store import ModelsStore
from providers import registry
from server.http.audio_stream import Messages, in_reading_order, samples_of
from server.http.base_models import require_languages
from server.http.encoders import DEFAULT_SAMPLE_RATE_HZ, Encoder, encoder
from server.http.schemas import SpeechRequest
from server.scheduling.desk import Desk, Threads
from server.scheduling.device import open_device
from server.scheduling.failures import Failure, from_failure
from server.scheduling.messages import Audio, Failed, Speak, ToServer, UtteranceDone
from server.settings import Settings

REQUEST_ID = "speak"


class Inbox:
    """The desk's one connection: answers wait here until the loop takes them."""

    def __init__(self) -> None:
        self._replies: list[ToServer] = []

    def send(self, replies: Sequence[ToServer]) -> None:
        self._replies += replies

    def take(self) -> list[ToServer]:
        taken, self._replies = self._replies, []
        return taken


def speak_locally(
    request: SpeechRequest, store: ModelsStore, settings: Settings, write: Callable[[bytes], object]
) -> None:
    """Hand the bytes of the audio file to `write` as they are made.

    Raises NotFound, MissingBaseModels, StorageError, SynthesisError, EngineError.
    """
    speak = _speak(request, store, settings)
    asyncio.run(_write(_messages(speak, store, settings), speak, request.response_format, write))


def _speak(request: SpeechRequest, store: ModelsStore, settings: Settings) -> Speak:
    submission = store.resolve(request.model or settings.default_model)
    files = store.files(submission.id)
    require_base_models(files)
    voice = store.resolve_voice(request.voice_name, submission)
    front_end = registry.text_front_end(files)
    prompts = tuple(front_end.prompts(request.input, request.language))
    require_languages(files, prompts, settings)
    changes = {"seed": secrets.randbits(63)} | request.sampling_changes
    return Speak(
        request_id=REQUEST_ID,
        submission_id=submission.id,
        voice_id=voice.id,
        prompts=prompts,
        sampling=replace(front_end.default_sampling, **changes),  # type: ignore[arg-type]
        speed=request.speed,
        edition=files.edition,
    )


async def _messages(speak: Speak, store: ModelsStore, settings: Settings) -> Messages:
    """What the device process would send. Nothing else runs in this event loop, so it may block."""
    device = open_device(settings)
    posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
    inbox = Inbox()
    with ThreadPoolExecutor(1) as weights, ThreadPoolExecutor(1) as conditionings:
        threads = Threads(weights, conditionings)
        desk = Desk(device, store, settings, registry.provider, threads, posted.put)
        desk.speak(inbox, speak)
        unfinished = len(speak.prompts)
        while unfinished:
            while not (replies := inbox.take()):
                _work(desk, posted)
            for message in replies:
                if isinstance(message, Failed):
                    raise from_failure(Failure(message.error, message.message, message.retry_after_s))
                if isinstance(message, (Audio, UtteranceDone)):
                    unfinished -= isinstance(message, UtteranceDone)
                    yield message


def _work(desk: Desk, posted: SimpleQueue[Callable[[], None]]) -> None:
    """What other threads have brought, then a step; without a step to do, wait for what they bring."""
    while not posted.empty() or not desk.has_work:
        posted.get()()
        if not desk.has_work and posted.empty():
            return
    desk.step()


async def _write(messages: Messages, speak: Speak, format: str, write: Callable[[bytes], object]) -> None:
    writer: Encoder | None = None
    async for message in in_reading_order(messages, len(speak.prompts)):
        if not isinstance(message, Audio):
            continue
        writer = writer or encoder(format, message.sample_rate_hz, DEFAULT_SAMPLE_RATE_HZ)
        write(writer.encode(samples_of(message)))
    if writer is not None:
        write(writer.finish())
