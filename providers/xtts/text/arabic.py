"""Arabic numbers where num2words falls short: ordinals, fractions and counted nouns."""

from __future__ import annotations

from decimal import Decimal

from num2words import num2words

_UNITS = "الأول الثاني الثالث الرابع الخامس السادس السابع الثامن التاسع".split()
_UNITS_IN_COMPOUNDS = ["الحادي", *_UNITS[1:]]
_TENS = "العاشر العشرون الثلاثون الأربعون الخمسون الستون السبعون الثمانون التسعون".split()

_UNITS_OF_FEMININE = "واحدة اثنتان ثلاث أربع خمس ست سبع ثمان تسع".split()
_TEEN_UNITS_OF_FEMININE = "إحدى اثنتا ثلاث أربع خمس ست سبع ثماني تسع".split()


def cardinal(number: int) -> str:
    words: str = num2words(number, lang="ar")
    return words


def ordinal(number: int) -> str:
    """The definite masculine ordinal, `الثالث`; beyond 99 Arabic says the cardinal."""
    if not 1 <= number <= 99:
        return cardinal(number)
    tens, units = divmod(number, 10)
    if tens == 0:
        return _UNITS[units - 1]
    if units == 0:
        return _TENS[tens - 1]
    if tens == 1:
        return f"{_UNITS_IN_COMPOUNDS[units - 1]} عشر"
    return f"{_UNITS_IN_COMPOUNDS[units - 1]} و {_TENS[tens - 1]}"


def feminine(ordinal_words: str) -> str:
    """Of an ordinal below 13, as hours need it: `الثالثة`; one o'clock is `الواحدة`."""
    if ordinal_words == "الأول":
        return "الواحدة"
    if ordinal_words.endswith(" عشر"):
        return ordinal_words.removesuffix(" عشر").replace("الحادي", "الحادية") + (
            "ة عشرة" if not ordinal_words.startswith("الحادي") else " عشرة"
        )
    return ordinal_words + "ة"


def decimal(whole: str, fraction: str) -> str:
    """Hundredths after a comma, the published reading, wherever that is unambiguous; else digits."""
    if len(fraction) <= 2 and fraction[0] != "0" and int(whole):
        words: str = num2words(Decimal(f"{whole}.{fraction}"), lang="ar")
        return words
    return " ".join((cardinal(int(whole)), "فاصلة", *(cardinal(int(digit)) for digit in fraction)))


def count(number: int, forms: tuple[str, ...], gender: str) -> str:
    """A counted noun: singular, dual, plural and accusative singular; one and two need no numeral.

    The numerals from three to ten take the gender that the noun hasn't.
    """
    singular, dual, plural, accusative = forms
    if number == 1:
        return f"{singular} {'واحد' if gender == 'm' else 'واحدة'}"
    if number == 2:
        return dual
    last = number % 100
    form = plural if 3 <= last <= 10 else accusative if 11 <= last <= 99 else singular
    words = cardinal(number) if gender == "m" else _cardinal_of_feminine(number)
    return f"{words} {form}"


def _cardinal_of_feminine(number: int) -> str:
    hundreds, last = divmod(number, 100)
    tens, units = divmod(last, 10)
    if last == 10:
        words = "عشر"
    elif tens == 1:
        words = f"{_TEEN_UNITS_OF_FEMININE[units - 1]} عشرة"
    else:
        words = " و ".join(
            (_UNITS_OF_FEMININE[units - 1],) * bool(units) + (cardinal(tens * 10),) * bool(tens)
        )
    if not hundreds:
        return words or cardinal(0)
    return f"{cardinal(hundreds * 100)} و {words}" if words else cardinal(hundreds * 100)
