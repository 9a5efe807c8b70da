"""Russian fractions. num2words has them, but makes the first `one` feminine instead of the last."""

from __future__ import annotations

from num2words import num2words

_PLACES = (("десятая", "десятых"), ("сотая", "сотых"), ("тысячная", "тысячных"))
_FEMININE = {"один": "одна", "два": "две"}


def decimal(whole: str, fraction: str) -> str:
    """`двадцать одна целая пять десятых`; beyond thousandths a comma and digits."""
    if len(fraction) > len(_PLACES) or not int(fraction):
        digits = " ".join(num2words(int(digit), lang="ru") for digit in fraction)
        return f"{num2words(int(whole), lang='ru')} запятая {digits}"
    places = _PLACES[len(fraction) - 1]
    return f"{_counted(int(whole), ('целая', 'целых'))} {_counted(int(fraction), places)}"


def _counted(number: int, forms: tuple[str, str]) -> str:
    *words, last = num2words(number, lang="ru").split()
    is_one = number % 10 == 1 and number % 100 != 11
    return " ".join((*words, _FEMININE.get(last, last), forms[0 if is_one else 1]))
