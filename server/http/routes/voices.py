"""Registered voices: recordings that any submission may speak in."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import structlog
from fastapi import APIRouter, Request

from models_store.durable import storage_errors
from models_store.submission import Voice
from server.http import schemas
from server.http.errors import Refused
from server.http.lookup import OWN_VOICE
from server.http.openapi import multipart
from server.http.services import Serving
from server.http.uploads import receive_upload

log = structlog.get_logger()

router = APIRouter(prefix="/v1/audio/voices", tags=["voices"])

_BODY = multipart(
    required=("name",),
    audio_sample="One or several recordings of one speaker; `file` is the same.",
    file="One or several recordings of one speaker.",
    name="What to call the voice.",
    ref_text="What is said in the recordings.",
    language="BCP-47.",
    consent="Your reference to the speaker's consent; it is written to the log.",
)


@router.get("")
async def list_voices(services: Serving) -> schemas.VoiceList:
    """For anyone: Open WebUI asks without a key."""
    registered = await asyncio.to_thread(services.store.voices)
    own = schemas.Voice(id=OWN_VOICE, name=OWN_VOICE)
    return schemas.VoiceList(voices=[own, *(_described(*item) for item in registered.items())])


@router.get("/{name}")
async def get_voice(name: str, services: Serving) -> schemas.Voice:
    return _described(name, await asyncio.to_thread(services.store.resolve_voice, name))


@router.post("", status_code=201, openapi_extra=_BODY)
async def add_voice(request: Request, services: Serving) -> schemas.AddedVoice:
    """Register recordings of one speaker under a name."""
    with ExitStack() as held:
        folder = await asyncio.to_thread(held.enter_context, services.store.scratch())
        with storage_errors(services.store.root):
            upload = await receive_upload(request, folder)
        if not (name := upload.fields.get("name", "")):
            raise Refused(422, "found no `name`; expected what to call the voice.", "invalid_value", "name")
        if not upload.files:
            message = "found no recording; expected one as `audio_sample` or `file`."
            raise Refused(422, message, "invalid_value", "audio_sample")
        language, transcript = (upload.fields.get(field) or None for field in ("language", "ref_text"))
        added = await asyncio.to_thread(services.store.add_voice, name, upload.files, language, transcript)
    log.info("voice added", name=name, voice=added.voice.id, consent=upload.fields.get("consent"))
    return schemas.AddedVoice(
        **_described(name, added.voice).model_dump(),
        created_at=int(time.time()),
        warnings=[str(warning) for warning in added.warnings],
    )


@router.delete("/{name}")
async def delete_voice(name: str, services: Serving) -> schemas.Deleted:
    await asyncio.to_thread(services.store.delete_voice, name)
    return schemas.Deleted(id=name, object="audio.voice.deleted")


def _described(name: str, voice: Voice) -> schemas.Voice:
    return schemas.Voice(
        id=name, name=name, voice_id=voice.id, duration_s=voice.duration_s, language=voice.language
    )
