"""Numbers as words: one row per language, on num2words where it has the language and our tables where not.

num2words has no Hindi, no Czech ordinals, no Korean ordinals of round thousands, writes Turkish fractions as
hundredths and fails on large numbers at a different size in each language; these are filled in here and in
the language's own module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache, partial

from num2words import num2words

from providers.xtts.text import arabic, czech, hindi, korean, russian

MAX_DIGITS = 15  # of a number that is read as one; longer ones, like card numbers, are read digit by digit
MAX_ORDINAL = 9_999  # every language's ordinals are right up to here (see the tests)

DecimalReader = Callable[[str, str], str]  # digits before and after the point → words


@dataclass(frozen=True, slots=True)
class Numerals:
    """How one language says numbers. Values are digit strings where leading zeros matter."""

    cardinal: Callable[[int], str]
    ordinal: Callable[[int], str]  # in the form that stands alone: masculine, nominative
    decimal: DecimalReader
    minus: str
    dot: str  # between the parts of a version or an address
    year: Callable[[int], str]

    def digits(self, digits: str) -> str:
        return " ".join(self.cardinal(int(digit)) for digit in digits)

    def integer(self, digits: str) -> str:
        """A number, or its digits where it can only be a code: a leading zero, more than MAX_DIGITS."""
        if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
            return self.digits(digits)
        return self.cardinal(int(digits))


@cache
def _library_cardinal(language: str) -> Callable[[int], str]:
    """num2words, remembering: it takes up to 0.1 ms for a single digit."""
    return lru_cache(maxsize=1_024)(partial(num2words, lang=language))


def _numerals(
    language: str,
    decimal: DecimalReader,
    minus: str,
    dot: str,
    ordinal: Callable[[int], str] | None = None,
    year: Callable[[int], str] | None = None,
) -> Numerals:
    cardinal = _library_cardinal(language)
    return Numerals(
        cardinal=cardinal,
        ordinal=ordinal or partial(num2words, lang=language, ordinal=True),
        decimal=decimal,
        minus=minus,
        dot=dot,
        year=year or cardinal,
    )


def _digit_by_digit(cardinal: Callable[[int], str], point: str) -> DecimalReader:
    """Twelve point five two."""

    def read(whole: str, fraction: str) -> str:
        return " ".join((cardinal(int(whole)), point, *(cardinal(int(digit)) for digit in fraction)))

    return read


def _as_number(language: str, point: Callable[[int], str]) -> DecimalReader:
    """Twelve point fifty-two: the fraction's leading zeros, then the rest of it as one number."""
    cardinal = _library_cardinal(language)

    def read(whole: str, fraction: str) -> str:
        rest = fraction.lstrip("0")
        words = ["0"] * (len(fraction) - len(rest)) + (list(rest) if len(rest) > 3 else [rest] * bool(rest))
        return " ".join((cardinal(int(whole)), point(int(whole)), *(cardinal(int(word)) for word in words)))

    return read


def _library_digits(language: str, point: str) -> DecimalReader:
    return _digit_by_digit(_library_cardinal(language), point)


def _english_year(year: int) -> str:
    words: str = num2words(year, lang="en", to="year" if not 2000 <= year < 2010 else "cardinal")
    return words


def _dutch_year(year: int) -> str:
    words: str = num2words(year, lang="nl", to="year")
    return words.replace(" honderd ", "honderd")


def _german_year(year: int) -> str:
    words: str = num2words(year, lang="de", to="year")
    return words


def _hungarian_decimal(whole: str, fraction: str) -> str:
    """Twelve wholes fifty-two hundredths; beyond thousandths digit by digit."""
    if len(fraction) > 3 or not int(fraction):
        return _library_digits("hu", "egész")(whole, fraction)
    words: str = num2words(Decimal(f"{whole}.{fraction}"), lang="hu")
    return words


_hindi = Numerals(
    cardinal=hindi.cardinal,
    ordinal=hindi.ordinal,
    decimal=_digit_by_digit(hindi.cardinal, "दशमलव"),
    minus="माइनस",
    dot="पॉइंट",
    year=hindi.year,
)

NUMERALS = {
    "en": _numerals("en", _library_digits("en", "point"), "minus", "point", year=_english_year),
    "es": _numerals("es", _library_digits("es", "punto"), "menos", "punto"),
    "fr": _numerals("fr", _library_digits("fr", "virgule"), "moins", "point"),
    "de": _numerals("de", _library_digits("de", "Komma"), "minus", "punkt", year=_german_year),
    "it": _numerals("it", _library_digits("it", "virgola"), "meno", "punto"),
    "pt": _numerals("pt", _library_digits("pt", "vírgula"), "menos", "ponto"),
    "pl": _numerals("pl", _as_number("pl", lambda _: "przecinek"), "minus", "kropka"),
    "tr": _numerals("tr", _as_number("tr", lambda _: "virgül"), "eksi", "nokta"),
    "ru": _numerals("ru", russian.decimal, "минус", "точка"),
    "nl": _numerals("nl", _library_digits("nl", "komma"), "min", "punt", year=_dutch_year),
    "cs": _numerals("cs", _as_number("cs", czech.wholes), "minus", "tečka", ordinal=czech.ordinal),
    "ar": _numerals("ar", arabic.decimal, "ناقص", "نقطة", ordinal=arabic.ordinal),
    "hu": _numerals("hu", _hungarian_decimal, "mínusz", "pont"),
    "ko": _numerals("ko", _library_digits("ko", "점"), "마이너스", "점", ordinal=korean.ordinal),
    "hi": _hindi,
}
