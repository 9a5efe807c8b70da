"""Text → what the tokenizer is given: lower case, everything in words, in the script that XTTS reads.

The order is the published one: quotes, numbers, abbreviations, symbols, spaces, then transliteration.
"""

from __future__ import annotations

from providers.xtts.text import chinese, japanese, korean
from providers.xtts.text.abbreviations import expand_abbreviations
from providers.xtts.text.numbers import expand_numbers
from providers.xtts.text.symbols import expand_symbols

_OWN_WORDS = {"zh-cn": chinese.spoken, "ja": japanese.spoken}
_TRANSLITERATIONS = {"zh-cn": chinese.to_pinyin, "ja": japanese.to_romaji, "ko": korean.romanise}


def spoken(text: str, language: str) -> str:
    """Everything in words, still in the language's own script."""
    text = text.strip().replace('"', "")
    if language in _OWN_WORDS:
        return _OWN_WORDS[language](text)
    if language == "tr":  # Python's lower() knows no dotless i
        text = text.replace("I", "ı")
    text = expand_numbers(text, language)
    text = expand_abbreviations(text, language)
    return expand_symbols(text, language)


def transliterate(words: str, language: str) -> str:
    """Pinyin, romaji and romanised Korean; every other language is read in its own script."""
    return _TRANSLITERATIONS[language](words) if language in _TRANSLITERATIONS else words
