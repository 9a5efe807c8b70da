"""Japanese: romaji by cutlet. Digits stay digits: the model learned them that way, as published.

What stands around digits is put into words first, since cutlet passes signs through.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from providers.xtts.text.symbols import expand_symbols

_CURRENCIES = {"$": "ドル", "£": "ポンド", "€": "ユーロ", "¥": "円", "￥": "円", "₩": "ウォン"}
_GROUPED = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TIME = re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d)(?![\d:])")
_PREFIXED = re.compile(rf"([{''.join(_CURRENCIES)}])\s?(\d+(?:\.\d+)?[万億兆]?)")
_MINUS = re.compile(r"(?<![\w)])[-−](?=\d)")


class Romaniser(Protocol):
    def romaji(self, text: str) -> str: ...


def spoken(text: str) -> str:
    """Signs in words; digits stay."""
    text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
    text = _TIME.sub(lambda match: f"{match[1]}時" + (f"{match[2]}分" if int(match[2]) else ""), text)
    text = re.sub(r"°\s?[Cc]\b", "度", text)
    text = _PREFIXED.sub(lambda match: match[2] + _CURRENCIES[match[1]], text)
    text = _MINUS.sub("マイナス", text)
    return expand_symbols(text, "ja")


def to_romaji(text: str) -> str:
    return _romaniser().romaji(text).lower()


@lru_cache(maxsize=1)
def _romaniser() -> Romaniser:
    # Opens the dictionary: a third of a second.
    from cutlet import Cutlet

    romaniser: Romaniser = Cutlet()
    return romaniser
