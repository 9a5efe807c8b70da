"""From a wish to the response that speaks it: what every route of speech shares."""

from __future__ import annotations

import asyncio

from fastapi import Request
from fastapi.responses import Response

from server.errors import RequestTimeout
from server.http.services import Services
from server.http.speech import Wish, prepare_wish
from server.http.speech_response import Envelope, SpeechResponse


async def answer(
    wish: Wish,
    request: Request,
    services: Services,
    envelope: Envelope,
    response_class: type[SpeechResponse] = SpeechResponse,
) -> Response:
    """Raises what `prepare_wish` raises, and RequestTimeout."""
    timeout_s = services.settings.request_timeout_s
    try:
        speech = await asyncio.wait_for(prepare_wish(wish, services), timeout_s)
    except asyncio.TimeoutError:
        raise RequestTimeout(
            f"reading the text took more than {timeout_s:g} s. Send a shorter one."
        ) from None
    services.metrics.text_tokens.inc(speech.num_text_tokens)
    return response_class(
        speech, envelope, services.client, services.metrics, request.state.accepted_at, timeout_s
    )
