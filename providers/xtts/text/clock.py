"""Times of day, `10:30`, as each language reads them off a clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from num2words import num2words

from providers.xtts.text import arabic, korean
from providers.xtts.text.counted import COUNTING, Noun
from providers.xtts.text.numerals import NUMERALS

Reader = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Clock:
    hour: Reader  # the hour as it is said on the clock
    full: str  # template of a full hour
    parts: str  # template of hour and minutes
    minute: Reader
    minute_below_ten: str = "{m}"
    consumes: str = ""  # a word of the text after the time that the template already says


def _counted(language: str, *forms: str, gender: str) -> Reader:
    noun = Noun(forms, gender)
    return lambda hour: COUNTING[language].count(hour, noun)


def _gendered(language: str, gender: str) -> Reader:
    return lambda hour: COUNTING[language].numeral(hour, gender)


def _polish_hour(hour: int) -> str:
    if hour == 0:
        return "zero"
    words: str = num2words(hour, lang="pl", ordinal=True)
    return " ".join(word[:-1] + "a" for word in words.replace("trzeci", "trzecii").split())


def _arabic_hour(hour: int) -> str:
    return arabic.feminine(arabic.ordinal(hour)) if 1 <= hour <= 12 else arabic.cardinal(hour)


def _korean_hour(hour: int) -> str:
    return korean.before_noun(hour) if 1 <= hour <= 12 else NUMERALS["ko"].cardinal(hour)


def _cardinal(language: str) -> Reader:
    return NUMERALS[language].cardinal


CLOCKS = {
    "en": Clock(_cardinal("en"), "{h} o'clock", "{h} {m}", _cardinal("en"), "oh {m}", consumes="o'clock"),
    "es": Clock(_gendered("es", "f"), "{h} en punto", "{h} y {m}", _cardinal("es"), consumes="horas|h"),
    "fr": Clock(
        _counted("fr", "heure", "heures", gender="f"), "{h}", "{h} {m}", _cardinal("fr"), consumes="heures?"
    ),
    "de": Clock(_gendered("de", "m"), "{h} uhr", "{h} uhr {m}", _cardinal("de"), consumes="uhr"),
    "it": Clock(_gendered("it", "f"), "{h} in punto", "{h} e {m}", _cardinal("it")),
    "pt": Clock(
        _counted("pt", "hora", "horas", gender="f"), "{h}", "{h} e {m}", _cardinal("pt"), consumes="horas?|h"
    ),
    "pl": Clock(_polish_hour, "{h}", "{h} {m}", _cardinal("pl"), "zero {m}"),
    "tr": Clock(_cardinal("tr"), "{h}", "{h} {m}", _cardinal("tr"), "sıfır {m}"),
    "ru": Clock(
        _counted("ru", "час", "часа", "часов", gender="m"),
        "{h}",
        "{h} {m}",
        _counted("ru", "минута", "минуты", "минут", gender="f"),
        consumes="час(?:а|ов)?",
    ),
    "nl": Clock(_cardinal("nl"), "{h} uur", "{h} uur {m}", _cardinal("nl"), consumes="uur"),
    "cs": Clock(
        _counted("cs", "hodina", "hodiny", "hodin", gender="f"),
        "{h}",
        "{h} {m}",
        _counted("cs", "minuta", "minuty", "minut", gender="f"),
        consumes="hodin[ay]?",
    ),
    "ar": Clock(
        _arabic_hour, "{h}", "{h} و {m}", _counted("ar", "دقيقة", "دقيقتان", "دقائق", "دقيقة", gender="f")
    ),
    "hu": Clock(
        _gendered("hu", "m"), "{h} óra", "{h} óra {m} perc", _gendered("hu", "m"), consumes="óra(?: perc)?"
    ),
    "ko": Clock(_korean_hour, "{h} 시", "{h} 시 {m} 분", _cardinal("ko"), consumes="시"),
    "hi": Clock(_cardinal("hi"), "{h} बजे", "{h} बजकर {m} मिनट", _cardinal("hi"), consumes="बजे"),
}


def read_time(language: str, hour: int, minute: int, second: int | None = None) -> str:
    clock = CLOCKS[language]
    if minute == 0 and not second:
        return clock.full.format(h=clock.hour(hour))
    minutes = clock.minute(minute)
    if minute < 10:
        minutes = clock.minute_below_ten.format(m=minutes)
    words = clock.parts.format(h=clock.hour(hour), m=minutes)
    return f"{words} {NUMERALS[language].cardinal(second)}" if second else words
