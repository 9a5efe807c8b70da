"""Evaluations on this server: what was asked for in names, spoken as listeners' requests are."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, cast

import numpy as np
from fastapi import Depends, Request

from models_store.base_models import require_base_models
from models_store.store import ModelsStore
from providers.errors import DeviceOutOfMemory, EngineError, SynthesisError
from server.errors import Overloaded, WorkerLost
from server.evaluation import texts
from server.evaluation.archive import Archive, Samples, Spoken
from server.evaluation.errors import EvaluationUnavailable
from server.evaluation.extra import complaint
from server.evaluation.plan import EvaluationRequest, Item, Plan, SpokenText, System
from server.evaluation.recognition.table import choose
from server.evaluation.runner import Later, Runner, Utterance
from server.http.audio_stream import in_reading_order, samples_of
from server.http.encoders import DEFAULT_SAMPLE_RATE_HZ
from server.http.errors import describe
from server.http.lookup import OWN_VOICE, find_submission, find_voice
from server.http.schemas import SpeechRequest
from server.http.services import Services, worker_state
from server.http.speech import Speech, prepare
from server.scheduling.messages import Audio, UtteranceDone
from server.settings import Settings

AUDIBLE = 0.01  # -40 dBFS: softer isn't heard


@dataclass(frozen=True, slots=True)
class Evaluations:
    archive: Archive
    runner: Runner
    settings: Settings
    store: ModelsStore

    def add(self, request: EvaluationRequest) -> Plan:
        """The evaluation that this asks for, new or not. Reads files: call it in a thread.

        Raises EvaluationUnavailable, BadEvaluation, and what lookups raise.
        """
        if missing := complaint():
            raise EvaluationUnavailable(missing)
        return self.archive.add(make_plan(request, self.settings, self.store))


def open_evaluations(settings: Settings, services: Services) -> Evaluations:
    """Reads and writes nothing yet."""

    async def speak(item: Item) -> Utterance:
        return await speak_item(item, services)

    archive = Archive(settings.home_path / "evaluations")
    return Evaluations(archive, Runner(archive, settings, speak, _message), settings, services.store)


def make_plan(request: EvaluationRequest, settings: Settings, store: ModelsStore) -> Plan:
    """What a request's names mean now. Raises BadEvaluation, and what lookups raise."""
    systems = [_system(name, request.voice, settings, store) for name in request.submissions]
    language = request.language or _first_language(systems[0], store)
    texts_asked = None if request.texts is None else _plain(request.texts)
    chosen = texts.pinned(language) if texts_asked is None else texts.text_set(language, texts_asked)
    return Plan(
        systems=tuple(systems),
        texts=chosen,
        seeds=tuple(request.seeds),
        recogniser=choose(request.recogniser or settings.recogniser, language, settings),
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


async def speak_item(item: Item, services: Services) -> Utterance:
    """As a listener's request is spoken. What can't be spoken is an utterance without sound.

    Raises Later while the device process can't, NotFound and MissingBaseModels.
    """
    try:
        return await asyncio.wait_for(_speak(item, services), services.settings.request_timeout_s)
    except (WorkerLost, Overloaded, DeviceOutOfMemory) as error:
        raise Later from error
    except asyncio.TimeoutError:
        error_text = f"it took more than {services.settings.request_timeout_s:g} s."
    except (SynthesisError, EngineError) as error:
        error_text = _message(error)
    silence = Spoken(DEFAULT_SAMPLE_RATE_HZ, 0.0, 0, False, None, None, "", _now(), error_text)
    return Utterance(silence, np.empty(0, np.float32))


async def _speak(item: Item, services: Services) -> Utterance:
    state = await worker_state(services.client)
    started = time.perf_counter()
    speech = await prepare(
        SpeechRequest(
            input=item.sentence.text,
            model=item.system.submission_id,
            voice=item.system.voice,
            language=item.language,
            seed=item.seed,
        ),
        services,
    )
    received = await _receive(speech, services, started)
    samples = np.concatenate([*received.pieces, np.empty(0, np.float32)])
    spoken = Spoken(
        sample_rate_hz=received.sample_rate_hz,
        duration_s=len(samples) / received.sample_rate_hz,
        num_tokens=received.num_tokens,
        hit_limit=received.hit_limit,
        ttfa_s=received.ttfa_s,
        took_s=time.perf_counter() - started,
        device=f"{state.device} {state.dtype}" if state else "",
        spoken_at=_now(),
        error=None if len(samples) else "the model fell silent at once.",
    )
    return Utterance(spoken, samples)


@dataclass(slots=True)
class _Received:
    """What has come of one request so far."""

    pieces: list[Samples]
    sample_rate_hz: int = DEFAULT_SAMPLE_RATE_HZ
    num_tokens: int = 0
    hit_limit: bool = False
    ttfa_s: float | None = None


async def _receive(speech: Speech, services: Services, started: float) -> _Received:
    received = _Received([])
    messages = in_reading_order(services.client.speak(speech.speak), len(speech.speak.prompts))
    async with aclosing(messages):
        async for message in messages:
            if isinstance(message, Audio):
                received.pieces.append(samples := samples_of(message))
                received.sample_rate_hz = message.sample_rate_hz
                if received.ttfa_s is None and np.abs(samples).max(initial=0.0) >= AUDIBLE:
                    received.ttfa_s = time.perf_counter() - started
            elif isinstance(message, UtteranceDone):
                received.num_tokens += message.num_tokens
                received.hit_limit |= message.finish_reason == "length"
    return received


def _system(name: str, voice_name: str, settings: Settings, store: ModelsStore) -> System:
    submission = find_submission(store, settings.default_model, name)
    require_base_models(store.files(submission.id))
    voice = find_voice(store, submission, voice_name)
    is_own = voice.id == submission.voice.id
    return System(
        name,
        submission.id,
        voice.id,
        OWN_VOICE if is_own else voice.id,
        submission.family,
        submission.variant,
    )


def _first_language(system: System, store: ModelsStore) -> str:
    """English where the submission speaks it, for most recognisers hear that best; else its first."""
    spoken = store.resolve(system.submission_id).languages
    with_texts = [language for language in spoken if language in texts.languages()]
    return "en" if "en" in with_texts or not with_texts else with_texts[0]


def _plain(asked: dict[str, list[str | SpokenText]]) -> dict[str, list[str | dict[str, str]]]:
    return {
        kind: [text if isinstance(text, str) else text.model_dump() for text in given]
        for kind, given in asked.items()
    }


def _message(error: Exception) -> str:
    return str(describe(error)[1]["error"]["message"])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def evaluations_of(request: Request) -> Evaluations:
    return cast(Evaluations, request.app.state.evaluations)


Evaluating = Annotated[Evaluations, Depends(evaluations_of)]
