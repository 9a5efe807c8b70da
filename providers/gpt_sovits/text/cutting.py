"""Cuts a text into the pieces that are spoken one by one, by the published methods `cut0` to `cut5`.

A piece starts and ends as the models heard them in training: a mark at its end, one in front where the text
opens with a word of less than four characters (its first phones are swallowed otherwise).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

from providers.gpt_sovits.text.punctuation import collapse

SENTENCE_MARKS: Final = "，。？！,.?!~:：—…"  # a piece that ends with none of these is given one
DEFAULT_METHOD: Final = "cut5"
MAX_CHARS: Final = 510  # RoBERTa's limit

_MIN_OPENING_CHARS = 4
_MIN_PIECE_CHARS = 5
_SENTENCES_PER_PIECE = 4  # cut1
_CHARS_PER_PIECE = 50  # cut2
_MARK = f"[{re.escape(SENTENCE_MARKS)}]"
_SENTENCE = re.compile(rf"[^{re.escape(SENTENCE_MARKS)}]*{_MARK}")
_DOT_OUTSIDE_NUMBERS = re.compile(r"(?<!\d)\.(?!\d)")
_CLAUSE = re.compile(r"(?:[^,.;?!、，。？！：…]|(?<=\d)\.(?=\d))*(?:[,.;?!、，。？！：…]|$)")
_MARKS_ONLY = re.compile(r"[!?…,. -]*")
_CLAUSE_MARKS_ONLY = re.compile(r"[,.;?!、，。？！：…]*")


def cut(text: str, method: str = DEFAULT_METHOD, language: str = "zh") -> list[str]:
    """Pieces of at most `MAX_CHARS` characters, in order. None where nothing can be spoken.

    `language` decides between a full stop and an ideographic one. Raises KeyError for an unknown method.
    """
    cut_lines = METHODS[method]
    stop = "." if language == "en" else "。"
    text = collapse(text).strip("\n")
    if not text:
        return []
    opening = re.split(_MARK, text, maxsplit=1)[0].strip()
    if text[0] not in SENTENCE_MARKS and len(opening) < _MIN_OPENING_CHARS:
        text = stop + text
    pieces: list[str] = []
    for line in _join_short(line for line in cut_lines(text) if line.strip(" \n")):
        if re.search(r"\w", line):
            line = line if line[-1] in SENTENCE_MARKS else line + stop
            pieces += _within_limit(line)
    return pieces


def _uncut(text: str) -> list[str]:
    return text.split("\n")


def _every_four_sentences(text: str) -> list[str]:
    sentences = _sentences(text)
    if len(sentences) <= _SENTENCES_PER_PIECE:
        return text.split("\n")
    # The last group, whole or not, stays with the one before.
    starts = range(0, len(sentences), _SENTENCES_PER_PIECE)
    bounds = [*starts[:-1], len(sentences)]
    return _lines(("".join(sentences[a:b]) for a, b in pairwise(bounds)), _MARKS_ONLY)


def _over_fifty_characters(text: str) -> list[str]:
    sentences = _sentences(text)
    if len(sentences) < 2:
        return text.split("\n")
    pieces = [""]
    for sentence in sentences:
        if len(pieces[-1]) > _CHARS_PER_PIECE:
            pieces.append("")
        pieces[-1] += sentence
    if len(pieces) > 1 and len(pieces[-1]) < _CHARS_PER_PIECE:
        pieces[-2:] = ["".join(pieces[-2:])]
    return _lines(pieces, _MARKS_ONLY)


def _at_ideographic_stops(text: str) -> list[str]:
    return _lines(text.strip("。").split("。"), _MARKS_ONLY)


def _at_full_stops(text: str) -> list[str]:
    return _lines(_DOT_OUTSIDE_NUMBERS.split(text.strip(".")), _MARKS_ONLY)


def _at_every_mark(text: str) -> list[str]:
    return _lines(_CLAUSE.findall(text), _CLAUSE_MARKS_ONLY)


METHODS: Final[dict[str, Callable[[str], list[str]]]] = {
    "cut0": _uncut,
    "cut1": _every_four_sentences,
    "cut2": _over_fifty_characters,
    "cut3": _at_ideographic_stops,
    "cut4": _at_full_stops,
    "cut5": _at_every_mark,
}


def _sentences(text: str) -> list[str]:
    text = text.replace("……", "。").replace("——", "，")
    return _SENTENCE.findall(text if text[-1] in SENTENCE_MARKS else text + "。")


def _lines(pieces: Iterable[str], silent: re.Pattern[str]) -> list[str]:
    """Lines of the pieces that say something."""
    return [line for piece in pieces if not silent.fullmatch(piece) for line in piece.split("\n")]


def _join_short(lines: Iterable[str]) -> list[str]:
    """Joins neighbours until they have five characters; what is left over goes with the last."""
    joined: list[str] = []
    short = ""
    for line in lines:
        short += line
        if len(short) >= _MIN_PIECE_CHARS:
            joined.append(short)
            short = ""
    if short and joined:
        joined[-1] += short
    elif short:
        joined.append(short)
    return joined


def _within_limit(line: str) -> Iterator[str]:
    """The line, or parts of it that end at a mark where there is one."""
    while len(line) > MAX_CHARS:
        last_mark = max((line.rfind(mark, 0, MAX_CHARS) for mark in SENTENCE_MARKS), default=-1)
        stop = last_mark + 1 or MAX_CHARS
        yield line[:stop]
        line = line[stop:]
    if line:
        yield line
