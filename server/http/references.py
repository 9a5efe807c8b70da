"""What paths of GPT-SoVITS's clients mean: names of submissions and voices. No such path is ever opened.

Reads the store's files, under names that it has checked: call it in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from models_store.errors import NotFound
from models_store.store import ModelsStore
from models_store.submission import Submission, Voice
from server.http.errors import Refused
from server.http.lookup import OWN_VOICE, find_submission, listed

T = TypeVar("T")

_SEPARATORS = re.compile(r"[/\\]")
_SUFFIX = re.compile(r"\.(wav|mp3|flac|ogg|opus|m4a|aac|ckpt|pth)$", re.IGNORECASE)


def find_reference(store: ModelsStore, default_model: str, path: str) -> tuple[Submission, Voice]:
    """Whose speech in which voice `ref_audio_path` asks for. Raises Refused, and BadName for half an id.

    `voices/anna.wav` is the submission anna in its own voice, or else the voice anna in the default model;
    `anna/ben.wav` is the submission anna in ben's voice, where there is such a submission.
    """
    *folders, last = ["", *_SEPARATORS.split(path)]
    owner = _found(store.resolve, folders[-1])
    for name in _spellings(last):
        if owner is not None and (voice := _found(store.resolve_voice, name, owner)):
            return owner, voice
        if submission := _found(store.resolve, name):
            return submission, submission.voice
        if name == OWN_VOICE or _found(store.resolve_voice, name) is not None:
            submission = find_submission(store, default_model, None)
            return submission, store.resolve_voice(name, submission)
    raise _unknown(
        "ref_audio_path", path, (*store.names(), *store.voices()), "`anna`, `ben.wav`, `anna/ben.wav`"
    )


def find_weights(store: ModelsStore, path: str) -> Submission:
    """The submission that a `weights_path` names. Raises Refused, and BadName for half an id."""
    for name in _spellings(_SEPARATORS.split(path)[-1]):
        if submission := _found(store.resolve, name):
            return submission
    raise _unknown("weights_path", path, tuple(store.names()), "`anna`, `anna.ckpt`")


def _spellings(name: str) -> Iterator[str]:
    """As it was sent, since names may have dots, and without a suffix."""
    yield name
    if (bare := _SUFFIX.sub("", name)) != name:
        yield bare


def _found(look_up: Callable[..., T], *names: object) -> T | None:
    try:
        return look_up(*names)
    except NotFound:
        return None


def _unknown(field: str, path: str, names: tuple[str, ...], examples: str) -> Refused:
    shown = repr(path) if len(path) <= 80 else repr(path[:80]) + "…"
    return Refused(
        404,
        f"found {shown} as {field}; expected a registered name, written like {examples}: {listed(names)}. "
        "Paths are looked up, never opened. POST /v1/audio/voices registers a voice, POST /v1/submissions a "
        "model.",
        "reference_not_found",
        field,
    )
