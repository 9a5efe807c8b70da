"""GPT-SoVITS's own HTTP API, `api_v2.py`, as its clients and SillyTavern call it.

It was written for one user and one pair of weights on his own machine. Here names stand for paths, and no
call changes what another client hears: who speaks is said by each request's `ref_audio_path`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from models_store.base_models import require_base_models
from models_store.store import ModelsStore
from models_store.submission import Submission, Voice
from server.http.answer import answer
from server.http.encoders import FORMATS
from server.http.errors import ForeignRoute, Refused
from server.http.gpt_sovits_schemas import Done, Speaker, TtsFailure, TtsRequest
from server.http.references import find_reference, find_weights
from server.http.services import Services, Serving
from server.http.speech import Wish
from server.http.speech_response import ENVELOPES, SpeechResponse, WholeFileResponse

_FORMATS = {
    name: replace(format, media_type=f"audio/{name}")
    for name, format in {
        "wav": FORMATS["wav"],
        "raw": FORMATS["pcm"],
        "ogg": FORMATS["opus"],
        "aac": FORMATS["aac"],
    }.items()
}
_RESPONSES: dict[bool, type[SpeechResponse]] = {False: WholeFileResponse, True: SpeechResponse}

# What the caller can mend is a 400 to clients of api_v2; the rest says when to come back.
_CALLERS_FAULTS = {404, 422}


class ApiV2Route(ForeignRoute):
    @staticmethod
    def translate(status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        message = body["error"]["message"]
        return 400 if status in _CALLERS_FAULTS else status, {"message": message, "Exception": message} | body


router = APIRouter(
    tags=["GPT-SoVITS"],
    route_class=ApiV2Route,
    responses={"4XX": {"model": TtsFailure}, "5XX": {"model": TtsFailure}},
)

_AUDIO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Audio.",
        "content": {
            row.media_type: {"schema": {"type": "string", "format": "binary"}} for row in _FORMATS.values()
        },
    }
}


@router.get("/tts", response_class=Response, responses=_AUDIO)
async def get_tts(query: Annotated[TtsRequest, Query()], request: Request, services: Serving) -> Response:
    """Speak a text: api_v2's fields as parameters."""
    return await _speak(query, request, services)


@router.post("/tts", response_class=Response, responses=_AUDIO)
async def post_tts(body: TtsRequest, request: Request, services: Serving) -> Response:
    """Speak a text: api_v2's fields."""
    return await _speak(body, request, services)


@router.post("/", response_class=Response, responses=_AUDIO)
async def post_root(body: TtsRequest, request: Request, services: Serving) -> Response:
    """The same, where SillyTavern's GPT-SoVITS-V2 provider asks for it."""
    return await _speak(body, request, services)


@router.get("/speakers")
async def list_speakers(services: Serving) -> list[Speaker]:
    """For SillyTavern: submissions in their own voices, and registered voices in the default model."""
    names = await asyncio.to_thread(_speaker_names, services)
    return [Speaker(name=name, voice_id=name) for name in names]


@router.get("/set_gpt_weights")
async def set_gpt_weights(weights_path: str, services: Serving) -> Done:
    """Have a submission loaded. It speaks for requests whose `ref_audio_path` names it."""
    return await _load(weights_path, services)


@router.get("/set_sovits_weights")
async def set_sovits_weights(weights_path: str, services: Serving) -> Done:
    """The same: a submission is both."""
    return await _load(weights_path, services)


@router.get("/set_refer_audio")
async def set_refer_audio(refer_audio_path: str, services: Serving) -> Done:
    """Say whether a reference is known. It speaks for requests whose `ref_audio_path` names it."""
    find = partial(find_reference, services.store, services.settings.default_model, refer_audio_path)
    await asyncio.to_thread(find)
    return Done(note=f"Each request says who speaks: send {refer_audio_path!r} as ref_audio_path.")


@router.get("/control", responses={403: {"model": TtsFailure}}, status_code=403)
async def control() -> None:
    """Clients don't restart or end this server."""
    message = "found a command to restart or end the server; clients can't do that. Ask who runs it."
    raise Refused(403, message, "control_refused")


async def _speak(body: TtsRequest, request: Request, services: Services) -> Response:
    def find_speaker(store: ModelsStore, default_model: str) -> tuple[Submission, Voice]:
        return find_reference(store, default_model, body.ref_audio_path)

    wish = Wish(
        text=body.text,
        text_field="text",
        language=body.text_lang or None,
        find_speaker=find_speaker,
        sampling_changes=body.sampling_changes,
        speed=body.speed_factor,
        format=_FORMATS[body.media_type],
        sample_rate_hz=None,
        cut_method=body.text_split_method,
        pause_s=body.fragment_interval,
    )
    return await answer(wish, request, services, ENVELOPES["audio"], _RESPONSES[body.streaming_mode > 0])


def _speaker_names(services: Services) -> list[str]:
    submissions = sorted(services.store.names())
    default = services.settings.default_model
    in_default = [f"{default}/{voice}" for voice in services.store.voices()] if default in submissions else []
    return submissions + in_default


async def _load(weights_path: str, services: Services) -> Done:
    submission = await asyncio.to_thread(_loadable, weights_path, services)
    await services.client.load(submission.id)
    return Done(
        note="It is loaded. Each request says who speaks: name it in ref_audio_path, as NAME or NAME/VOICE."
    )


def _loadable(weights_path: str, services: Services) -> Submission:
    submission = find_weights(services.store, weights_path)
    require_base_models(services.store.files(submission.id))
    return submission
