"""Czech ordinals: adjectives in the masculine nominative, with the genitive that dates need."""

from __future__ import annotations

_ONES = "nultý první druhý třetí čtvrtý pátý šestý sedmý osmý devátý".split()
_TEENS = (
    "desátý jedenáctý dvanáctý třináctý čtrnáctý patnáctý šestnáctý sedmnáctý osmnáctý devatenáctý".split()
)
_TENS = "dvacátý třicátý čtyřicátý padesátý šedesátý sedmdesátý osmdesátý devadesátý".split()
_HUNDREDS = "stý dvoustý třístý čtyřstý pětistý šestistý sedmistý osmistý devítistý".split()
_THOUSANDS = (
    "tisící dvoutisící třítisící čtyřtisící pětitisící šestitisící sedmitisící osmitisící devítitisící"
).split()


def ordinal(number: int) -> str:
    """0 to 9,999. Every part is an adjective: 1,234. is `tisící dvoustý třicátý čtvrtý`."""
    thousands, rest = divmod(number, 1_000)
    hundreds, rest = divmod(rest, 100)
    words = []
    if thousands:
        words.append(_THOUSANDS[thousands - 1])
    if hundreds:
        words.append(_HUNDREDS[hundreds - 1])
    if rest >= 20:
        tens, rest = divmod(rest, 10)
        words.append(_TENS[tens - 2])
    elif rest >= 10:
        words.append(_TEENS[rest - 10])
        rest = 0
    if rest or not words:
        words.append(_ONES[rest])
    return " ".join(words)


def genitive(ordinal_words: str) -> str:
    """`třetí` → `třetího`, `dvacátý první` → `dvacátého prvního`."""
    return " ".join(
        word + "ho" if word.endswith("í") else word.removesuffix("ý") + "ého"
        for word in ordinal_words.split()
    )


def wholes(number: int) -> str:
    """What stands for the decimal point: `dvě celé pět`, `dvanáct celých pět`."""
    return "celá" if number in (0, 1) else "celé" if 2 <= number <= 4 else "celých"
