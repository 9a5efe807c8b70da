"""Chinese text in simplified characters and the marks of the symbol tables, with nothing else in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from providers.gpt_sovits.text.chinese_numbers import spoken
from providers.gpt_sovits.text.punctuation import MARKS, collapse
from providers.gpt_sovits.text.symbols import PUNCTUATION

# Full width to ordinary: letters and digits only, because marks say more in full width.
_ORDINARY = {
    full: full - 0xFEE0 for full in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))
}
_BRACKETS = str.maketrans("", "", " \t\u3000—《》【】<>{}()（）#&@“”_|\\")
_GREEK = """
α阿尔法 β贝塔 γ伽玛 δ德尔塔 ε艾普西龙 ζ捷塔 η依塔 θ西塔 ι艾欧塔 κ喀帕 λ拉姆达 μ缪
ν拗 ξ克西 ο欧米克伦 π派 ρ肉 σ西格玛 ς西格玛 τ套 υ宇普西龙 φ服艾 χ器 ψ普赛 ω欧米伽
Γ伽玛 Δ德尔塔 Θ西塔 Λ拉姆达 Ξ克西 Π派 Σ西格玛 Φ服艾 Ψ普赛 Ω欧米伽
"""
_SIGNS = str.maketrans(
    {name[0]: name[1:] for name in _GREEK.split()}
    | dict(zip("①②③④⑤⑥⑦⑧⑨⑩〇", "一二三四五六七八九十零", strict=True))
    | {"+": "加", "×": "乘", "÷": "除", "=": "等", "~": "…", "～": "…"}
)
_PER = re.compile(r"(?<=[元角分米克升次吨斤])/(?=[\u4e00-\u9fa5])")
_BETWEEN = re.compile(r"[-−–/]+")
_MARK = re.compile("|".join(map(re.escape, ("...", *MARKS))))
_ALL_MARKS = {"...": "…", **MARKS}


def normalise(text: str, keep: str = "") -> str:
    """Simplified characters and `PUNCTUATION`, no two marks in a row; what can't be said is left out.

    `keep` names characters that pass through: marks of the caller's own.
    """
    text = simplified(text).translate(_ORDINARY).translate(_BRACKETS)
    text = spoken(text).translate(_SIGNS)
    text = _BETWEEN.sub(",", _PER.sub("每", text))
    text = _MARK.sub(lambda match: _ALL_MARKS[match[0]], text)
    text = re.sub(rf"[^\u4e00-\u9fa5{re.escape(''.join(PUNCTUATION) + keep)}]+", "", text)
    return collapse(text)


def simplified(text: str) -> str:
    """As many characters as before. Those of simplified text stay: 乾 in 乾清宫 isn't a traditional 干."""
    converted = _converter()(text)
    if len(converted) != len(text):
        return text
    return "".join(
        new if _is_traditional(old, new) else old for old, new in zip(text, converted, strict=True)
    )


def _is_traditional(char: str, simplified: str) -> bool:
    if char == simplified or not "\u4e00" <= simplified <= "\u9fa5":
        return False
    try:
        char.encode("gb2312")
    except UnicodeEncodeError:
        return True
    return char in "後麽"  # the only two that the standard has beside their simplified forms


@cache
def _converter() -> Callable[[str], str]:
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert
