"""One speech request, from its fields to what the device process is told."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from models_store.base_models import require_base_models
from models_store.store import ModelsStore
from models_store.submission import Submission, SubmissionFiles, Voice
from server.http.base_models import require_languages
from server.http.encoders import DEFAULT_SAMPLE_RATE_HZ, FORMATS, Format
from server.http.errors import Refused
from server.http.lookup import find_submission, find_voice
from server.http.schemas import SpeechRequest
from server.http.services import Services
from server.http.text_pool import ReadText
from server.scheduling.messages import Speak

# The store, the default model's name → whose speech, in which voice. Reads the store's files.
FindSpeaker = Callable[[ModelsStore, str], tuple[Submission, Voice]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What any of the routes is asked for, once its own words are translated."""

    text: str
    text_field: str  # what the route calls it
    language: str | None
    find_speaker: FindSpeaker
    sampling_changes: Mapping[str, float | int]  # fields of SamplingParams
    speed: float
    format: Format
    sample_rate_hz: int | None  # None: the submission's own
    cut_method: str | None = None
    pause_s: float = 0.0  # of silence behind each utterance


@dataclass(frozen=True, slots=True)
class Speech:
    """A request that can be spoken, and how its audio shall leave."""

    speak: Speak
    format: Format
    sample_rate_hz: int | None  # None: the submission's own, or the codec's next higher one
    pause_s: float = 0.0

    @property
    def num_text_tokens(self) -> int:
        return sum(len(prompt.ids) for prompt in self.speak.prompts)


def wish_of(request: SpeechRequest) -> Wish:
    def find_speaker(store: ModelsStore, default_model: str) -> tuple[Submission, Voice]:
        submission = find_submission(store, default_model, request.model)
        return submission, find_voice(store, submission, request.voice_name)

    return Wish(
        text=request.input,
        text_field="input",
        language=request.language,
        find_speaker=find_speaker,
        sampling_changes=request.sampling_changes,
        speed=request.speed,
        format=FORMATS[request.response_format],
        sample_rate_hz=request.sample_rate or DEFAULT_SAMPLE_RATE_HZ,
    )


async def prepare(request: SpeechRequest, services: Services) -> Speech:
    """Raises what `prepare_wish` raises."""
    return await prepare_wish(wish_of(request), services)


async def prepare_wish(wish: Wish, services: Services) -> Speech:
    """Raises what `read_wish` raises."""
    files, voice_id, read = await read_wish(wish, services)
    changes = {"seed": secrets.randbits(63)} | dict(wish.sampling_changes)
    speak = Speak(
        request_id=uuid.uuid4().hex,
        submission_id=files.submission.id,
        voice_id=voice_id,
        prompts=read.prompts,
        sampling=replace(read.default_sampling, **changes),  # type: ignore[arg-type]
        speed=wish.speed,
        edition=files.edition,
    )
    return Speech(speak, wish.format, wish.sample_rate_hz, wish.pause_s)


async def read_wish(wish: Wish, services: Services) -> tuple[SubmissionFiles, str, ReadText]:
    """Whose speech, in which voice, and what of. Raises Refused, MissingBaseModels, and what text front ends
    raise."""
    limit = services.settings.max_input_chars
    if len(wish.text) > limit:
        message = (
            f"found {len(wish.text)} characters of {wish.text_field}; expected at most {limit}. "
            "Send it in parts."
        )
        raise Refused(422, message, "text_too_long", wish.text_field)
    files, voice_id = await asyncio.to_thread(_look_up, wish.find_speaker, services)
    read = await services.text.read(files, wish.text, wish.language, wish.cut_method)
    require_languages(files, read.prompts, services.settings)
    return files, voice_id, read


def _look_up(find_speaker: FindSpeaker, services: Services) -> tuple[SubmissionFiles, str]:
    submission, voice = find_speaker(services.store, services.settings.default_model)
    files = services.store.files(submission.id)
    require_base_models(files)
    return files, voice.id
