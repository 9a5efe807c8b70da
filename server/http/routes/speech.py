"""Speech as OpenAI's clients ask for it, and a look at what would be spoken."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.http.answer import answer
from server.http.encoders import FORMATS
from server.http.schemas import Prompts, PromptsRequest, SamplingDefaults, SpeechRequest, SpokenPrompt
from server.http.services import Serving
from server.http.speech import read_wish, wish_of
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


@router.post("/prompts")
async def read_text(body: PromptsRequest, services: Serving) -> Prompts:
    """What a submission would read of a text: its utterances, their languages, and its sampling defaults."""
    wish = wish_of(SpeechRequest(model=body.model, input=body.input, language=body.language))
    _, _, read = await read_wish(wish, services)
    return Prompts(
        characters=len(body.input),
        max_characters=services.settings.max_input_chars,
        languages=sorted(frozenset[str]().union(*(prompt.languages for prompt in read.prompts))),
        utterances=[
            SpokenPrompt(text=prompt.text, language=prompt.language, tokens=len(prompt.ids))
            for prompt in read.prompts
        ],
        sampling=SamplingDefaults.model_validate(read.default_sampling, from_attributes=True),
    )
