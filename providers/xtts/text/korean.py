"""Korean: native numerals for ordinals, hours and counters, and the romanisation that XTTS reads."""

from __future__ import annotations

from ko_speech_tools import hangul_romanize
from num2words import num2words

_ONES = ["", *"하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉".split()]
_ONES_BEFORE_NOUN = ["", *"한 두 세 네 다섯 여섯 일곱 여덟 아홉".split()]
_TENS = ["", *"열 스물 서른 마흔 쉰 예순 일흔 여든 아흔".split()]


def before_noun(number: int) -> str:
    """1 to 99 as counters and hours take it: 세, 열두, 스무."""
    if number == 20:
        return "스무"
    tens, ones = divmod(number, 10)
    return _TENS[tens] + _ONES_BEFORE_NOUN[ones]


def ordinal(number: int) -> str:
    """첫 번째, 두 번째, …; what is above the last two digits stays Sino-Korean."""
    if number == 1:
        return "첫 번째"
    hundreds, rest = divmod(number, 100)
    words = [num2words(hundreds * 100, lang="ko")] if hundreds or not rest else []
    if rest:
        words.append(before_noun(rest))
    return " ".join((*words, "번째"))


def month(number: int) -> str:
    """June and October lose their final consonant: 유월, 시월."""
    return {6: "유", 10: "시"}.get(number) or str(num2words(number, lang="ko"))


def romanise(text: str) -> str:
    romanised: str = hangul_romanize(text)
    return romanised
