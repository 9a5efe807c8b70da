"""Long text → pieces that the model can say in one utterance.

Sentence ends come from sentencex (Wikimedia, MIT), compiled and without dependencies, because it knows the
abbreviations of all our languages; pysbd lacks five of them and took a thousand times as long on the same
text, and spaCy is a framework where one function is wanted.
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
_BLOCK_CHARS = 1_000
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
    for sentence in _segment(text, primary):
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


def _segment(text: str, primary: str) -> Iterator[str]:
    """Block by block, because sentencex takes quadratic time where no spaces stand between sentences.

    The last sentence of a block is read again with the next one, so that no end of a block ends a sentence.
    """
    start, stop = 0, _BLOCK_CHARS
    while stop < len(text):
        *whole, last = segment(primary, text[start:stop])
        yield from whole or [last]
        start = stop - len(last) if whole else stop
        stop = start + _BLOCK_CHARS
    yield from segment(primary, text[start:])


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
