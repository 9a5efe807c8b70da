"""Numbers, dates, times, units and signs of a Chinese text, put into characters.

The words are those of the normaliser that the models were trained behind (PaddleSpeech's): 三点半 for 3:30,
零下五度 for -5℃, digits with 幺 for long numbers. What that one misreads is read as it was meant: amounts of
money, digits grouped by commas, 2月 (not 两月), 20年 (not 二零年), round numbers (一千, not 幺零零零).
"""

from __future__ import annotations

import re
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
_CURRENCIES = {
    "$": "美元",
    "US$": "美元",
    "HK$": "港元",
    "€": "欧元",
    "£": "英镑",
    "¥": "元",
    "￥": "元",
    "₩": "韩元",
}
# What Chinese text writes with letters after a number.
UNITS = {
    "cm²": "平方厘米",
    "cm2": "平方厘米",
    "cm³": "立方厘米",
    "cm3": "立方厘米",
    "km²": "平方千米",
    "km2": "平方千米",
    "m²": "平方米",
    "m2": "平方米",
    "m³": "立方米",
    "m3": "立方米",
    "km/h": "千米每小时",
    "m/s": "米每秒",
    "mm": "毫米",
    "cm": "厘米",
    "km": "千米",
    "kg": "千克",
    "mg": "毫克",
    "ml": "毫升",
    "mL": "毫升",
    "dB": "分贝",
    "db": "分贝",
    "m": "米",
}
_SIGNS = {"+": "加", "-": "减", "−": "减", "×": "乘", "*": "乘", "÷": "除", "=": "等于"}
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ", "0123456789xyn")
# What is counted, so that 2 before it is 两, and a number of any length is an amount.
_COUNTERS = (
    r"[多余几+]?(?:[十百千万亿]+|个|人|位|名|只|条|张|件|本|次|遍|回|趟|天|周|年(?!级)|小时|分钟|分|秒|块|元|角|毛|吨|斤|克|"
    r"千克|公斤|公里|里|千米|米|厘米|毫米|升|毫升|平方|立方|平|度|岁|倍|种|类|项|家|座|栋|幢|层|间|辆|架|艘|台|部|套|份|"
    r"门|首|幅|匹|把|口|杯|瓶|碗|盘|盒|箱|包|袋|双|对|群|队|支|枝|根|棵|朵|颗|粒|片|块|堆|页|篇|章|句|段|行|场|期|"
    r"届|批|组|步|户|头|纪|旬|季|夜|点|股|票|字|道|题|面|扇|眼|声|晚|顿|美元|欧元|英镑|港元)"
)
# From its first digit on: a pattern that may begin anywhere takes quadratic time on a run of digits.
_NUMBER = r"(?<!\d)\d+(?:\.\d+)?"
_GROUPED = r"(?<![\d,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ"
_TERM = rf"(?:{_NUMBER}|[A-Za-z])[{_SUPERSCRIPTS}]*"
_HOUR = r"([01]?\d|2[0-4])[:：]([0-5]\d)(?:[:：]([0-5]\d))?"
_CURRENCY = "|".join(re.escape(sign) for sign in sorted(_CURRENCIES, key=len, reverse=True))


def spoken(text: str) -> str:
    """Everything written with digits, as Chinese characters; text without any is returned as it is."""
    for pattern, read in _RULES:
        text = pattern.sub(read, text)
    return text


def cardinal(digits: str) -> str:
    """`10500` → 一万零五百, `12` → 十二, `000` → 零. More than 16 digits are read one by one."""
    digits = digits.lstrip("0")
    if len(digits) > 16:
        return digit_by_digit(digits)
    words = _grouped(int(digits or 0))
    return words.removeprefix("一") if words.startswith("一十") else words or _DIGITS[0]


def digit_by_digit(digits: str, one: str = "一") -> str:
    return "".join(one if digit == "1" else _DIGITS[int(digit)] for digit in digits if digit.isdecimal())


def decimal(written: str) -> str:
    """`3.20` → 三点二零, `-5` → 负五. Of the zeros at the end one is kept."""
    whole, _, fraction = written.replace(",", "").lstrip("-−").partition(".")
    fraction = re.sub(r"0+$", "0", fraction)
    sign = "负" if written[0] in "-−" else ""
    return sign + cardinal(whole) + ("点" + digit_by_digit(fraction) if fraction else "")


