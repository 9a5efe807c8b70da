"""Long text → pieces that the model can say in one utterance.

Sentence ends come from sentencex (Wikimedia): rules and abbreviations for over 240 languages, all of ours
among them, compiled, without dependencies, in wheels on PyPI; pysbd rests since 2021 and is a hundred times
slower, and spaCy is a framework for a regular expression's work.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from sentencex import segment

# Where a sentence too long for one utterance may be parted: after a clause, with any closing quotes; marks of
# Chinese and Japanese need no space after them.
_CLAUSES = re.compile(r"(?<=[,;:،؛—–])[\"'”’»)\]]*\s+|(?<=[、，；：])[”’」』）]*\s*|\n+")
_WORDS = re.compile(r"[^\S\u00a0\u202f]+")  # a no-break space stays inside
_DOT_ORDINAL_END = re.compile(r"(?<![\d.,])\d{1,3}\.\s+$")


def split(text: str, primary: str, max_chars: int) -> list[str]:
    """Slices of `text` of at most `max_chars`, as full as sentences, else clauses, else words let them be.

    `primary` is a BCP-47 primary subtag. Nothing but space at the ends of a slice is lost.
    """
    if len(text.strip()) <= max_chars:
        return [text.strip()] if text.strip() else []
    return list(_pack(_units(text, primary, max_chars), max_chars))


def _pack(units: Iterable[str], max_chars: int) -> Iterator[str]:
    """Joins neighbours while they fit."""
    piece = ""
    for unit in units:
        if len((piece + unit).strip()) > max_chars:
            if piece.strip():
                yield piece.strip()
            piece = ""
        piece += unit
    if piece.strip():
        yield piece.strip()


def _units(text: str, primary: str, max_chars: int) -> Iterator[str]:
    """Sentences; of those that don't fit clauses; of those words; of those runs of characters."""
    for sentence in _sentences(text, primary):
        if len(sentence.strip()) <= max_chars:
            yield sentence
            continue
        for clause in _split_after(_CLAUSES, sentence):
            if len(clause.strip()) <= max_chars:
                yield clause
                continue
            for word in _split_after(_WORDS, clause):
                yield from [word] if len(word.strip()) <= max_chars else _runs(word, max_chars)


def _sentences(text: str, primary: str) -> Iterator[str]:
    """A number with a full stop before a small letter is an ordinal, not an end: `az 1. teszt`."""
    held = ""
    for sentence in segment(primary, text):
        if held and sentence[:1].islower():
            sentence = held + sentence
        elif held:
            yield held
        held = ""
        if _DOT_ORDINAL_END.search(sentence[-6:]):
            held = sentence
        else:
            yield sentence
    if held:
        yield held


def _split_after(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    start = 0
    for match in pattern.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def _runs(word: str, max_chars: int) -> Iterator[str]:
    """Cuts a word, or a clause of a script without spaces, not between a letter and its marks."""
    start = 0
    while len(word) - start > max_chars:
        end = start + max_chars
        while end > start + max_chars // 2 + 1 and unicodedata.category(word[end])[0] == "M":
            end -= 1
        yield word[start:end]
        start = end
    yield word[start:]
