"""English numbers, dates, times, money and units in words.

Years and other four-digit numbers from 1001 to 2999 are read in pairs, as in training: 1,234 is "twelve
thirty-four".
"""

from __future__ import annotations

import re

from num2words import num2words

_UNITS = {
    "m": ("meter", "meters"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "ft": ("foot", "feet"),
    "g": ("gram", "grams"),
    "kg": ("kilogram", "kilograms"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "L": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "h": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "s": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "°": ("degree", "degrees"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
}
# One letter after a space is more often a word or a name than a unit.
_UNIT_NAMES = "|".join(
    (r"\s?" if len(unit) > 1 else "") + re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True)
)
_CURRENCIES = {
    "$": (("dollar", "dollars"), ("cent", "cents")),
    "£": (("pound", "pounds"), ("penny", "pence")),
    "€": (("euro", "euros"), ("cent", "cents")),
    "¥": (("yen", "yen"), ("sen", "sen")),
}
_SIGNS = "".join(_CURRENCIES)
_OPERATORS = {"+": "plus", "-": "minus", "−": "minus", "×": "times", "÷": "divided by", "=": "equals"}
_MAGNITUDES = "thousand|million|billion|trillion"

_NUMBER = r"\d+(?:\.\d+)?"
_GROUPING = re.compile(r"(?<=\d),(?=\d)")
_TIME = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?!\d)(?:\s?([ap])\.?m\b\.?)?", re.IGNORECASE)
_LIST_ITEM = re.compile(r"(?m)^(\s*)(\d{1,3})\. ")
_OPERATION = re.compile(rf"(?<=[\w)])\s+([{re.escape(''.join(_OPERATORS))}])\s+(?=[\w.(−-])")
_NEGATIVE = re.compile(r"(?:(?<=\s)|(?<=\()|^)[-−](?=\d)")
_MONEY_BEFORE = re.compile(rf"([{_SIGNS}])\s?({_NUMBER})(?:\s({_MAGNITUDES})\b)?", re.IGNORECASE)
_MONEY_AFTER = re.compile(rf"({_NUMBER})([{_SIGNS}])()")
_MEASUREMENT = re.compile(rf"\b({_NUMBER})({_UNIT_NAMES})(?![\w/])")
_FRACTION = re.compile(r"(?<![\d/.])(\d{1,3})/(\d{1,3})(?![\d/])")
_VERSION = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}")
_DECIMAL = re.compile(r"(\d*)\.(\d+)")
_ORDINAL = re.compile(r"(?<!\d)(\d{1,12})(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECADE = re.compile(r"\b(\d*[1-9]0)s\b")
_INTEGER = re.compile(r"\d+")
_BESIDE_LETTERS = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_DIGITS = "zero one two three four five six seven eight nine".split()
_MAX_DIGITS = 36  # of a number that has a name; longer ones are read digit by digit


def spoken(text: str) -> str:
    """Everything with digits, and the signs that go with them, in words."""
    text = _LIST_ITEM.sub(lambda match: f"{match[1]}{ordinal(int(match[2]))}, ", text)
    text = _OPERATION.sub(lambda match: f" {_OPERATORS[match[1]]} ", text)
    text = _NEGATIVE.sub("negative ", text)
    text = _GROUPING.sub("", text)
    text = _TIME.sub(_time, text)
    text = _MONEY_BEFORE.sub(lambda match: _money(match[1], match[2], match[3]), text)
    text = _MONEY_AFTER.sub(lambda match: _money(match[2], match[1], None), text)
    text = _DECADE.sub(lambda match: _plural(number(match[1])), text)
    text = _MEASUREMENT.sub(_measurement, text)
    text = _VERSION.sub(lambda match: match[0].replace(".", " point "), text)
    text = _DECIMAL.sub(_decimal, text)
    text = _FRACTION.sub(_fraction, text)
    text = _ORDINAL.sub(lambda match: ordinal(int(match[1])), text)
    text = _BESIDE_LETTERS.sub(" ", text)
    text = _INTEGER.sub(lambda match: number(match[0]), text)
    return text.replace("%", " percent")


def number(digits: str) -> str:
    """`1999` is nineteen ninety-nine, `2005` two thousand five, `45` forty-five."""
    if len(digits) > _MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(_DIGITS[int(digit)] for digit in digits)
    value = int(digits)
    if 1000 < value < 3000 and not 2000 <= value < 2010:
        return _in_pairs(value)
    return cardinal(value)


def cardinal(value: int) -> str:
    """Without "and": one thousand, two hundred thirty-four."""
    return str(num2words(value)).replace(" and ", " ")


def ordinal(value: int) -> str:
    return str(num2words(value, to="ordinal")).replace(" and ", " ")


def _in_pairs(value: int) -> str:
    first, second = divmod(value, 100)
    if second == 0:
        return f"{cardinal(first)} hundred"
    return f"{cardinal(first)} {'oh ' if second < 10 else ''}{cardinal(second)}"


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _time(match: re.Match[str]) -> str:
    """13:30 is "one thirty p.m.", as in training."""
    hour, minute = int(match[1]), int(match[2])
    half = (match[3] or ("a" if hour < 12 else "p")).lower()
    hour_words = cardinal(hour % 12 or 12)
    minute_words = f"{'oh ' if minute < 10 else ''}{cardinal(minute)}" if minute else "o'clock"
    return f"{hour_words} {minute_words} {half}.m."


def _money(sign: str, amount: str, magnitude: str | None) -> str:
    unit, fraction_unit = _CURRENCIES[sign]
    whole, _, fraction = amount.partition(".")
    if magnitude or len(fraction) > 2:
        return f"{amount} {magnitude + ' ' if magnitude else ''}{unit[1]}"
    fraction = fraction.ljust(2, "0")
    parts = [
        f"{count} {names[count != '1']}"
        for count, names in ((whole.lstrip("0"), unit), (fraction.lstrip("0"), fraction_unit))
        if count
    ]
    return " and ".join(parts) or f"zero {unit[1]}"


def _measurement(match: re.Match[str]) -> str:
    return f"{match[1]} {_UNITS[match[2].strip()][match[1] != '1']}"


def _decimal(match: re.Match[str]) -> str:
    return f"{match[1] or '0'} point {' '.join(match[2])}"


def _fraction(match: re.Match[str]) -> str:
    """3/4 is three fourths, 1/2 one half."""
    numerator, denominator = int(match[1]), int(match[2])
    if denominator < 2:
        return f"{match[1]} over {match[2]}" if denominator == 0 else match[1]
    if denominator == 2:
        return f"{cardinal(numerator)} {'half' if numerator == 1 else 'halves'}"
    return f"{cardinal(numerator)} {ordinal(denominator)}{'s' if numerator != 1 else ''}"
