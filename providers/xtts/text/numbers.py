"""Finds what is written with digits and says it: one pass over the text with one pattern per language.

Numbers keep the published normaliser's words wherever it has any that are right. Which of `.` and `,` groups
thousands and which begins the fraction is read off the number itself; the language only decides `1.250`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from providers.xtts.text import korean
from providers.xtts.text.clock import CLOCKS, read_time
from providers.xtts.text.counted import COUNTING, Currency, Noun
from providers.xtts.text.fractions import read_fraction
from providers.xtts.text.numerals import MAX_DIGITS, MAX_ORDINAL, NUMERALS
from providers.xtts.text.ordinals import ORDINALS

_COMMA_GROUPS = ("en", "ru", "ar", "ko", "hi")  # 1,250 is a thousand; ru as published
_SPACE_GROUPS = ("fr", "pl", "ru", "cs", "hu", "es", "pt")  # 1 250 is one number
_HOURS_WITH_H = ("fr", "pt", "es")  # 10h30
_YEARS = range(1_100, 2_100)
_SCALES = {  # Celsius, Fahrenheit
    "ru": ("цельсия", "фаренгейта"),
    "pl": ("celsjusza", "fahrenheita"),
    "cs": ("celsia", "fahrenheita"),
    "ar": ("مئوية", "فهرنهايت"),
    "hi": ("सेल्सियस", "फ़ारेनहाइट"),
    "ko": ("섭씨", "화씨"),
}
# Counters that take native numerals: always below thirty, less and less above.
_KOREAN_COUNTERS = "월|시간|시|명|개|살|마리|권|잔|병"
_THIN_SPACES = "\u00a0\u2009\u202f"


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    whole: str  # digits
    fraction: str  # digits, or nothing
    is_grouped: bool = False  # by thousands, so it is no year and no code


def expand_numbers(text: str, language: str) -> str:
    """Says every number in `text`; what is between them comes back in lower case."""
    reader = _reader(language)
    pieces = []
    position = 0
    for match in reader.pattern.finditer(text):
        pieces.append(text[position : match.start()].lower())
        pieces.append(reader.read(match))
        position = match.end()
    pieces.append(text[position:].lower())
    return "".join(pieces)


def parse_number(written: str, grouping: str) -> WrittenNumber | None:
    """`grouping` decides where one separator stands before three digits. None: not one number (`1.2.3`)."""
    digits = re.sub(rf"[ '’{_THIN_SPACES}]", "", written)
    is_grouped = digits != written
    separators = [char for char in digits if char in ".,"]
    if not separators:
        return WrittenNumber(digits, "", is_grouped)
    last = separators[-1]
    whole, _, fraction = digits.rpartition(last)
    if separators.count(last) == 1 and _is_whole(whole):
        ambiguous = len(separators) == 1 and len(fraction) == 3 and _is_whole(f"{whole},000") and whole != "0"
        if not (ambiguous and last == grouping):
            return WrittenNumber(re.sub(r"[.,]", "", whole), fraction, len(separators) > 1 or is_grouped)
    if _is_whole(digits):
        return WrittenNumber(re.sub(r"[.,]", "", digits), "", True)
    return None


def _is_whole(digits: str) -> bool:
    """No separator, or groups of three; in India, groups of two before the last."""
    return bool(re.fullmatch(r"\d+|[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*|[1-9]\d?(?:,\d\d)+,\d{3}", digits))


@cache
def _reader(language: str) -> _Reader:
    return _Reader(language)


class _Reader:
    """One language's pattern, and what is said for each kind of match."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.numerals = NUMERALS[language]
        self.counting = COUNTING[language]
        self.grouping = "," if language in _COMMA_GROUPS else "."
        self.pattern = re.compile(_pattern(language))
        self.readers = {
            "hour": self._time,
            "date": self._date,
            "phone": self._phone,
            "ratio": self._ratio,
            "day": self._day,
            "number": self._number,
        }

    def read(self, match: re.Match[str]) -> str:
        words = next(read for group, read in self.readers.items() if match[group] is not None)(match)
        if self.language == "ko":  # particles are written on to the number
            return words
        before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
        return f"{' ' if before.isalnum() else ''}{words}{' ' if after.isalpha() else ''}"

    def _time(self, match: re.Match[str]) -> str:
        groups = match.groupdict()
        hour, second = int(groups["hour"]), int(groups["second"] or 0)
        minute = int(groups["minute"] or groups.get("minute_2") or 0)
        rest = match.string[match.end() :]
        if self.language == "en" and not minute and re.match(r"\s?[ap]\.?m\b", rest, re.IGNORECASE):
            return self.numerals.cardinal(hour)
        return read_time(self.language, hour, minute, second)

    def _date(self, match: re.Match[str]) -> str:
        parts = re.findall(r"\d+", match["date"])
        return " ".join(
            self.numerals.year(int(part)) if len(part) == 4 else self.numerals.cardinal(int(part))
            for part in parts
        )

    def _phone(self, match: re.Match[str]) -> str:
        return ", ".join(self.numerals.digits(digits) for digits in re.findall(r"\d+", match["phone"]))

    def _ratio(self, match: re.Match[str]) -> str:
        numerator, denominator = map(int, match["ratio"].split("/"))
        if numerator < denominator:
            return read_fraction(self.language, numerator, denominator)
        return f"{self.numerals.cardinal(numerator)}/{self.numerals.cardinal(denominator)}"

    def _day(self, match: re.Match[str]) -> str:
        day = ORDINALS[self.language].day
        return (day or self.numerals.cardinal)(int(match["day"]))

    def _number(self, match: re.Match[str]) -> str:
        number = parse_number(match["number"], self.grouping)
        if number is None:
            words = self._several(match)
        elif match["mark"] or match["dot"]:
            words = self._ordinal(number, match["mark"] or "", match["dot"] or "")
        elif match["counter"]:
            words = self._korean_counted(number, match["counter"])
        else:
            symbol = (match["prefix"] or match["unit"] or match["magnitude_unit"] or "").lower()
            words = self._quantity(number, symbol, match["magnitude"])
        return f"{self.numerals.minus} {words}" if match["minus"] else words

    def _several(self, match: re.Match[str]) -> str:
        """Versions and addresses, `1.2.3`: number, dot, number. Lists keep their commas."""
        spaced = match["number"].replace(".", f" {self.numerals.dot} ").replace(",", ", ")
        words = re.sub(r"\d+", lambda part: self.numerals.integer(part[0]), spaced)
        tail = match.string[match.end("number") : match.end()]
        return f"{match['prefix'] or ''}{words}{tail.lower()}"

    def _ordinal(self, number: WrittenNumber, mark: str, dot: str) -> str:
        if number.fraction or not 1 <= int(number.whole[:MAX_DIGITS]) <= MAX_ORDINAL:
            return f"{self._plain(number)}{dot}"
        return ORDINALS[self.language].say(int(number.whole), mark.lower())

    def _quantity(self, number: WrittenNumber, symbol: str, magnitude: str | None) -> str:
        """`symbol` is a currency, %, a degree sign with or without its scale, or nothing."""
        if currency := self.counting.currencies.get(symbol):
            return self._money(number, currency, magnitude)
        if symbol == "%":
            words = self._counted(number, self.counting.percent)
            return f"{words} "
        if symbol.startswith("°"):
            return self._degrees(number, symbol[-1])
        return self._plain(number)

    def _money(self, number: WrittenNumber, currency: Currency, magnitude: str | None) -> str:
        if not magnitude:
            return self.counting.amount(number.whole, number.fraction, currency)
        of = self.counting.after_magnitude
        unit = self.counting.many(currency.unit)
        if self.language == "fr" and unit[0] in "aeiouy":
            of = "d'"
        scale = self.counting.form(number.whole, number.fraction, self.counting.magnitudes[magnitude.lower()])
        return f"{self._plain(number)} {scale} {of}{unit}"

    def _counted(self, number: WrittenNumber, noun: Noun) -> str:
        if self.counting.percent_first and noun is self.counting.percent:
            return f"{noun.forms[0]} {self._plain(number)}"
        if number.fraction or len(number.whole) > MAX_DIGITS:
            return f"{self._plain(number)} {self.counting.form(number.whole, number.fraction, noun)}"
        return self.counting.count(int(number.whole), noun)

    def _degrees(self, number: WrittenNumber, scale: str) -> str:
        words = self._counted(number, self.counting.degree)
        if scale not in "cf":
            return f"{words} "
        name = _SCALES.get(self.language, ("celsius", "fahrenheit"))["cf".index(scale)]
        return f"{name} {words}" if self.language == "ko" else f"{words} {name}"

    def _korean_counted(self, number: WrittenNumber, counter: str) -> str:
        if counter.strip() == "월":
            return f"{korean.month(int(number.whole[:MAX_DIGITS]))}월"
        last = 12 if counter.strip() == "시" else 29
        if number.fraction or len(number.whole) > 2 or not 1 <= int(number.whole) <= last:
            return f"{self._plain(number)}{counter}"
        return f"{korean.before_noun(int(number.whole))} {counter.strip()}"

    def _plain(self, number: WrittenNumber) -> str:
        if number.fraction:
            if len(number.whole) > MAX_DIGITS:
                return f"{self.numerals.digits(number.whole)}, {self.numerals.digits(number.fraction)}"
            return self.numerals.decimal(number.whole, number.fraction)
        if number.is_grouped and len(number.whole) <= MAX_DIGITS:
            return self.numerals.cardinal(int(number.whole))
        if len(number.whole) == 4 and int(number.whole) in _YEARS:
            return self.numerals.year(int(number.whole))
        return self.numerals.integer(number.whole)


