"""What the voices are made to say for training: modern and varied, because letter-to-sound is learnt from it.

Four sources, mixed: the examples and the definitions of WordNet (Debian's wordnet-base, permissive licence),
templates of everyday sentences filled with its words (by how often they occur in WordNet's tagged corpus) and
with names, dates and numbers, and plain words in a row, so that rare spellings occur too (Debian's
wamerican-large). Everything goes through the normalisation that serving applies, so flite and the model are
told the same text. The held-out sentences are never among them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from providers.xtts.text.cleaning import clean
from providers.xtts.text.normalization import spoken, transliterate

HERE = Path(__file__).parent
WORDNET = Path("/usr/share/wordnet")
WORD_LIST = Path("/usr/share/dict/american-english-large")
PACKAGES = "wordnet-base wamerican-large"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz'.,?!;:-"
SPEAKABLE = re.compile(rf"[ {re.escape(CHARACTERS)}]+")
MIN_CHARS, MAX_CHARS = (
    3,
    300,
)  # serving speaks up to 250 characters at once, before numbers are put into words
JOINED = 0.12  # of the texts are several sentences, as requests are
COMMON_WORDS = {"noun": 6000, "verb": 2500, "adjective": 3000, "adverb": 700}
PARTS = {"1": "noun", "2": "verb", "3": "adjective", "5": "adjective", "4": "adverb"}  # of a sense key


class MissingText(RuntimeError):
    """A Debian package with the text to train on isn't installed."""


def normalise(text: str) -> str:
    """As serving does for English."""
    return transliterate(spoken(clean(text), "en"), "en")


def held_out() -> list[str]:
    """Sentences to judge by; the first 60 have no digits."""
    return (HERE / "held_out.txt").read_text().split("\n")[:-1]


def sentences(seed: int) -> Iterator[str]:
    """Endless, all different, normalised."""
    rng = random.Random(seed)
    source = _Sources(rng)
    seen = {normalise(text) for text in held_out()}
    while True:
        text = source.sentence()
        if rng.random() < JOINED:
            for _ in range(rng.randint(1, 4)):
                text = _joined(text, source.sentence()) if len(text) < 170 else text
        text = normalise(text)
        if MIN_CHARS <= len(text) <= MAX_CHARS and SPEAKABLE.fullmatch(text) and text not in seen:
            seen.add(text)
            yield text


def _joined(first: str, second: str) -> str:
    return f"{first}{'' if first[-1] in '.?!' else '.'} {second}"


class _Sources:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._examples, self._definitions = _wordnet_glosses()
        self._templates = (HERE / "templates.txt").read_text().splitlines()
        self._words = _words_by_part()
        self._common = [word for words, _ in self._words.values() for word in words]
        listed = _read(WORD_LIST).splitlines()
        self._listed = [word for word in listed if re.fullmatch(r"[a-z]+('s)?", word)]
        self._phrases = _phrases()

    def sentence(self) -> str:
        kinds = (self._example, self._definition, self._from_template, self._words_in_a_row)
        return self._rng.choices(kinds, weights=(40, 20, 30, 10))[0]()

    def _example(self) -> str:
        return self._ended(self._rng.choice(self._examples), 0.8)

    def _definition(self) -> str:
        return self._ended(self._rng.choice(self._definitions), 0.6)

    def _ended(self, text: str, share: float) -> str:
        ended = text[-1] in ".?!" or self._rng.random() > share
        return text if ended else text + "."

    def _words_in_a_row(self) -> str:
        rng = self._rng
        pool = self._common if rng.random() < 0.75 else self._listed
        text = " ".join(rng.choice(pool) for _ in range(rng.randint(3, 9)))
        if rng.random() < 0.5:
            text = text.replace(" ", ", ", rng.randint(0, 3))
        return text + rng.choice(["", ".", ".", "?", "!"])

    def _from_template(self) -> str:
        template = self._rng.choice(self._templates)
        text = re.sub(r"\{(\w+)\}", lambda slot: self._slot(slot[1]), template)
        return text[0].upper() + text[1:]

    def _slot(self, kind: str) -> str:
        rng = self._rng
        if kind in self._phrases:
            return rng.choice(self._phrases[kind])
        if kind in INFLECTED:
            part, inflect = INFLECTED[kind]
            words, weights = self._words[part]
            return inflect(rng.choices(words, weights)[0])
        if kind == "who":
            return rng.choice(self._phrases["people" if rng.random() < 0.7 else "name"])
        return NUMBERS[kind](rng)


def _plural(noun: str) -> str:
    if re.search(r"(s|x|ch|sh|z)$", noun):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


