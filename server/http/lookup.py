"""What `model` and `voice` of a request mean. Reads the store's files: call it in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterable

from models_store.errors import NotFound
from models_store.store import ModelsStore
from models_store.submission import Submission, Voice
from server.http.errors import Refused

OWN_VOICE = "default"

# Clients that only know OpenAI's names speak with the default model in its own voice.
OPENAI_MODEL = re.compile(r"tts-1(-hd)?(-\d+)?|gpt-4o-mini-tts(-\d{4}-\d{2}-\d{2})?")
OPENAI_VOICES = frozenset(
    "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split()
)


def find_submission(store: ModelsStore, default_model: str, name: str | None) -> Submission:
    """A name or id of the store comes first, so an operator may give a submission one of OpenAI's names."""
    asked = default_model if name is None else name
    try:
        return store.resolve(asked)
    except NotFound:
        pass
    if OPENAI_MODEL.fullmatch(asked):
        try:
            return store.resolve(default_model)
        except NotFound:
            asked = default_model
    raise Refused(
        404,
        f"found the model {asked!r}; expected one of: {listed(store.names())}. "
        "GET /v1/models lists them, POST /v1/submissions adds one.",
        "model_not_found",
        "model",
    )


def find_voice(store: ModelsStore, submission: Submission, name: str) -> Voice:
    """A registered voice comes first, so an operator may register one under one of OpenAI's names."""
    try:
        return store.resolve_voice(name, submission)
    except NotFound:
        if name in OPENAI_VOICES:
            return submission.voice
    raise Refused(
        404,
        f"found the voice {name!r}; expected one of: {listed((OWN_VOICE, *store.voices()))}. "
        "GET /v1/audio/voices lists them, POST /v1/audio/voices adds one.",
        "voice_not_found",
        "voice",
    )


def listed(names: Iterable[str], most: int = 20) -> str:
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) + more) or "none yet"
