"""Which language each part of a mixed text is in.

The writing system decides: Latin letters are English, kana Japanese, hangul Korean. Ideographs belong to
the language that was asked for; where none was, to the one that their clause, then the rest of the text
shows. The published front end asks a statistical model about every few characters instead, which takes a
lone 年 or 寫 in a Chinese sentence for Japanese.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from providers.gpt_sovits.text.chinese_numbers import UNITS

_IDEOGRAPH = r"[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
_SCRIPTS = (
    ("en", re.compile(r"[A-Za-z\u00c0-\u024f\uff21-\uff3a\uff41-\uff5a]")),
    ("ja", re.compile(r"[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9d]")),
    ("ko", re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")),
    ("han", re.compile(_IDEOGRAPH)),
)
_CLAUSE = re.compile(r"[^，。！？、；：,.!?;:…\n]*[，。！？、；：,.!?;:…\n]*")
# Characters of modern Chinese that Japanese standards have, and Japanese has no use for.
_CHINESE = frozenset("你您她它們这這那哪吗嗎呢吧啊很么麼怎什")
# Units that Chinese text writes with letters, right after a number: they're said in Chinese.
_UNIT = re.compile(rf"(?:{'|'.join(map(re.escape, UNITS))})(?![A-Za-z\d])")


# A number behind a mark, at the end; as long as numbers get.
_LAST_NUMBER = re.compile(r"(?<=[^\d.])[$¥￥€£+-]?\d(?:[\d.,:/%]*\d%?)?$")
_NUMBER_CHARS = 40


class Segment(NamedTuple):
    language: str  # zh, yue, en, ja, ko
    text: str


def segments(text: str, language: str) -> list[Segment]:
    """Parts of `text`, which they make up when joined; neighbours differ in language.

    `language` is `en` for a text that is all English, `auto` (or `auto_yue`, whose Chinese is Cantonese) for
    any mixture, or one of zh, yue, ja, ko for a mixture of that language with English. `all_zh` and its like
    mean the same as `zh`.
    """
    language = language.removeprefix("all_")
    if language == "en":
        return [Segment("en", text)] if text else []
    runs = _joined(_attach_marks(_runs(text)))
    if language in _CHINESE_OF:
        parts = [part for run in runs for part in _by_clause(run, text, _CHINESE_OF[language])]
    else:
        parts = [Segment("en" if run.language == "en" else language, run.text) for run in runs]
    return _joined(_with_units(parts))


_CHINESE_OF = {"auto": "zh", "auto_yue": "yue"}


@lru_cache(maxsize=8_192)
def _script(char: str) -> str:
    return next((name for name, pattern in _SCRIPTS if pattern.match(char)), "")


def _runs(text: str) -> Iterator[Segment]:
    """Runs of one script; `native` for ideographs and kana, which Japanese mixes; "" for digits and marks."""
    start, current = 0, ""
    for i, char in enumerate(text):
        script = _script(char) or ("" if not unicodedata.combining(char) else current)
        script = "native" if script in ("han", "ja") else script
        if i and script != current:
            yield Segment(current, text[start:i])
            start = i
        current = script
    if text:
        yield Segment(current, text[start:])


def _attach_marks(runs: Iterable[Segment]) -> list[Segment]:
    """Gives digits and marks to what they follow; a number after a mark to what it precedes."""
    attached: list[Segment] = []
    pending = ""
    for script, text in runs:
        if script:
            attached.append(Segment(script, pending + text))
            pending = ""
        elif not attached:
            pending = text
        else:
            number = _LAST_NUMBER.search(text, max(0, len(text) - _NUMBER_CHARS))
            kept = number.start() if number else len(text)
            attached[-1] = Segment(attached[-1].language, attached[-1].text + text[:kept])
            pending = text[kept:]
    if pending and attached:
        attached[-1] = Segment(attached[-1].language, attached[-1].text + pending)
    elif pending:
        attached.append(Segment("native", pending))
    return attached


def _with_units(parts: Iterable[Segment]) -> Iterator[Segment]:
    """`5` in Chinese and `kg` in English are one Chinese part."""
    number_language = ""
    for part in parts:
        unit = _UNIT.match(part.text) if number_language and part.language == "en" else None
        if unit:
            # Marks after the unit were only with it because of its letters.
            stop = unit.end() if any(_script(char) for char in part.text[unit.end() :]) else len(part.text)
            yield Segment(number_language, part.text[:stop])
            part = Segment("en", part.text[stop:])
        if part.text:
            yield part
        is_number = part.language in _LETTERED_UNITS and part.text[-1].isdecimal()
        number_language = part.language if is_number else ""


_LETTERED_UNITS = ("zh", "yue")


def _by_clause(run: Segment, text: str, chinese: str) -> Iterator[Segment]:
    """Tells Chinese and Japanese clauses apart. One that shows nothing follows the nearest that does."""
    if run.language != "native":
        yield run
        return
    clauses = [clause for clause in _CLAUSE.findall(run.text) if clause]
    shown = [_shown(clause) for clause in clauses]
    showing = [i for i, language in enumerate(shown) if language]
    elsewhere = "" if showing else _shown(text) or "zh"
    for i, clause in enumerate(clauses):
        here = bisect_left(showing, i)
        nearest = min(showing[max(0, here - 1) : here + 1], key=lambda j: abs(j - i), default=None)
        language = elsewhere if nearest is None else shown[nearest]
        yield Segment(chinese if language == "zh" else language, clause)


def _shown(text: str) -> str:
    """`ja` or `zh` where the characters can only be that; "" where they could be either."""
    if any(_script(char) == "ja" for char in text):
        return "ja"
    ideographs = [char for char in text if _script(char) == "han"]
    if any(char in _CHINESE or not _in(char, "cp932") for char in ideographs):
        return "zh"
    if any(not _in(char, "gb2312") and not _in(char, "big5") for char in ideographs):
        return "ja"
    return ""


def _in(char: str, charset: str) -> bool:
    """Whether a national standard has the character: simplified forms aren't in Japan's, and the reverse."""
    try:
        char.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _joined(parts: Iterable[Segment]) -> list[Segment]:
    joined: list[Segment] = []
    for part in parts:
        if joined and joined[-1].language == part.language:
            joined[-1] = Segment(part.language, joined[-1].text + part.text)
        else:
            joined.append(part)
    return joined
