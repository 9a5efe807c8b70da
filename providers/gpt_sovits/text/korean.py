"""Korean: letters as pronounced, by ko-speech-tools (the maintained continuation of g2pk2) and mecab-ko.

A syllable is written as its letters, compound vowels as two. A space is `空`, and what the table lacks `停`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from num2words import num2words

from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.punctuation import MARKS
from providers.gpt_sovits.text.symbols import SymbolTable

_SPACE = "空"
_PAUSE = "停"
_LETTER_NAMES = {
    letter: name
    for names in (
        "a에이 b비 c시 d디 e이 f에프 g지 h에이치 i아이 j제이 k케이 l엘 m엠",
        "n엔 o오 p피 q큐 r아르 s에스 t티 u유 v브이 w더블유 x엑스 y와이 z제트",
    )
    for letter, name in ((entry[0], entry[1:]) for entry in names.split())
}
_VOWELS = str.maketrans(
    {
        "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ",
        "ㅑ": "ㅣㅏ", "ㅒ": "ㅣㅐ", "ㅕ": "ㅣㅓ", "ㅖ": "ㅣㅔ", "ㅛ": "ㅣㅗ", "ㅠ": "ㅣㅜ",
    }
)  # fmt: skip
# The rules of pronunciation leave a ㄹ that follows 을 or 를 as it is written; spoken, it is ㄴ.
_RIEUL_AFTER_OBJECT = re.compile(r"(?<=[ㅇㄹ]ㅡㄹ )ㄹ")
_LAST_LETTER = re.compile(r"[\u3131-\u3163]$")

_CURRENCIES = {"$": "달러", "£": "파운드", "€": "유로", "¥": "엔", "₩": "원"}
_AMOUNT = re.compile(rf"([{''.join(_CURRENCIES)}])\s?(\d[\d,]*(?:\.\d+)?)")
_UNITS = ((re.compile(r"(?<=\d)\s?[%％]"), "퍼센트"), (re.compile(r"(?<=\d)\s?(?:°C|℃)"), "도"))
_TIME = re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d)(?![\d:])")
_DECIMAL_OR_GROUPED = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+|\d+(?=\.\d))(?:\.\d+)?(?![\d.,]*\d)")


class Pronouncer(Protocol):
    def __call__(self, string: str) -> str: ...


def phones(text: str, symbols: SymbolTable) -> Phones:
    letters = _letters(_pronouncer()(_spoken(text)))
    letters = _RIEUL_AFTER_OBJECT.sub("ㄴ", letters)
    letters = _LAST_LETTER.sub(r"\g<0>.", letters)
    return Phones(text, tuple(_phone(letter, symbols) for letter in letters))


def _spoken(text: str) -> str:
    """What the pronouncer passes over: signs, decimals, numbers in groups, Latin letters.

    Other numbers are its own: which numerals they take depends on the word after them.
    """
    text = _AMOUNT.sub(lambda match: match[2] + _CURRENCIES[match[1]], text)
    for pattern, words in _UNITS:
        text = pattern.sub(words, text)
    text = _TIME.sub(lambda match: f"{match[1]}시" + (f" {int(match[2])}분" if int(match[2]) else ""), text)
    text = _DECIMAL_OR_GROUPED.sub(_number, text)
    return "".join(_LETTER_NAMES.get(char.lower(), char) for char in text)


def _number(match: re.Match[str]) -> str:
    whole, _, fraction = match[0].replace(",", "").partition(".")
    words = str(num2words(int(whole), lang="ko")).replace(" ", "")
    return words + (
        "점" + "".join("영일이삼사오육칠팔구"[int(digit)] for digit in fraction) if fraction else ""
    )


def _letters(syllables: str) -> str:
    from ko_speech_tools.jamo import h2j, j2hcj

    return str(j2hcj(h2j(syllables))).translate(_VOWELS)


def _phone(letter: str, symbols: SymbolTable) -> str:
    phone = _SPACE if letter == " " else MARKS.get(letter, letter)
    return phone if phone in symbols else _PAUSE


@lru_cache(maxsize=1)
def _pronouncer() -> Pronouncer:
    # Opens a dictionary and reads the rules: a third of a second.
    from ko_speech_tools import G2p

    pronouncer: Pronouncer = G2p()
    return pronouncer
