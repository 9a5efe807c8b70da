"""Which of a submission's languages a text is in, when the request doesn't say.

The writing system decides wherever it can; only Latin script needs a model. py3langid brings one inside its
4.5 MB wheel and needs nothing but numpy (the alternatives download theirs or weigh 50 to 100 MB).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

# One ideograph or syllable says about as much as two letters of an alphabet.
_SCRIPTS = {
    "latin": (re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"), 1),
    "cyrillic": (re.compile(r"[\u0400-\u04ff]"), 1),
    "arabic": (re.compile(r"[\u0620-\u064a\u066e-\u06d3]"), 1),
    "devanagari": (re.compile(r"[\u0900-\u097f]"), 1),
    "hangul": (re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"), 2),
    "kana": (re.compile(r"[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9d]"), 2),
    "han": (re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"), 2),
}
# Languages of each script, likelier ones first.
_LANGUAGES_OF_SCRIPT = {
    "cyrillic": ("ru",),
    "arabic": ("ar",),
    "devanagari": ("hi",),
    "hangul": ("ko",),
    "kana": ("ja",),
    "han": ("zh", "ja"),
}
_LATIN = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "nl", "cs", "hu")
_SAMPLE_CHARS = 2_000  # more text doesn't change the answer
# py3langid's probability, among these eleven, below which it is guessing: "OK", "Paris", "Wow!".
_MIN_PROBABILITY = 0.25


class Identifier(Protocol):
    def set_languages(self, langs: Sequence[str] | None) -> None: ...
    def rank(self, text: str) -> list[tuple[str, float]]: ...


def detect(text: str, offered: Sequence[str]) -> str:
    """The likeliest of the `offered` primary subtags; where the text doesn't tell, English or the first."""
    if len(offered) == 1:
        return offered[0]
    default = "en" if "en" in offered else offered[0]
    script = _dominant_script(text[:_SAMPLE_CHARS])
    if script == "latin":
        return _detect_latin(text[:_SAMPLE_CHARS], offered) or default
    return next((code for code in _LANGUAGES_OF_SCRIPT.get(script, ()) if code in offered), default)


def _dominant_script(text: str) -> str:
    weights = {name: weight * len(pattern.findall(text)) for name, (pattern, weight) in _SCRIPTS.items()}
    # Japanese mixes kana into Han; Chinese doesn't.
    if weights["kana"]:
        weights["kana"] += weights.pop("han")
    script = max(weights, key=lambda name: weights[name])
    return script if weights[script] else ""


def _detect_latin(text: str, offered: Sequence[str]) -> str | None:
    """The likeliest offered language, or None where none is likely or only one could be."""
    if not any(code in offered for code in _LATIN[1:]):
        return None
    ranking = _identifier().rank(text)
    if ranking[0][1] < _MIN_PROBABILITY:
        return None
    return next((code for code, _ in ranking if code in offered), None)


@lru_cache(maxsize=1)
def _identifier() -> Identifier:
    # Loading takes a third of a second, so only the first text that needs it pays.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier: Identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_LATIN)
    return identifier
