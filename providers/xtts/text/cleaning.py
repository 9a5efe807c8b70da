"""What is taken out of a text before anything else: marks that no voice can say.

Modest on purpose: emoji, control and invisible characters, Markdown's marks. Words are never touched.
"""

from __future__ import annotations

import re
import unicodedata

from providers.xtts.text.symbols import SPOKEN_SYMBOLS

# Presentation forms of ordinary letters, digits and punctuation: ligatures, full width, Arabic glyph shapes,
# fractions, enclosed and squared characters. NFKC gives the ordinary ones.
_PRESENTATION_FORMS = re.compile(
    r"[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2103\u2109\u2122\u2150-\u218b\u2460-\u24ff\u3200-\u33ff"
    r"\ufb00-\ufb4f\ufb50-\ufdff\ufe70-\ufefc\uff01-\uffee]"
)
_MARKDOWN = (
    (re.compile(r"!?\[([^\[\]\n]*)\]\((?:[^()\n]|\([^()\n]*\))*\)"), r"\1"),  # a link: its text
    (re.compile(r"(?m)^[^\S\n]{0,3}(?:#{1,6}|>|[-*+•])[^\S\n]+"), ""),  # headings, quotes, bullets
    (re.compile(r"`+|~~+|\*\*+|(?<!\w)[*_]+|[*_]+(?!\w)"), ""),  # emphasis, code
    (re.compile(r"\*"), " "),  # between words: no emphasis, and no sign that is spoken
)
_CURRENCIES = "Sc"
_DROPPED = ("So", "Sk", "Sm", "Cc", "Cf", "Cn", "Co", "Cs")
_KEPT = frozenset(SPOKEN_SYMBOLS + "°−\n\t")

# The vocabulary has no square brackets but in special tokens, and those a text must not be able to write.
_BRACKETS = {"[": "(", "]": ")"}


def clean(text: str) -> str:
    """Composed (NFC) text in ordinary characters; digits of any script are ASCII."""
    text = _PRESENTATION_FORMS.sub(_ordinary, text)
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return text.translate(_CHARACTERS)


def _ordinary(match: re.Match[str]) -> str:
    characters = unicodedata.normalize("NFKC", match[0])
    if "\u2044" in characters:  # ½ is 1/2, and 1½ is 1 1/2
        return f" {characters} ".replace("\u2044", "/")
    return characters


def is_speakable(text: str) -> bool:
    """Has at least one letter or digit."""
    return any(char.isalnum() for char in text)


class _Characters(dict[int, str]):
    """Code point → what takes its place, worked out when first seen."""

    def __missing__(self, code: int) -> str:
        self[code] = replacement = _replacement(chr(code))
        return replacement


def _replacement(char: str) -> str:
    category = unicodedata.category(char)
    if char in _BRACKETS:
        return _BRACKETS[char]
    if char in _KEPT or category == _CURRENCIES:
        return char
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category in ("Zl", "Zp"):
        return "\n"
    if category == "Mn" and "\ufe00" <= char <= "\ufe0f":  # variation selectors
        return ""
    if category in _DROPPED:
        # Joiners stand inside a word; anything else stood between words.
        return "" if category == "Cf" else " "
    return char


_CHARACTERS = _Characters()