def _grouped(number: int) -> str:
    for unit, name in ((10**8, "亿"), (10**4, "万")):
        if number >= unit:
            high, rest = divmod(number, unit)
            return _grouped(high) + name + "零" * (0 < rest < unit // 10) + _grouped(rest)
    words, gap = "", False
    for value, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // value % 10
        if digit:
            words += "零" * (gap and bool(words)) + _DIGITS[digit] + name
        gap = not digit
    return words


def _date(match: re.Match[str]) -> str:
    year, month, day, last = match.groups()
    words = digit_by_digit(year) + "年" + (cardinal(month) + "月" if month else "")
    return words + (cardinal(day) + last if day else "")


def _numeric_date(match: re.Match[str]) -> str:
    return f"{digit_by_digit(match[1])}年{cardinal(match[3])}月{cardinal(match[4])}日"


def _month(match: re.Match[str]) -> str:
    return cardinal(match[1]) + "月" + (cardinal(match[2]) + match[3] if match[2] else "")


def _time(match: re.Match[str]) -> str:
    hour, minute, second = match.groups()[:3]
    words = ("两" if int(hour) == 2 else cardinal(hour)) + "点"
    if minute == "30" and not second:
        words += "半"
    elif int(minute) or (second and int(second)):
        words += _two_digits(minute) + "分"
    return words + (_two_digits(second) + "秒" if second and int(second) else "")


def _two_digits(digits: str) -> str:
    return ("零" if digits[0] == "0" and digits != "00" else "") + cardinal(digits)


def _temperature(match: re.Match[str]) -> str:
    unit = "摄氏度" if match[3] == "摄氏度" else "度"
    return ("零下" if match[1] else "") + decimal(match[2]) + unit


def _power(match: re.Match[str]) -> str:
    power = match[0].translate(_POWERS)
    return f"的{cardinal(power) if power.isdecimal() else power}次方"


def _range(match: re.Match[str]) -> str:
    """Numbers stay as they are for the rules of what follows them."""
    first, last, percent = match.groups()
    return f"{first}{percent}到{last}{percent}"


def _counted(match: re.Match[str]) -> str:
    is_ordinal = match.string[: match.start()].endswith("第")
    number = "两" if match[1] == "2" and not is_ordinal else cardinal(match[1])
    return number + match[2].replace("+", "多")


def _plain(match: re.Match[str]) -> str:
    """Three digits and more, where nothing is counted: a code, or, if round, an amount."""
    digits = match[0]
    is_amount = digits.endswith("00") and digits[0] != "0" and len(digits) <= 9
    return cardinal(digits) if is_amount else digit_by_digit(digits, one="幺")


def _telephone(match: re.Match[str]) -> str:
    parts = re.split(r"[ -]+", match[0].strip("+"))
    return "，".join(digit_by_digit(part, one="幺") for part in parts)


_SEPARATOR = r"[~～–-]"
_WITH_UNIT = rf"°C|℃|°|摄氏度|度|%|{'|'.join(map(re.escape, UNITS))}"
_BEFORE_TERM = rf"(?=-?{_TERM})"

# In this order: what an earlier rule has read, a later one doesn't see as digits.
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), read)
    for pattern, read in (
        # Money and groups of digits
        (
            rf"({_CURRENCY})({_GROUPED}|{_NUMBER})([十百千万亿]*)",
            lambda match: decimal(match[2]) + match[3] + _CURRENCIES[match[1]],
        ),
        (
            rf"({_GROUPED}|{_NUMBER})([十百千万亿]*)({_CURRENCY})",
            lambda match: decimal(match[1]) + match[2] + _CURRENCIES[match[3]],
        ),
        (_GROUPED, lambda match: decimal(match[0])),
        # Dates and times
        (rf"(?<!\d)(\d{{4}}){_SEPARATOR}(?=\d{{4}}年)", lambda match: digit_by_digit(match[1]) + "到"),
        (
            r"(?<!\d)(\d{4}|\d{2}(?=年\d+月))年(?:(0?[1-9]|1[0-2])月)?(?:(0?[1-9]|[12]\d|3[01])([日号]))?",
            _date,
        ),
        (r"(?<!\d)(\d{4})([-/.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?!\d)", _numeric_date),
        (r"(?<!\d)(0?[1-9]|1[0-2])月(?:(0?[1-9]|[12]\d|3[01])([日号]))?", _month),
        (r"(?<!\d)[05-9]\d(?=后)", lambda match: digit_by_digit(match[0])),
        (rf"(?<![\d:]){_HOUR}{_SEPARATOR}(?={_HOUR}(?![\d:]))", lambda match: _time(match) + "至"),
        (rf"(?<![\d:]){_HOUR}(?![\d:])", _time),
        # Telephones
        (r"(?<!\d)(?:\+?86[ -]?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8}(?!\d)", _telephone),
        (r"(?<![\d.-])(?:0(?:10|2[1-3]|[3-9]\d{2})-?)[1-9]\d{6,7}(?![\d.-])", _telephone),
        (r"(?<![\d.-])400-?\d{3}-?\d{4}(?![\d.-])", _telephone),
        # Ranges
        (rf"(?<=\d)({_WITH_UNIT})[~～](?=-?\d)", r"\1至"),
        (rf"(?<![\d.+×÷=-])({_NUMBER}){_SEPARATOR}({_NUMBER})(%?)(?![\d.]*[\d+×÷=-])", _range),
        # Numbers with what is measured
        (rf"((?<!\d)[-−])?({_NUMBER})(°C|℃|°|度|摄氏度)", _temperature),
        (rf"(?<=\d)({'|'.join(map(re.escape, UNITS))})(?![A-Za-z\d])", lambda match: UNITS[match[0]]),
        (rf"(?<=[\dA-Za-z{_SUPERSCRIPTS}])[+−×*÷=]{_BEFORE_TERM}", lambda match: _SIGNS[match[0]]),
        (rf"(?<=[\dA-Za-z{_SUPERSCRIPTS}])-(?={_TERM}(?:=|等于))", "减"),
        (rf"[{_SUPERSCRIPTS}]+", _power),
        (
            r"(?<![\d/])(-?)(\d+)/(\d+)(?![\d/])",
            lambda match: f"{'负' * bool(match[1])}{cardinal(match[3])}分之{cardinal(match[2])}",
        ),
        (
            rf"((?<!\d)-)?({_NUMBER})([%‰])",
            lambda match: f"{'负' * bool(match[1])}{'百千'[match[3] == '‰']}分之{decimal(match[2])}",
        ),
        (r"(?<=\d)[:：](?=\d)", "比"),
        # Numbers
        (rf"(?<![\d零一二三四五六七八九十])-(?={_NUMBER})", "负"),
        (r"(?<!\d)\d+(?:\.\d+){2,}", lambda match: "点".join(map(digit_by_digit, match[0].split(".")))),
        (r"(?<!\d)\d*\.\d+", lambda match: decimal(match[0])),
        (rf"(?<!\d)(\d+)({_COUNTERS})", _counted),
        (r"\d{3,}", _plain),
        (r"\d+", lambda match: cardinal(match[0])),
    )
)
