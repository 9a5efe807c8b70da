"""Submissions as OpenAI's clients list models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from fastapi import APIRouter

from models_store.submission import Submission
from server.http.lookup import OWN_VOICE, find_submission
from server.http.schemas import AudioModel, AudioModelList, Model, ModelList, Place, VoiceName
from server.http.services import Services, Serving, worker_state

router = APIRouter(prefix="/v1", tags=["models"])

Places = Mapping[str, Place]
_PLACES: dict[str, Place] = {"device": "device", "host": "host"}


@router.get("/models")
async def list_models(services: Serving) -> ModelList:
    """Every submission under each of its names."""
    places = await _places(services)
    return ModelList(data=await asyncio.to_thread(_all_models, services, places))


@router.get("/models/{name_or_id}")
async def get_model(name_or_id: str, services: Serving) -> Model:
    places = await _places(services)
    return await asyncio.to_thread(_one_model, services, name_or_id, places)


@router.get("/audio/models")
async def list_audio_models(services: Serving) -> AudioModelList:
    """For Open WebUI, which asks without a key."""
    models = await asyncio.to_thread(_all_models, services, None)
    return AudioModelList(models=[AudioModel(id=model.id) for model in models])


async def _places(services: Services) -> Places | None:
    """Where resident submissions are; None: the device process doesn't answer."""
    if (state := await worker_state(services.client)) is None:
        return None
    return {resident.submission_id: _PLACES[resident.place] for resident in state.residents}


def _all_models(services: Services, places: Places | None) -> list[Model]:
    names = services.store.names()
    voices = _voices(services)
    return [
        _model(name, submission, voices, places)
        for submission in services.store.submissions()
        for name in [name for name, named in names.items() if named == submission.id] or [submission.id]
    ]


def _one_model(services: Services, name_or_id: str, places: Places | None) -> Model:
    submission = find_submission(services.store, services.settings.default_model, name_or_id)
    return _model(name_or_id, submission, _voices(services), places)


def _voices(services: Services) -> list[VoiceName]:
    return [VoiceName(name=name) for name in (OWN_VOICE, *services.store.voices())]


def _model(name: str, submission: Submission, voices: list[VoiceName], places: Places | None) -> Model:
    return Model(
        id=name,
        created=int(datetime.fromisoformat(submission.submitted_at).timestamp()),
        submission_id=submission.id,
        family=submission.family,
        variant=submission.variant,
        languages=list(submission.languages),
        voices=voices,
        resident=None if places is None else places.get(submission.id, "disk"),
        size_bytes=submission.size_bytes,
    )
