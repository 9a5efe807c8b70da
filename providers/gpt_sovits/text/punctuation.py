"""Marks that several languages write in their own way, and what the symbol tables call them."""

from __future__ import annotations

import re

from providers.gpt_sovits.text.symbols import PUNCTUATION

MARKS = {
    "：": ",",
    "；": ",",
    "，": ",",
    "。": ".",
    "！": "!",
    "？": "?",
    "\n": ".",
    "·": ",",
    "、": ",",
}
_IN_A_ROW = re.compile(rf"([{re.escape(''.join(PUNCTUATION))}])[{re.escape(''.join(PUNCTUATION))}]+")


def collapse(text: str) -> str:
    """Of marks in a row, the first."""
    return _IN_A_ROW.sub(r"\1", text)
