"""Listening tests on this server: their database, their clips, and who speaks them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
from fastapi import Depends, Request

from models_store.base_models import require_base_models
from models_store.store import ModelsStore
from server.errors import Overloaded, WorkerLost
from server.http.audio_stream import in_reading_order, samples_of
from server.http.encoders import DEFAULT_SAMPLE_RATE_HZ
from server.http.errors import describe
from server.http.lookup import OWN_VOICE, find_submission, find_voice
from server.http.schemas import SpeechRequest
from server.http.services import Services
from server.http.speech import prepare
from server.listening.audio import ClipStore, Samples
from server.listening.catalogue import Catalogue, Clock, System, WantedClip
from server.listening.database import Database
from server.listening.definition import TestDefinition
from server.listening.synthesis import Later, Synthesis
from server.listening.voting import Voting
from server.scheduling.messages import Audio
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class Listening:
    database: Database
    catalogue: Catalogue
    voting: Voting
    clips: ClipStore
    synthesis: Synthesis

    async def close(self) -> None:
        await self.synthesis.close()
        await asyncio.to_thread(self.database.close)


def open_listening(settings: Settings, services: Services, clock: Clock) -> Listening:
    """Reads and writes nothing yet. Raises ValueError where the setting names no database of ours."""
    folder = settings.home_path / "listening"
    url = settings.database_url.get_secret_value() if settings.database_url else None
    database = Database.at(url, folder)
    catalogue, clips = Catalogue(database, clock), ClipStore(folder / "clips")

    async def speak(clip: WantedClip) -> tuple[Samples, int]:
        return await speak_clip(clip, services)

    return Listening(
        database, catalogue, Voting(database, clock), clips, Synthesis(catalogue, clips, speak, _message)
    )


async def speak_clip(clip: WantedClip, services: Services) -> tuple[Samples, int]:
    """As a listener's request would be spoken; raises Later while the device process can't."""
    voice = await asyncio.to_thread(_voice_name, clip.system, services.store)
    request = SpeechRequest(
        input=clip.text,
        model=clip.system.submission_id,
        voice=voice,
        language=clip.language,
        seed=clip.seed,
    )
    try:
        return await asyncio.wait_for(_spoken(request, services), services.settings.request_timeout_s)
    except (WorkerLost, Overloaded) as error:
        raise Later from error


async def _spoken(request: SpeechRequest, services: Services) -> tuple[Samples, int]:
    speech = await prepare(request, services)
    pieces: list[Samples] = []
    sample_rate_hz = speech.sample_rate_hz or DEFAULT_SAMPLE_RATE_HZ
    messages = in_reading_order(services.client.speak(speech.speak), len(speech.speak.prompts))
    async with aclosing(messages):
        async for message in messages:
            if isinstance(message, Audio):
                pieces.append(samples_of(message))
                sample_rate_hz = message.sample_rate_hz
    return np.concatenate([*pieces, np.empty(0, np.float32)]), sample_rate_hz


def resolve_systems(definition: TestDefinition, settings: Settings, store: ModelsStore) -> list[System]:
    """What a definition's names mean now. Raises what lookups raise; reads files: call it in a thread."""
    systems = []
    for row in definition.systems:
        submission = find_submission(store, settings.default_model, row.submission)
        require_base_models(store.files(submission.id))
        systems.append(System(row.shown_name, submission.id, find_voice(store, submission, row.voice).id))
    return systems


def _voice_name(system: System, store: ModelsStore) -> str:
    """A submission's own voice needs no registration."""
    is_own = store.resolve(system.submission_id).voice.id == system.voice_id
    return OWN_VOICE if is_own else system.voice_id


def _message(error: Exception) -> str:
    return str(describe(error)[1]["error"]["message"])


def _listening(request: Request) -> Listening:
    return cast(Listening, request.app.state.listening)


Listened = Annotated[Listening, Depends(_listening)]
