"""Japanese: phones with pitch marks, by pyopenjtalk-plus and the dictionary in its wheel.

Pitch is written between the phones as the model was trained with it (after Kurihara et al., 2021, "Prosodic
features control by symbols as input of sequence-to-sequence acoustic modeling for neural TTS"): `[` where it
rises, `]` where it falls, `#` between accent phrases, `_` for a pause that Open JTalk puts in. The v1 table
has no pitch marks and neither has `#`, so those are `UNK`, as in training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.punctuation import MARKS, collapse
from providers.gpt_sovits.text.symbols import SymbolTable

_WORDS = re.compile(
    r"[A-Za-z\d\u3005\u3040-\u30ff\u4e00-\u9fff\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9d]+"
)
# Of a full-context label: the phone; /A: how far the accent is, the mora's place from the front and from the
# back of its accent phrase; /F: how many morae the phrase has. `xx` stands where there is no phrase.
_LABEL = re.compile(
    r"-(?P<phone>\w+)\+.*/A:(?P<accent>[-\w]+)\+(?P<front>\w+)\+(?P<back>\w+)/.*/F:(?P<morae>\w+)_"
)
_NOWHERE = -50  # in place of `xx`: equal to no place, next to none
_MORA_ENDS = frozenset(("a", "e", "i", "o", "u", "N", "cl"))
_DEVOICED = str.maketrans("AEIOU", "aeiou")

_CURRENCIES = {"$": "ドル", "£": "ポンド", "€": "ユーロ", "¥": "円", "￥": "円", "₩": "ウォン"}
_SPOKEN = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<![\d:])(\d{1,2}):00(?![\d:])"), r"\1時"),
    (re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d)(?![\d:])"), r"\1時\2分"),
    (re.compile(r"(?<=\d)\.(?=\d)"), "点"),
    (re.compile(r"(?<![\w)])[-−](?=\d)"), "マイナス"),
    (re.compile(r"(?<=\d)\s?(?:°C|℃)"), "度"),
    (re.compile(r"[%％]"), "パーセント"),
)
_AMOUNT = re.compile(rf"([{''.join(_CURRENCIES)}])\s?(\d+(?:点\d+)?[万億兆]?)")


class _Label(NamedTuple):
    phone: str
    accent: int  # morae after the accented one; 0 is on it
    front: int  # place in the accent phrase, from 1
    back: int
    morae: int  # in the accent phrase


def normalise(text: str) -> str:
    """Marks in a row are one mark: of several the model makes noises from its training data."""
    return collapse(text)


def phones(text: str, symbols: SymbolTable) -> Phones:
    text = normalise(text)
    return Phones(text, symbols.known(_phones(_spoken(text))))


def _spoken(text: str) -> str:
    """Signs in words; digits are Open JTalk's."""
    for pattern, words in _SPOKEN:
        text = pattern.sub(words, text)
    return _AMOUNT.sub(lambda match: match[2] + _CURRENCIES[match[1]], text)


def _phones(text: str) -> Iterator[str]:
    """Words by Open JTalk, one phone for each other character, none for a space."""
    end = 0
    for match in _WORDS.finditer(text):
        yield from _marks(text[end : match.start()])
        yield from _word_phones(match[0].lower())
        end = match.end()
    yield from _marks(text[end:])


def _marks(text: str) -> Iterator[str]:
    return (MARKS.get(char, char) for char in text if char != " ")


def _word_phones(words: str) -> Iterator[str]:
    import pyopenjtalk  # opens a dictionary of 100 MB

    labels = [_label(line) for line in pyopenjtalk.make_label(pyopenjtalk.run_frontend(words))]
    for label, following in pairwise(labels[1:]):  # the ends are silence
        if label.phone == "pau":
            yield "_"
            continue
        yield label.phone
        if mark := _pitch_mark(label, following):
            yield mark


def _pitch_mark(label: _Label, following: _Label) -> str | None:
    if label.back == 1 and following.front == 1 and label.phone in _MORA_ENDS:
        return "#"
    if label.accent == 0 and following.front == label.front + 1 and label.front != label.morae:
        return "]"
    if label.front == 1 and following.front == 2:
        return "["
    return None


def _label(line: str) -> _Label:
    match = _LABEL.search(line)
    if match is None:
        raise ValueError(f"found a full-context label without phone and accent: {line!r}")
    phone, *places = match.groups()
    # Devoiced vowels are capital letters, which the model was trained without.
    phone = phone.translate(_DEVOICED) if len(phone) == 1 else phone
    return _Label(phone, *(_NOWHERE if place == "xx" else int(place) for place in places))
