"""A guess at how an English word sounds that no dictionary has: by analogy with the dictionary's own words.

The longest stretches that the word shares with dictionary words vote, letter by letter, for the phones that
the letters have there (after Dedina and Nusbaum, 1991, "PRONOUNCE: a program for pronunciation by analogy");
of the best votes, the path with one primary stress is taken. Of words held out of the dictionary 60 % come
out exactly, stress included; most are names. The published front end has a small recurrent network here; the
package with its weights needs one that is GPL and has no wheel, and downloads when it is imported.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from providers.gpt_sovits.text import english_dictionary
from providers.gpt_sovits.text.english_dictionary import Pronunciation

Reading = tuple[str, ...]  # of one letter: none, one or two phones
Votes = Counter[Reading]

_EDGE = "#"  # around every word
_MIN_STRETCH = 2
_MAX_EXAMPLES = 20  # words that vote for a stretch
# A letter with this many more letters of context on either side counts three times as much; beyond four
# letters a side nothing changes.
_CONTEXT_WEIGHT = 3.0
_MAX_CONTEXT = 4
_EDGE_CONTEXT = 2  # a word's end tells as much as two letters
_READINGS_TRIED = 5
_UNSEEN = -12.0  # log probability of a reading that the table lacks


@lru_cache(maxsize=4096)
def guess(word: str) -> Pronunciation:
    """`word` is in letters a to z only. Takes some 15 ms."""
    return by_analogy(word, _dictionary_words())


@lru_cache(maxsize=1)
def _dictionary_words() -> Words:
    return Words(english_dictionary.words(), lambda word: english_dictionary.pronunciations(word)[0])


def by_analogy(word: str, known: Words) -> Pronunciation:
    spelled = f"{_EDGE}{word}{_EDGE}"
    votes = [Counter[Reading]() for _ in spelled]
    for start, stop in _shared_stretches(spelled, known):
        _vote(votes, spelled, start, stop, known)
    return _with_one_primary_stress(word, votes[1:-1])


class Words:
    """A dictionary's words by the letters that they share with others."""

    def __init__(self, words: Iterable[str], pronunciation: Callable[[str], Pronunciation]) -> None:
        self._words = sorted(word for word in words if re.fullmatch("[a-z]{2,}", word))
        self._pronunciation = pronunciation
        self._text = "".join(f"{_EDGE}{word}{_EDGE}\n" for word in self._words)
        self._starts: list[int] = []
        start = 0
        for word in self._words:
            self._starts.append(start)
            start += len(f"{_EDGE}{word}{_EDGE}\n")

    def have(self, stretch: str) -> bool:
        return stretch in self._text

    def examples(self, stretch: str) -> Iterator[Sequence[Reading]]:
        """The readings of a stretch's letters in up to `_MAX_EXAMPLES` words; none of an edge."""
        position = self._text.find(stretch)
        for _ in range(_MAX_EXAMPLES):
            if position < 0:
                return
            index = bisect_right(self._starts, position) - 1
            word = self._words[index]
            if (readings := _align(word, self._pronunciation(word))) is not None:
                first = position - self._starts[index]
                yield ((), *readings, ())[first : first + len(stretch)]
            position = self._text.find(stretch, position + 1)


def _shared_stretches(spelled: str, known: Words) -> Iterator[tuple[int, int]]:
    """The longest from each letter on, those within others left out, and each without its first or last."""
    reached = 0
    for start in range(len(spelled) - 1):
        stop = max(start + _MIN_STRETCH, reached)
        if not known.have(spelled[start:stop]):
            continue
        while stop < len(spelled) and known.have(spelled[start : stop + 1]):
            stop += 1
        if stop <= reached:
            continue
        reached = stop
        inner = ((start, stop), (start + 1, stop), (start, stop - 1), (start + 1, stop - 1))
        yield from ((a, b) for a, b in inner if b - a >= _MIN_STRETCH)


def _vote(votes: Sequence[Votes], spelled: str, start: int, stop: int, known: Words) -> None:
    stretch = spelled[start:stop]
    examples = list(known.examples(stretch))
    for offset in range(len(stretch)):
        left = offset + _EDGE_CONTEXT * stretch.startswith(_EDGE)
        right = len(stretch) - 1 - offset + _EDGE_CONTEXT * stretch.endswith(_EDGE)
        context = min(left, _MAX_CONTEXT) + min(right, _MAX_CONTEXT) + min(left, right) / 2
        for readings in examples:
            votes[start + offset][readings[offset]] += _CONTEXT_WEIGHT**context / len(examples)


@dataclass(frozen=True, slots=True)
class _Path:
    score: float = 0.0
    phones: Pronunciation = ()


def _with_one_primary_stress(word: str, votes: Sequence[Votes]) -> Pronunciation:
    """The likeliest readings under which at most one vowel is stressed, with one if that can be."""
    paths = {0: _Path()}  # by the number of primary stresses
    for letter, ballot in zip(word, votes, strict=True):
        ballot = ballot or Counter(dict(_letters()[letter]))
        total = sum(ballot.values())
        longer: dict[int, _Path] = {}
        for stresses, path in paths.items():
            for reading, count in ballot.most_common(_READINGS_TRIED):
                now = stresses + sum(phone.endswith("1") for phone in reading)
                score = path.score + math.log(count / total)
                if now <= 1 and (now not in longer or longer[now].score < score):
                    longer[now] = _Path(score, path.phones + reading)
        paths = longer or paths
    return paths.get(1, paths.get(0, _Path())).phones


@lru_cache(maxsize=8192)
def _align(word: str, phones: Pronunciation) -> tuple[Reading, ...] | None:
    """Each letter's phones, none to two of them, likeliest overall; None where there are too many phones."""
    log_probabilities = _log_probabilities()
    # Number of phones used so far → score, readings.
    best: dict[int, tuple[float, tuple[Reading, ...]]] = {0: (0.0, ())}
    for done, letter in enumerate(word, start=1):
        fewest = len(phones) - 2 * (len(word) - done)
        longer: dict[int, tuple[float, tuple[Reading, ...]]] = {}
        for used, (score, readings) in best.items():
            for stop in range(max(used, fewest), min(used + 2, len(phones)) + 1):
                reading = phones[used:stop]
                total = score + log_probabilities[letter].get(reading, _UNSEEN - 2 * len(reading))
                if stop not in longer or longer[stop][0] < total:
                    longer[stop] = (total, (*readings, reading))
        best = longer
    return best[len(phones)][1] if len(phones) in best else None


@lru_cache(maxsize=1)
def _log_probabilities() -> dict[str, dict[Reading, float]]:
    return {
        letter: {reading: math.log(count / sum(counts.values())) for reading, count in counts.items()}
        for letter, counts in _letters().items()
    }


@lru_cache(maxsize=1)
def _letters() -> dict[str, Votes]:
    """How often each letter has which reading."""
    letters: dict[str, Votes] = {}
    for line in files(__package__).joinpath("english_letters.txt").read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        letter, *readings = line.split()
        counts = (reading.partition(":") for reading in readings)
        letters[letter] = Counter(
            {tuple(phones.split("+")) if phones else (): int(count) for count, _, phones in counts}
        )
    return letters
