"""One speech request, from its fields to what the device process is told."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from dataclasses import dataclass, replace

from models_store.submission import SubmissionFiles
from server.http.encoders import DEFAULT_SAMPLE_RATE_HZ, FORMATS, Format
from server.http.errors import Refused
from server.http.lookup import find_submission, find_voice
from server.http.schemas import SpeechRequest
from server.http.services import Services
from server.scheduling.messages import Speak


@dataclass(frozen=True, slots=True)
class Speech:
    """A request that can be spoken, and how its audio shall leave."""

    speak: Speak
    format: Format
    sample_rate_hz: int

    @property
    def num_text_tokens(self) -> int:
        return sum(len(prompt.ids) for prompt in self.speak.prompts)


async def prepare(request: SpeechRequest, services: Services) -> Speech:
    """Raises Refused, MissingBaseModels, and what text front ends raise."""
    limit = services.settings.max_input_chars
    if len(request.input) > limit:
        message = (
            f"found {len(request.input)} characters of input; expected at most {limit}. Send it in parts."
        )
        raise Refused(422, message, "text_too_long", "input")
    files, voice_id = await asyncio.to_thread(_look_up, request, services)
    read = await services.text.read(files, request.input, request.language)
    changes = {"seed": secrets.randbits(63)} | request.sampling_changes
    speak = Speak(
        request_id=uuid.uuid4().hex,
        submission_id=files.submission.id,
        voice_id=voice_id,
        prompts=read.prompts,
        sampling=replace(read.default_sampling, **changes),  # type: ignore[arg-type]
        speed=request.speed,
    )
    format = FORMATS[request.response_format]
    return Speech(speak, format, format.sample_rate_for(request.sample_rate or DEFAULT_SAMPLE_RATE_HZ))


def _look_up(request: SpeechRequest, services: Services) -> tuple[SubmissionFiles, str]:
    submission = find_submission(services.store, services.settings.default_model, request.model)
    services.store.base_models.require(submission)
    voice = find_voice(services.store, submission, request.voice_name)
    return services.store.files(submission.id), voice.id
