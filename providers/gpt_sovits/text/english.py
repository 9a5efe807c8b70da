"""English: ARPAbet phones, word by word.

Words come from CMUdict, which ko-speech-tools brings in its wheel; the published front end reads an older
release of it. Two things are kept as they were in training although they look like slips: semicolons, colons
and ellipses leave no pause, and an apostrophe on its own is a dash.
"""

from __future__ import annotations

import re
import unicodedata

from providers.gpt_sovits.text import english_numbers
from providers.gpt_sovits.text.english_dictionary import contains
from providers.gpt_sovits.text.english_homographs import is_homograph, pronunciation
from providers.gpt_sovits.text.english_words import word_phones
from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.symbols import SymbolTable

# Fewer phones than these are spoken too fast to be heard: a comma goes in front.
_MIN_PHONES = 4

_CHARACTERS = str.maketrans({"。": ".", "！": "!", "？": "?", "’": "'", "‘": "'", "＇": "'", "％": "%"})
_ABBREVIATIONS = (
    (re.compile(r"\b(i\.e\.|ie\.)", re.IGNORECASE), "that is"),
    (re.compile(r"\b(e\.g\.|eg\.)", re.IGNORECASE), "for example"),
    (re.compile(r"\b((?:[A-Z]\.){2,})"), None),  # U.S.: letters, without a stop after each
    (re.compile(r"(?<=\w)\.(?=(?:com|org|net|edu|gov|io|ai)\b)", re.IGNORECASE), " dot "),
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"(?<=\w)@(?=\w)"), " at "),
    (re.compile(r"(?<=\w)\+"), " plus"),
)
_BETWEEN_WORDS = re.compile(r"(?<=\w)[^\w\s'.,?!\-]+(?=\w)|_+")
_UNSPOKEN = re.compile(r"[^ A-Za-z'.,?!\-]")
# A long word in capitals, or three words in a row.
_SHOUTED = re.compile(r"\b[A-Z']+(?:[ ,]+[A-Z']+){2,}\b|\b[A-Z]{4,}\b")
_INNER_CAPITAL = re.compile(r"(?<=\S)([A-Z])")
# As published: a mark after a space goes too.
_MARKS_IN_A_ROW = re.compile(r"([!?…,.\-\s])[!?…,.\-]+")
_TOKEN = re.compile(r"[A-Za-z](?:[A-Za-z'\-]*[A-Za-z])?|\S")


def normalise(text: str) -> str:
    """Letters, apostrophes and marks. Capitals inside a word start a new one: OpenAI is `Open A I`."""
    text = text.translate(_CHARACTERS)
    for pattern, words in _ABBREVIATIONS:
        text = pattern.sub(words if words is not None else _initials, text)
    text = english_numbers.spoken(text)
    decomposed = unicodedata.normalize("NFD", re.sub(r"\s+", " ", text))
    text = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
    text = _UNSPOKEN.sub("", _BETWEEN_WORDS.sub(" ", text))
    text = _SHOUTED.sub(_read_or_spell, text)
    return _MARKS_IN_A_ROW.sub(r"\1", _INNER_CAPITAL.sub(r" \1", text))


def phones(text: str, symbols: SymbolTable) -> Phones:
    text = normalise(text)
    tokens = _TOKEN.findall(text)
    words = [token.lower() for token in tokens]
    names = [phone for index in range(len(tokens)) for phone in _token_phones(tokens, words, index)]
    if len(names) < _MIN_PHONES:
        names.insert(0, ",")
    return Phones(text, symbols.known(names))


def _token_phones(tokens: list[str], words: list[str], index: int) -> tuple[str, ...]:
    word = words[index]
    if not word[0].isalpha():
        return ("-" if word == "'" else word,)
    if tokens[index] == "A":  # the letter, and at the start of a sentence the article too, as in training
        return ("EY1",)
    if is_homograph(word):
        return pronunciation(words, index)
    return word_phones(word)


def _initials(match: re.Match[str]) -> str:
    return match[1].replace(".", " ").strip()


def _read_or_spell(match: re.Match[str]) -> str:
    """Capitals are read where they are words: NASA, STOP, THIS IS IT. Others are spelled letter by letter."""
    words = re.findall(r"[A-Z']+", match[0])
    if any(len(word) > 2 for word in words) and all(contains(word.lower()) for word in words):
        return match[0].lower()
    return re.sub(r"\b[A-Z]{4,}\b", lambda long: _lower_if_known(long[0]), match[0])


def _lower_if_known(word: str) -> str:
    return word.lower() if contains(word.lower()) else word
