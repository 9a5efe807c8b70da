"""The languages XTTS speaks, and how a BCP-47 tag finds its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from providers.errors import UnsupportedLanguage


@dataclass(frozen=True, slots=True)
class Language:
    code: str  # as XTTS configs write it, and in brackets the first token of every prompt
    max_chars: int  # of raw text in one utterance: the published limits; beyond them XTTS drops words

    @property
    def primary(self) -> str:
        """The BCP-47 primary subtag."""
        return self.code.split("-")[0]


LANGUAGES = {
    language.code: language
    for language in (
        Language("en", 250),
        Language("es", 239),
        Language("fr", 273),
        Language("de", 253),
        Language("it", 213),
        Language("pt", 203),
        Language("pl", 224),
        Language("tr", 226),
        Language("ru", 182),
        Language("nl", 251),
        Language("cs", 186),
        Language("ar", 166),
        Language("zh-cn", 82),
        Language("hu", 224),
        Language("ko", 95),
        Language("ja", 71),
        Language("hi", 150),
    )
}


def offered_languages(codes: Sequence[str]) -> dict[str, Language]:
    """Rows of the languages that a submission claims, by primary subtag, in the submission's order."""
    by_primary = {language.primary: language for language in LANGUAGES.values()}
    primaries = (code.lower().split("-")[0] for code in codes)
    return {primary: by_primary[primary] for primary in primaries if primary in by_primary}


def is_auto(tag: str) -> bool:
    """GPT-SoVITS's clients ask so for what others leave out; `auto_yue` too."""
    return _subtags(tag)[0] == "auto"


def resolve(tag: str, offered: dict[str, Language]) -> Language:
    """`en-US`, `EN` and `en_GB` are `en`; every `zh` is `zh-cn`, the only Chinese that XTTS knows.

    GPT-SoVITS's `all_zh` is `zh`.
    """
    language = offered.get(_subtags(tag)[0])
    if language is None:
        raise UnsupportedLanguage(tag, [language.code for language in offered.values()])
    return language


def _subtags(tag: str) -> list[str]:
    return tag.strip().lower().replace("_", "-").removeprefix("all-").split("-")
