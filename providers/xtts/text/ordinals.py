"""Ordinals written with digits: what marks one in each language, and how its ending is carried over."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from providers.xtts.text import czech, hindi, korean
from providers.xtts.text.numerals import NUMERALS

Inflect = Callable[[int, str], str]  # number, what was written after it → words


@dataclass(frozen=True, slots=True)
class Ordinals:
    marks: str  # alternatives of a regular expression, directly after the number
    say: Inflect
    dot: str = ""  # what must follow a full stop for it to mark an ordinal, as a regular expression
    months: str = ""
    before_month: str = r"0?[1-9]|[12]\d|3[01]"  # what is a day there without further marks: "3 мая"
    day: Callable[[int], str] | None = None


def _plain(language: str) -> Inflect:
    return lambda number, mark: NUMERALS[language].ordinal(number)


def _english(number: int, mark: str) -> str:
    """Decades too: the 1990s are the nineteen nineties."""
    if not mark.endswith("s"):
        return NUMERALS["en"].ordinal(number)
    words = NUMERALS["en"].year(number) if 1_100 <= number < 2_100 else NUMERALS["en"].cardinal(number)
    if number % 10:
        return words + mark
    return words.removesuffix("y") + "ies" if words.endswith("y") else words + "s"


def _romance(language: str, feminine: str, plural: str) -> Inflect:
    """Every word of the ordinal agrees; the mark's last letters tell with what."""

    def say(number: int, mark: str) -> str:
        words = NUMERALS[language].ordinal(number)
        ending = ("a" if re.fullmatch(feminine, mark) else "o") + ("s" if re.fullmatch(plural, mark) else "")
        return " ".join(re.sub(r"o$", ending, word) for word in words.split())

    return say


def _french(number: int, mark: str) -> str:
    if mark in ("re", "ère", "ere", "ª"):
        return "première" if number == 1 else NUMERALS["fr"].ordinal(number)
    if mark in ("nd", "nde"):
        return "second" + mark[2:]
    return NUMERALS["fr"].ordinal(number)


def _italian(number: int, mark: str) -> str:
    endings = {"a": "a", "ª": "a", "i": "i", "e": "e"}
    return NUMERALS["it"].ordinal(number)[:-1] + endings.get(mark, "o")


_RUSSIAN_ENDINGS = {
    "я": ("ая", "ья"),
    "е": ("ое", "ье"),
    "го": ("ого", "ьего"),
    "му": ("ому", "ьему"),
    "м": ("ом", "ьем"),
    "х": ("ых", "ьих"),
    "ю": ("ую", "ью"),
}


def _russian(number: int, mark: str) -> str:
    words = NUMERALS["ru"].ordinal(number)
    if mark == "-е" and number >= 10 and number % 10 == 0:  # decades: 90-е годы
        return words[:-2] + "ые"
    for written, (ending, soft_ending) in _RUSSIAN_ENDINGS.items():
        if mark.removeprefix("-").endswith(written):
            if words.endswith("третий"):
                return words.removesuffix("ий") + soft_ending
            return words[:-2] + ending
    return words


def _polish(number: int, mark: str) -> str:
    words = NUMERALS["pl"].ordinal(number)
    if not mark.endswith("a"):
        return words
    return re.sub(r"ci\b", "cia", re.sub(r"gi\b", "ga", re.sub(r"y\b", "a", words)))


def _polish_genitive(number: int) -> str:
    return re.sub(r"([yi])\b", r"\1ego", NUMERALS["pl"].ordinal(number)).replace("yego", "ego")


def _hungarian(number: int, mark: str) -> str:
    """Days of a month too: 1-jén is `elsején`, 24-én `huszonnegyedikén`."""
    words = NUMERALS["hu"].ordinal(number)
    if not mark.endswith("n"):
        return words
    return "elsején" if number == 1 else words + mark[-2:]


def _korean(number: int, mark: str) -> str:
    if mark in ("번째", "째"):
        return korean.ordinal(number)
    return f"{NUMERALS['ko'].cardinal(number)} {mark}"


def _hindi(number: int, mark: str) -> str:
    vowel = "ी" if "ी" in mark else "े" if "े" in mark else "ा"
    return hindi.ordinal(number, vowel)


# A dot after a number ends the sentence unless the sentence visibly goes on.
_LOWER = r"(?=[^\S\n]+[^\W\d_A-ZÀ-ÖØ-ÞČĎĚĞİŁŇŐŘŚŞŠŤŮŰŹŻŽ])"
# German capitalises nouns, so there only numbers that can be a day or a place go on before a capital.
_GERMAN = rf"(?:{_LOWER}|(?<![4-9]\d\.)(?<!3[2-9]\.)(?<!\d\d\d\.)(?=[^\S\n]+[^\W\d_]))"

ORDINALS = {
    "en": Ordinals("st|nd|rd|th|['’]?s", _english),
    "es": Ordinals("º|ª|er|ero|era|ro|ra|do|da|to|ta|mo|ma|os|as|o|a", _romance("es", "ª|.*as?", ".*s")),
    "fr": Ordinals("º|ª|ère|ere|er|re|ème|eme|e|nde|nd", _french),
    "de": Ordinals("ste|te|st|nd|rd|th|º|ª", _plain("de"), dot=_GERMAN),
    # A degree sign marks an ordinal only before a word: "1° giorno", but "36°".
    "it": Ordinals(r"º|ª|o|a|i|e|°(?=[^\S\n]+(?!c\b|di\b)[^\W\d_])", _italian),
    "pt": Ordinals("º|ª|os|as|o|a", _romance("pt", "ª|.*as?", ".*s")),
    "pl": Ordinals(
        "º|ª|st|nd|rd|th|-?(?:szy|gi|ci|ty|my|wszy)|-(?:sza|ga|cia|ta|ma)",
        _polish,
        dot=_LOWER,
        months="stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|września|października"
        "|listopada|grudnia",
        day=_polish_genitive,
    ),
    "tr": Ordinals("['’]?(?:inci|nci|ıncı|ncı|uncu|ncu|üncü|ncü)", _plain("tr"), dot=_LOWER),
    "ru": Ordinals(
        "-(?:ый|ой|ий|й|ая|ья|я|ое|ье|ее|е|ого|го|ому|му|ом|ем|м|ых|их|х|ую|ю)",
        _russian,
        months="января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря",
        day=lambda number: _russian(number, "-го"),
    ),
    "nl": Ordinals("ste|de|e", _plain("nl")),
    "cs": Ordinals(
        "",
        lambda number, mark: czech.ordinal(number),
        dot=_LOWER,
        months="ledna|února|března|dubna|května|června|července|srpna|září|října|listopadu|prosince",
        day=lambda number: czech.genitive(czech.ordinal(number)),
    ),
    "hu": Ordinals(
        "-?(?:adik|edik|odik|ödik|ik)|-j?[áé]n",
        _hungarian,
        dot=_LOWER,
        months="január|február|március|április|május|június|július|augusztus|szeptember|október|november"
        "|december",
        before_month=r"\d{4}",  # the year: its dot is not spoken
    ),
    "ko": Ordinals("번째|번|차|째", _korean),
    "hi": Ordinals("वाँ|वां|वीं|वें|ला|ली|ले|रा|री|रे|था|थी|थे|ठा|ठी|ठे|st|nd|rd|th", _hindi),
    "ar": Ordinals("", _plain("ar")),
}