def _pattern(language: str) -> str:
    """Alternatives: a time, a date, a day before its month, a number with what belongs to it."""
    return "|".join((_time(language), _DATE, _PHONE, _RATIO, _day(language), _number(language)))


_DATE = (
    r"(?<![\w.,/-])(?P<date>\d{4}-\d{1,2}-\d{1,2}|\d{1,2}\.\s?\d{1,2}\.\s?\d{4}|\d{1,2}(?P<by>[/-])\d{1,2}(?P=by)\d{4})"
    r"(?![\d/-]|[.,]\d)"
)
# Three groups of digits or more with hyphens between them are no sum and no range.
_PHONE = r"(?<![\w.,/-])(?P<phone>\+?\d{1,4}(?:-\d{2,4}){2,})(?![\d/-]|[.,]\d)"
_RATIO = r"(?<![\w.,/-])(?P<ratio>[1-9]/(?:[2-9]|10))(?![\w/-]|[.,]\d)"


def _time(language: str) -> str:
    consumes = CLOCKS[language].consumes
    said = rf"(?:\s?(?i:{consumes})(?!\w))" if consumes else ""
    minutes = r":(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![:.,]?\d)"
    if language == "de":  # 10.30 Uhr
        minutes += rf"|\.(?P<minute_2>[0-5]\d)(?={said})"
    if language in _HOURS_WITH_H:  # 10h, 10h30
        minutes += r"|\s?[hH](?:\s?(?P<minute_2>[0-5]\d))?(?!\w)"
    return rf"(?<![\w.,:])(?P<hour>[01]?\d|2[0-4])(?:{minutes})" + (said and said + "?")


