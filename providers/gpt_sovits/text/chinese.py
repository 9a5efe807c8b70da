"""Mandarin: text → words → readings → tones as spoken → phones, two for each character.

v1 and the later versions differ in where readings come from and in -儿 (see `_WAYS`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from providers.gpt_sovits.text.chinese_normalization import normalise
from providers.gpt_sovits.text.chinese_words import Word, words_of
from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.pinyin import is_reading, phones_of, phrase_readings, word_readings
from providers.gpt_sovits.text.symbols import PUNCTUATION, UNKNOWN, SymbolTable, TableName
from providers.gpt_sovits.text.tone_sandhi import er_tones, spoken_tones


class Readings(Protocol):
    """Says how characters are read in a sentence: `polyphones.G2pw`."""

    def __call__(self, sentence: str) -> list[str]:
        """One reading for each character; a mark is its own."""


@dataclass(frozen=True, slots=True)
class _Way:
    merges_er: bool  # 儿 takes the tone of the syllable it colours
    takes_readings: bool  # from a model, where there is one; else from pypinyin's phrases


_WAYS: dict[TableName, _Way] = {
    "v1": _Way(merges_er=False, takes_readings=False),
    "v2": _Way(merges_er=True, takes_readings=True),
}
# Pauses that a writer puts in: the text shows a comma there, the phones say which.
_PAUSES = {"￥": "SP2", "^": "SP3"}
_SENTENCE = re.compile(rf"[^{re.escape(''.join(PUNCTUATION))}]*[{re.escape(''.join(PUNCTUATION))}]?")
# Interjections that have no reading with a vowel.
_REWRITTEN = str.maketrans("嗯呣", "恩母")


def phones(text: str, symbols: SymbolTable, readings: Readings | None = None) -> Phones:
    """Phones of a text in Mandarin. `readings` disambiguates characters for versions that were trained so."""
    way = _WAYS[symbols.name]
    marked = normalise(text.translate(_REWRITTEN), keep="".join(_PAUSES))
    names: list[str] = []
    word2ph: list[int] = []
    for sentence in filter(None, _SENTENCE.findall(marked)):
        for spoken in _sentence(sentence, way, readings if way.takes_readings else None):
            names += spoken
            word2ph.append(len(spoken))
    shown = re.sub(f"[{re.escape(''.join(_PAUSES))}]", ",", marked)
    return Phones(shown, symbols.known(names), tuple(word2ph))


def _sentence(sentence: str, way: _Way, readings: Readings | None) -> Iterator[tuple[str, ...]]:
    """The phones of each character."""
    in_sentence = readings(sentence) if readings else None
    start = 0
    for word in words_of(sentence):
        stop = start + len(word.text)
        in_word = in_sentence[start:stop] if in_sentence else None
        yield from _word(word, way, in_word)
        start = stop


def _word(word: Word, way: _Way, in_sentence: list[str] | None) -> Iterator[tuple[str, ...]]:
    """Readings of the sentence count where the dictionary doesn't have the word."""
    if in_sentence is None:
        readings = word_readings(word.text)
    else:
        readings = phrase_readings(word.text) or in_sentence
    tones = spoken_tones(word, [int(reading[-1]) if is_reading(reading) else 0 for reading in readings])
    if way.merges_er:
        tones = er_tones(word, tones)
    for char, reading, tone in zip(word.text, readings, tones, strict=True):
        if is_reading(reading):
            yield phones_of(f"{reading[:-1]}{tone}")
        elif char in PUNCTUATION:
            yield (char,)
        else:
            yield (_PAUSES.get(char, UNKNOWN),)