def _past(verb: str) -> str:
    return _irregular_verbs().get(verb, (_with_ed(verb), ""))[0]


def _participle(verb: str) -> str:
    return _irregular_verbs().get(verb, ("", _with_ed(verb)))[1]


def _with_ed(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if re.search(r"[^aeiou]y$", verb) else _doubled(verb) + "ed"


def _with_ing(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    silent_e = verb.endswith("e") and not verb.endswith("ee") and len(verb) > 2
    return (verb[:-1] if silent_e else _doubled(verb)) + "ing"


def _doubled(verb: str) -> str:
    return verb + verb[-1] if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", verb) else verb


INFLECTED: dict[str, tuple[str, Callable[[str], str]]] = {
    "n": ("noun", str),
    "ns": ("noun", _plural),
    "v": ("verb", str),
    "past": ("verb", _past),
    "part": ("verb", _participle),
    "ing": ("verb", _with_ing),
    "adj": ("adjective", str),
    "adv": ("adverb", str),
}


def _ordinal(rng: random.Random) -> str:
    number = rng.randint(1, 60)
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _money(rng: random.Random) -> str:
    return (
        str(rng.randint(1, 300)) if rng.random() < 0.5 else f"{rng.randint(1, 99)}.{rng.randint(1, 99):02d}"
    )


def _clock(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    return f"{hour} o'clock" if rng.random() < 0.5 else f"{hour}:{rng.randrange(10, 60, 5)}"


NUMBERS: dict[str, Callable[[random.Random], str]] = {
    "day": lambda rng: str(rng.randint(1, 31)),
    "year": lambda rng: str(rng.randint(1800, 2029)),
    "num": lambda rng: str(rng.randint(2, 20) if rng.random() < 0.5 else rng.randint(20, 999)),
    "big": lambda rng: f"{rng.randint(1000, 990_000):,}",
    "money": _money,
    "pct": lambda rng: str(rng.randint(1, 99)) if rng.random() < 0.7 else f"{rng.randint(10, 300) / 10}",
    "clock": _clock,
    "ord": _ordinal,
}


@cache
def _phrases() -> dict[str, list[str]]:
    """words.txt: sections of phrases, for the template slots of those names."""
    sections = re.split(r"\[(\w+)\]", (HERE / "words.txt").read_text())[1:]
    return {
        name: [" ".join(phrase.split()) for phrase in body.split(";")]
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }


@cache
def _irregular_verbs() -> dict[str, tuple[str, str]]:
    """Verb → past tense, participle."""
    rows = [phrase.split() for phrase in _phrases()["irregular"]]
    return {verb: (past, participle) for verb, past, participle in rows}


def _wordnet_glosses() -> tuple[list[str], list[str]]:
    """Examples and definitions of every synset."""
    examples, definitions = [], []
    for part in ("noun", "verb", "adj", "adv"):
        for line in _read(WORDNET / f"data.{part}").splitlines():
            if line.startswith("  "):  # the licence
                continue
            gloss = line.partition("|")[2]
            examples += [example.strip() for example in re.findall(r'"([^"]+)"', gloss) if example.strip()]
            for definition in re.sub(r'"[^"]*"|\([^)]*\)', "", gloss).split(";"):
                definition = " ".join(definition.split()).strip(" ,.-")
                if 12 < len(definition) < 110:
                    definitions.append(definition)
    return examples, definitions


def _words_by_part() -> dict[str, tuple[list[str], list[float]]]:
    """Part of speech → its common words, and how often to say each."""
    counts: dict[str, dict[str, int]] = {part: {} for part in COMMON_WORDS}
    for line in _read(WORDNET / "cntlist.rev").splitlines():
        sense, _, count = line.split()
        word, _, key = sense.partition("%")
        if re.fullmatch(r"[a-z]{2,}", word):
            of_part = counts[PARTS[key[0]]]
            of_part[word] = of_part.get(word, 0) + int(count)
    return {part: _most_common(words, COMMON_WORDS[part]) for part, words in counts.items()}


def _most_common(counts: dict[str, int], number: int) -> tuple[list[str], list[float]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]
    # Between their natural frequency and even: common words must be sure, rare ones must occur.
    return [word for word, _ in ranked], [count**0.45 for _, count in ranked]


def _read(path: Path) -> str:
    try:
        return path.read_text("latin-1" if path.parent == WORDNET else "utf-8")
    except FileNotFoundError as error:
        raise MissingText(f"found no {path}; expected Debian's {PACKAGES}. Install them.") from error
