"""Mandarin: numbers in characters, punctuation as commas, then pinyin with tone digits, as XTTS reads it.

Every mark of punctuation becomes a comma because the published normaliser does that, so the model knows no
other in Chinese.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from providers.xtts.text.symbols import expand_symbols

_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_MAX_DIGITS = 16
_CURRENCIES = {
    "$": "美元",
    "£": "英镑",
    "€": "欧元",
    "¥": "元",
    "￥": "元",
    "₩": "韩元",
    "₹": "卢比",
    "₽": "卢布",
}
# Before these, two is 两.
_COUNTERS = (
    "个位名只条张本件次天块元点分秒小周倍种家座辆杯瓶碗双对层间句岁头颗台部套份门首幅匹把口架艘枚组排间"
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_RANGE = re.compile(r"(?<![\d.-])(\d{1,3})[-~–](\d{1,3})(?=[\u4e00-\u9fff%])")
_PATTERN = re.compile(
    rf"(?P<date>(?<!\d)(?P<y>\d{{4}})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}})(?![\d.]))"
    rf"|(?P<time>(?<![\d:])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![:\d]))"
    rf"|(?P<fraction>(?<![\d/])(?P<numerator>\d+)/(?P<denominator>\d+)(?![\d/]))"
    rf"|(?P<phone>(?<![\d.])(?:\+?86[ -]?)?(?:1[3-9]\d{{9}}|0\d{{2,3}}-\d{{7,8}})(?![\d.]))"
    rf"|(?P<year>(?<![\d.])(?:[12]\d{{3}}|[089]\d))(?=年(?!级|龄|代|纪|前|后|间|来|内|以|多|左|里))"
    rf"|(?P<minus>(?<![0-9A-Za-z)）])[-−])?(?:(?P<before>[{''.join(_CURRENCIES)}])\s?)?(?P<number>{_NUMBER})"
    rf"(?P<scale>[万亿千百]*)(?:\s?(?P<after>[{''.join(_CURRENCIES)}])|\s?(?P<percent>%)|\s?(?P<degree>°[Cc]?))?"
)


def spoken(text: str) -> str:
    """Numbers and symbols in characters, marks as commas."""
    text = _RANGE.sub(r"\1到\2", text)
    text = _PATTERN.sub(_read, text).replace('"', "").lower()
    text = "".join("," if _is_mark(char) else char for char in text)
    return expand_symbols(text, "zh-cn")


def to_pinyin(text: str) -> str:
    """`你好,世界,` → `ni3hao3,shi4jie4,`: the first reading of each character in its phrase."""
    pinyin, tone3 = _library()
    readings = pinyin(text, style=tone3, heteronym=False, neutral_tone_with_five=True)
    return "".join(reading[0] for reading in readings)


def cardinal(number: int) -> str:
    """Below 10^16. Two is 两 before hundreds and more, and ten at the front has no 一: 十二, 两百二十."""
    words = _grouped(number)
    return words.removeprefix("一") if words.startswith("一十") else words or _DIGITS[0]


def _grouped(number: int) -> str:
    for unit, name in ((10**8, "亿"), (10**4, "万")):
        if number >= unit:
            high, rest = divmod(number, unit)
            words = ("两" if high == 2 else _grouped(high)) + name
            return words + "零" * (0 < rest < unit // 10) + _grouped(rest)
    return _below_ten_thousand(number)


def _below_ten_thousand(number: int) -> str:
    words, gap = "", False
    for power in (3, 2, 1, 0):
        digit = number // 10**power % 10
        if not digit:
            gap = bool(words)
            continue
        words += "零" * gap + ("两" if digit == 2 and power >= 2 else _DIGITS[digit]) + _UNITS[power]
        gap = False
    return words


def digits(text: str) -> str:
    return "".join(_DIGITS[int(char)] for char in text if char.isdecimal())


def decimal(written: str) -> str:
    whole, _, fraction = written.replace(",", "").partition(".")
    return integer(whole) + ("点" + digits(fraction) if fraction else "")


def integer(written: str) -> str:
    return digits(written) if len(written) > _MAX_DIGITS or written[0] == "0" else cardinal(int(written))


def _read(match: re.Match[str]) -> str:
    group = next(name for name in ("date", "time", "fraction", "phone", "year", "number") if match[name])
    return _READERS[group](match)


def _date(match: re.Match[str]) -> str:
    return f"{digits(match['y'])}年{cardinal(int(match['m']))}月{cardinal(int(match['d']))}日"


def _time(match: re.Match[str]) -> str:
    hour, minute, second = int(match["hour"]), int(match["minute"]), match["second"]
    words = ("两" if hour == 2 else cardinal(hour)) + "点"
    words += "整" if not minute and not second else ("零" if minute < 10 else "") + cardinal(minute) + "分"
    return words + (f"{cardinal(int(second))}秒" if second else "")


def _fraction(match: re.Match[str]) -> str:
    return f"{integer(match['denominator'])}分之{integer(match['numerator'])}"


def _number(match: re.Match[str]) -> str:
    written, scale = match["number"], match["scale"]
    following = match.string[match.end() :][:1]
    # Four digits and more are read one by one where nothing is counted: a year, a room, a code.
    is_code = written.isdecimal() and len(written) >= 4 and not (scale or match["before"] or match["after"])
    is_code = is_code and (len(written) == 4 or not written.endswith("000"))
    if is_code and not match["percent"] and not match["degree"] and not _is_han(following):
        words = digits(written)
    elif (
        written == "2"
        and match.string[: match.start()][-1:] != "第"
        and not match["percent"]
        and (scale or match["before"] or (following and following in _COUNTERS))
    ):
        words = "两"
    else:
        words = decimal(written)
    words += scale
    if match["percent"]:
        words = "百分之" + words
    if match["degree"] and match["minus"]:
        return f"零下{words}度"
    if match["degree"]:
        words = f"摄氏{words}度" if len(match["degree"]) > 1 else f"{words}度"
    words += _CURRENCIES.get(match["before"] or match["after"] or "", "")
    return f"负{words}" if match["minus"] else words


_READERS = {
    "date": _date,
    "time": _time,
    "fraction": _fraction,
    "phone": lambda match: digits(match[0]),
    "year": lambda match: digits(match[0]),
    "number": _number,
}


def _is_han(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff"


def _is_mark(char: str) -> bool:
    """Punctuation, and the symbols of ASCII but for the two that sums are written with."""
    if char in "+=":
        return False
    category = unicodedata.category(char)
    return category[0] == "P" or (category[0] == "S" and char.isascii())


@lru_cache(maxsize=1)
def _library():  # type: ignore[no-untyped-def]
    # The phrase dictionary takes a quarter of a second to import.
    from pypinyin import Style, pinyin

    return pinyin, Style.TONE3
