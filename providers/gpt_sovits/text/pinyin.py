"""Readings of Chinese characters, and the phones of a reading.

A reading is a syllable of Hanyu Pinyin with its tone as a digit, ü as v: `zhong1`, `lv4`, `me5`. Every
character has one; a mark is its own reading.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# Where pypinyin's phrases are wrong, or lack a word that its characters mislead about.
_WORDS = {
    "朝鲜": "chao2 xian3",
    "圈养": "juan4 yang3",
    "嘚瑟": "de4 se5",
    "撒切尔": "sa4 qie4 er3",
    "幸免于难": "xing4 mian3 yu2 nan4",
    "解法": "jie3 fa3",
}
_ZERO_INITIALS = {"a": "AA", "e": "EE", "o": "OO"}
_AFTER_Y = {"an": "En", "e": "E", "u": "v", "uan": "van", "ue": "ve", "un": "vn"}
_AFTER_PALATAL = {"u": "v", "uan": "van", "ue": "ve", "un": "vn"}
# The vowel of zhi, chi, shi, ri and that of zi, ci, si.
_APICAL_VOWELS = {"zh": "ir", "ch": "ir", "sh": "ir", "r": "ir", "z": "i0", "c": "i0", "s": "i0"}
# Interjections without a vowel, and 哟, which the models were trained to hear so.
_RESPELLED = {"n": "en", "ng": "en", "m": "mu", "hm": "hen", "hng": "heng", "ê": "ei", "yo": "o"}
_READING = re.compile(r"[a-zê]+[1-5]")
_SYLLABLE = re.compile(r"([bpmfdtnlgkhjqxryw]|[zcs]h?)?(.+)")


def phones_of(reading: str) -> tuple[str, str]:
    """Initial and final: `zhong1` → zh ong1, `ai4` → AA ai4, `yuan2` → y van2, `si4` → s i04."""
    syllable, tone = reading[:-1], reading[-1]
    match = _SYLLABLE.fullmatch(_RESPELLED.get(syllable, syllable))
    if not match:
        raise ValueError(f"expected a syllable of pinyin and its tone, found {reading!r}")
    initial, final = match.groups()
    if initial is None:
        return _ZERO_INITIALS.get(final[0], "EE"), final + tone
    if initial == "y":
        final = _AFTER_Y.get(final, final)
    elif initial in ("j", "q", "x"):
        final = _AFTER_PALATAL.get(final, final)
    elif final == "i":
        final = _APICAL_VOWELS.get(initial, final)
    return initial, final + tone


def is_reading(reading: str) -> bool:
    """Whether it is a syllable, not a mark or a character without one."""
    return _READING.fullmatch(reading) is not None


def readings_in_context(text: str) -> list[str]:
    """One for each character, by the phrases that pypinyin knows."""
    lazy_pinyin, tone3 = _library()
    readings: list[str] = lazy_pinyin(text, style=tone3, neutral_tone_with_five=True, errors=list)
    return readings


def word_readings(word: str) -> list[str]:
    """One for each character of one word."""
    return _WORDS[word].split() if word in _WORDS else readings_in_context(word)


def phrase_readings(word: str) -> list[str] | None:
    """Of a word that the dictionary has as such; None for any other."""
    known = word in _WORDS or (len(word) > 1 and word in _phrases())
    return word_readings(word) if known else None


@cache
def _library() -> tuple[Any, Any]:
    # The phrase dictionary takes a quarter of a second to import.
    from pypinyin import Style, lazy_pinyin

    return lazy_pinyin, Style.TONE3


@cache
def _phrases() -> Any:
    from pypinyin.constants import PHRASES_DICT

    return PHRASES_DICT
