"""The recognisers that can judge intelligibility: a row each.

`auto` takes the first row that is available and knows the language. What an operator has to set up comes
first, for whoever did so wants it; the last one needs nothing but its package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.evaluation.errors import BadEvaluation
from server.evaluation.extra import INSTALL
from server.evaluation.recognition.transcript import Transcript
from server.settings import Settings

Samples = NDArray[np.float32]

RATE_HZ = 16_000  # what every recogniser gets
NOBODY = "none"
AUTO = "auto"

# Microsoft's table of languages, one region of each: the one with the most speakers.
AZURE_LANGUAGES = {
    "en": "en-US",
    "de": "de-DE",
    "fr": "fr-FR",
    "es": "es-ES",
    "it": "it-IT",
    "pt": "pt-BR",
    "pl": "pl-PL",
    "tr": "tr-TR",
    "ru": "ru-RU",
    "nl": "nl-NL",
    "cs": "cs-CZ",
    "ar": "ar-EG",
    "zh": "zh-CN",
    "ja": "ja-JP",
    "hu": "hu-HU",
    "ko": "ko-KR",
    "hi": "hi-IN",
    "yue": "zh-HK",
}
# Whisper's own codes; yue came with large-v3.
WHISPER_LANGUAGES = {code: code for code in AZURE_LANGUAGES}


class Recogniser(Protocol):
    def __call__(self, samples: Samples) -> Transcript:
        """Samples [n] at RATE_HZ, of the language that it was opened for. Raises EvaluationFailed."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    languages: Mapping[str, str]  # BCP-47 → the recogniser's own code
    sends_audio: bool  # to somebody else's computer
    missing: Callable[[Settings], str | None]  # what it lacks, and the remedy; None: it is available
    model: Callable[[Settings], str]  # which of its models is used: a part of the evaluation's identity
    opener: str  # "module:function" of (settings, its own language code)


def _faster_whisper_missing(settings: Settings) -> str | None:
    if find_spec("faster_whisper") is None:
        return "found no faster-whisper; expected its package. Install it: pip install faster-whisper"
    if settings.whisper_model is None:
        return (
            "found no model for faster-whisper; expected the folder of a converted one on this machine, for "
            "none is ever fetched. Set VOICECORE_WHISPER_MODEL to it."
        )
    if not (settings.whisper_model / "model.bin").is_file():
        return f"found no model.bin in {settings.whisper_model}; expected a model converted for CTranslate2."
    return None


def _azure_missing(settings: Settings) -> str | None:
    if settings.azure_speech_key is None:
        return "found no key for Azure Speech; expected VOICECORE_AZURE_SPEECH_KEY."
    if settings.azure_speech_region is None and settings.azure_speech_endpoint is None:
        return (
            "found no region for Azure Speech; expected VOICECORE_AZURE_SPEECH_REGION, such as koreacentral."
        )
    return None


def _pocketsphinx_missing(settings: Settings) -> str | None:
    return None if find_spec("pocketsphinx") else f"found no pocketsphinx; expected its package. {INSTALL}"


ROWS = {
    row.name: row
    for row in (
        Row(
            "faster-whisper",
            WHISPER_LANGUAGES,
            sends_audio=False,
            missing=_faster_whisper_missing,
            model=lambda settings: settings.whisper_model.name if settings.whisper_model else "",
            opener="server.evaluation.recognition.faster_whisper:open_recogniser",
        ),
        Row(
            "azure",
            AZURE_LANGUAGES,
            sends_audio=True,
            missing=_azure_missing,
            model=lambda settings: "",
            opener="server.evaluation.recognition.azure:open_recogniser",
        ),
        Row(
            "pocketsphinx",
            {"en": "en-us"},
            sends_audio=False,
            missing=_pocketsphinx_missing,
            model=lambda settings: "",
            opener="server.evaluation.recognition.pocketsphinx:open_recogniser",
        ),
    )
}


def choose(name: str, language: str, settings: Settings) -> str:
    """Which one a plan names: "pocketsphinx", "faster-whisper/small" or "none". Raises BadEvaluation."""
    if name == NOBODY:
        return NOBODY
    if name == AUTO:
        usable = (row for row in ROWS.values() if language in row.languages and not row.missing(settings))
        row = next(usable, None)
        return NOBODY if row is None else _identity(row, settings)
    if name not in ROWS:
        names = ", ".join((AUTO, NOBODY, *ROWS))
        raise BadEvaluation(f"found the recogniser {name!r}; expected one of {names}.")
    row = ROWS[name]
    if missing := row.missing(settings):
        raise BadEvaluation(missing)
    if language not in row.languages:
        known = ", ".join(row.languages)
        raise BadEvaluation(f"found the language {language!r}; expected one that {name} knows: {known}.")
    return _identity(row, settings)


def open_chosen(chosen: str, language: str, settings: Settings) -> Recogniser | None:
    """The recogniser that a plan names; None for none. Raises BadEvaluation where it's gone since."""
    name = chosen.partition("/")[0]
    if name == NOBODY:
        return None
    if choose(name, language, settings) != chosen:
        raise BadEvaluation(
            f"found another model of {name} than the evaluation's, {chosen}. Start a new one."
        )
    module, _, function = ROWS[name].opener.partition(":")
    recogniser: Recogniser = getattr(import_module(module), function)(
        settings, ROWS[name].languages[language]
    )
    return recogniser


def _identity(row: Row, settings: Settings) -> str:
    model = row.model(settings)
    return f"{row.name}/{model}" if model else row.name
