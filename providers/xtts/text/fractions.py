"""Fractions written with a slash, `3/4`, where both numbers are small enough to be sure that it is one."""

from __future__ import annotations

from providers.xtts.text.numerals import NUMERALS

# 1/2, 1/3, 2/3, 1/4, 3/4, then all others from {n} and {d}, their numbers.
_SAID = {
    "en": "one half|one third|two thirds|one quarter|three quarters|{n} over {d}",
    "es": "un medio|un tercio|dos tercios|un cuarto|tres cuartos|{n} sobre {d}",
    "fr": "un demi|un tiers|deux tiers|un quart|trois quarts|{n} sur {d}",
    "de": "einhalb|ein drittel|zwei drittel|ein viertel|drei viertel|{n} durch {d}",
    "it": "un mezzo|un terzo|due terzi|un quarto|tre quarti|{n} su {d}",
    "pt": "meio|um terço|dois terços|um quarto|três quartos|{n} sobre {d}",
    "pl": "jedna druga|jedna trzecia|dwie trzecie|jedna czwarta|trzy czwarte|{n} przez {d}",
    "tr": "yarım|üçte bir|üçte iki|dörtte bir|dörtte üç|{n} bölü {d}",
    "ru": "одна вторая|одна третья|две третьих|одна четвёртая|три четвёртых|{n} дробь {d}",
    "nl": "een half|een derde|twee derde|een kwart|drie kwart|{n} gedeeld door {d}",
    "cs": "jedna polovina|jedna třetina|dvě třetiny|jedna čtvrtina|tři čtvrtiny|{n} lomeno {d}",
    "ar": "نصف|ثلث|ثلثان|ربع|ثلاثة أرباع|{n} على {d}",
    "hu": "fél|egyharmad|kétharmad|egynegyed|háromnegyed|{n} per {d}",
    "ko": "이분의 일|삼분의 일|삼분의 이|사분의 일|사분의 삼|{d}분의 {n}",
    "hi": "आधा|एक तिहाई|दो तिहाई|एक चौथाई|तीन चौथाई|{n} बटा {d}",
}
_NAMED = ((1, 2), (1, 3), (2, 3), (1, 4), (3, 4))


def read_fraction(language: str, numerator: int, denominator: int) -> str:
    *named, template = _SAID[language].split("|")
    if (numerator, denominator) in _NAMED:
        return named[_NAMED.index((numerator, denominator))]
    cardinal = NUMERALS[language].cardinal
    return template.format(n=cardinal(numerator), d=cardinal(denominator))
