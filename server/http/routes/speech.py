"""POST /v1/audio/speech, as OpenAI's clients call it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.errors import RequestTimeout
from server.http.encoders import FORMATS
from server.http.schemas import SpeechRequest
from server.http.services import Serving
from server.http.speech import prepare
from server.http.speech_response import ENVELOPES, SpeechResponse

router = APIRouter(prefix="/v1/audio", tags=["speech"])

_AUDIO = {row.media_type: {"schema": {"type": "string", "format": "binary"}} for row in FORMATS.values()}


@router.post(
    "/speech",
    response_class=Response,
    responses={200: {"description": "Audio as it is made.", "content": _AUDIO | {"text/event-stream": {}}}},
)
async def create_speech(body: SpeechRequest, request: Request, services: Serving) -> Response:
    """Speak a text. Audio leaves while it is being made."""
    timeout_s = services.settings.request_timeout_s
    try:
        speech = await asyncio.wait_for(prepare(body, services), timeout_s)
    except asyncio.TimeoutError:
        raise RequestTimeout(
            f"reading the text took more than {timeout_s:g} s. Send a shorter one."
        ) from None
    services.metrics.text_tokens.inc(speech.num_text_tokens)
    return SpeechResponse(
        speech,
        ENVELOPES[body.stream_format],
        services.client,
        services.metrics,
        request.state.accepted_at,
        timeout_s,
    )
