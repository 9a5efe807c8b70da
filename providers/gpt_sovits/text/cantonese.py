"""Cantonese: characters → Jyutping (ToJyutping) → an initial and a final with its tone, two phones each.

Phones begin with Y, so that they aren't Mandarin's. A syllable without a consonant is given its vowel as its
initial. Text is written in simplified characters first, because the models were trained behind that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from providers.gpt_sovits.text.chinese_normalization import normalise
from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.symbols import PUNCTUATION, UNKNOWN, SymbolTable

_SYLLABLE = re.compile(
    r"(?P<initial>gw|kw|ng|[bpmfdtnlgkhwzcsj]|aa|a[iuptk]|a|e|o(?:ng|[nuik])|o|uk|ung)(?P<final>[a-z]*)(?P<tone>[1-6])"
)


def phones(text: str, symbols: SymbolTable) -> Phones:
    """Phones of a text in Cantonese. The v1 table has none of them: every one is `UNK` there."""
    normalised = normalise(text)
    spoken = [_phones_of(char, jyutping) for char, jyutping in _converter()(normalised)]
    return Phones(
        normalised,
        symbols.known(name for names in spoken for name in names),
        tuple(len(names) for names in spoken),
    )


def _phones_of(char: str, jyutping: str | None) -> list[str]:
    if char in PUNCTUATION:
        return [char]
    syllables = (jyutping or "").split()
    return [name for syllable in syllables for name in _syllable(syllable)] or [UNKNOWN, UNKNOWN]


def _syllable(syllable: str) -> Iterator[str]:
    """`hou2` → Yh You2, `ngo5` → Yng Yo5, `aa3` → Yaa Ya3, `m4` → Ym Ym4."""
    match = _SYLLABLE.fullmatch(syllable)
    if not match:
        yield from (UNKNOWN, UNKNOWN)
        return
    initial = match["initial"]
    yield f"Y{initial}"
    yield f"Y{match['final'] or initial[-1]}{match['tone']}"


@cache
def _converter() -> Callable[[str], list[tuple[str, str | None]]]:
    # Its dictionary is read when it's imported.
    from ToJyutping import get_jyutping_list

    convert: Callable[[str], list[tuple[str, str | None]]] = get_jyutping_list
    return convert