def _day(language: str) -> str:
    months = ORDINALS[language].months
    if not months:
        return r"(?P<day>(?!))"
    return rf"(?<![\w.,:])(?P<day>{ORDINALS[language].before_month})\.?(?=\s+(?i:{months})(?!\w))"


def _number(language: str) -> str:
    counting, ordinals = COUNTING[language], ORDINALS[language]
    spaces = _THIN_SPACES + (" " if language in _SPACE_GROUPS else "")
    number = (
        rf"(?:\d{{1,3}}(?:[{spaces}]\d{{3}})+(?!\d)(?:[.,]\d+)?"
        r"|\d{1,3}(?:['’]\d{3})+(?!\d)(?:\.\d+)?"
        r"|\d+(?:[.,]\d+)*)"
    )
    currencies = sorted(counting.currencies, key=len, reverse=True)
    before = "|".join(
        r"(?<!\w)" * symbol[0].isalpha() + re.escape(symbol)
        for symbol in (*currencies, "%" if counting.percent_first else "$")
        if not symbol[-1].isalpha()
    )
    after = "|".join(re.escape(symbol) + r"(?!\w)" * symbol[-1].isalpha() for symbol in currencies)
    magnitudes = "|".join(re.escape(word) for word in sorted(counting.magnitudes, key=len, reverse=True))
    mark = rf"(?P<mark>(?i:{ordinals.marks}))(?!\w)" if ordinals.marks else r"(?P<mark>(?!))"
    dot = rf"(?<!\d{{4}})(?P<dot>\.){ordinals.dot}" if ordinals.dot else r"(?P<dot>(?!))"
    counter = rf"(?P<counter>\s?(?:{_KOREAN_COUNTERS}))" if language == "ko" else r"(?P<counter>(?!))"
    space = rf"[ {_THIN_SPACES}]?"
    return (
        r"(?P<minus>(?:(?<!\S)|(?<=[(\[]))[-−])?"
        rf"(?:(?P<prefix>(?i:{before})){space})?"
        rf"(?P<number>{number})"
        rf"(?:(?(prefix)(?!)|(?:{mark}|{dot}|{counter}))"
        rf"|{space}(?P<magnitude>(?i:{magnitudes}))(?!\w)(?(prefix)|{space}(?P<magnitude_unit>(?i:{after})))"
        rf"|(?(prefix)(?!)|{space}(?P<unit>(?:(?i:{after}))(?!\d)|%|°(?:\s?[cCfF](?!\w))?))"
        r")?"
    )
