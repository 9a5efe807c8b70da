"""How much of a text a recogniser understood, and where in what it wrote the text ends."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from server.evaluation.recognition.transcript import Transcript

# Written without spaces: characters are compared, and there is no word error.
UNSPACED = frozenset({"zh", "yue", "ja"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """Against the reference that what was heard is nearest to."""

    cer: float
    wer: float | None  # None: the language has no spaces
    tail_letters: float  # share of the heard letters that come after the text's end
    text_stop_s: float | None  # when the text's last word ended; None: unknown


def compare(references: Sequence[str], heard: Transcript, language: str) -> Comparison:
    """Raises ValueError where a reference has no letters."""
    return min((_compare(text, heard, language) for text in references), key=lambda found: found.cer)


def words_of(text: str, language: str) -> list[str]:
    """Without case, punctuation and what recognisers leave out; characters where there are no spaces."""
    lowered = text.replace("İ", "i").replace("I", "ı") if language == "tr" else text
    plain = unicodedata.normalize("NFKC", lowered).casefold()
    if language == "ar":  # vowel signs are hardly ever written
        plain = "".join(character for character in plain if unicodedata.category(character) != "Mn")
    # An apostrophe is within a word; a hyphen is between two.
    plain = re.sub(r"['’ʼ]", "", plain)
    kept = "".join(character if _is_spoken(character) else " " for character in plain)
    words = kept.split()
    return list("".join(words)) if language in UNSPACED else words


def num_letters(text: str, language: str) -> int:
    return sum(map(len, words_of(text, language)))


def _is_spoken(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _compare(text: str, heard: Transcript, language: str) -> Comparison:
    expected, found = words_of(text, language), words_of(heard.text, language)
    letters = "".join(expected)
    if not letters:
        raise ValueError(f"found the text {text!r}; expected letters")
    cer = Levenshtein.distance(letters, "".join(found)) / len(letters)
    wer = None if language in UNSPACED else Levenshtein.distance(expected, found) / len(expected)
    stop = _text_stop(expected, found)
    after = len("".join(found[stop:])) / max(1, len("".join(found)))
    return Comparison(cer, wer, after, _stop_time(heard, stop, language))


def _text_stop(expected: Sequence[str], found: Sequence[str]) -> int:
    """How many of the found words are the text, the rest being something else: the prefix that fits best.

    Of equally good ones the longest.
    """
    distances = [Levenshtein.distance(expected, found[:stop]) for stop in range(len(found) + 1)]
    best = min(distances)
    return max(stop for stop, distance in enumerate(distances) if distance == best)


def _stop_time(heard: Transcript, stop: int, language: str) -> float | None:
    """When the first `stop` words of `words_of` had been said."""
    if not heard.words or stop == 0:
        return None
    counted = 0
    for word in heard.words:
        counted += len(words_of(word.text, language))
        if counted >= stop:
            return word.stop_s
    return heard.words[-1].stop_s
