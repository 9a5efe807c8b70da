"""POST /v1/audio/speech, as OpenAI's clients call it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.http.answer import answer
from server.http.encoders import FORMATS
from server.http.schemas import SpeechRequest
from server.http.services import Serving
from server.http.speech import wish_of
from server.http.speech_response import ENVELOPES

router = APIRouter(prefix="/v1/audio", tags=["speech"])

_AUDIO = {row.media_type: {"schema": {"type": "string", "format": "binary"}} for row in FORMATS.values()}


@router.post(
    "/speech",
    response_class=Response,
    responses={200: {"description": "Audio as it is made.", "content": _AUDIO | {"text/event-stream": {}}}},
)
async def create_speech(body: SpeechRequest, request: Request, services: Serving) -> Response:
    """Speak a text. Audio leaves while it is being made."""
    return await answer(wish_of(body), request, services, ENVELOPES[body.stream_format])
