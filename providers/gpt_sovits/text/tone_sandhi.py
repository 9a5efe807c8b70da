"""How tones change in connected speech: 不 and 一, syllables without a tone, third tones in a row, -儿.

The rules and the words they hold for are those that the models were trained behind (PaddleSpeech's). Tones
are digits, 5 the neutral one and 0 for marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from providers.gpt_sovits.text.chinese_words import Word, parts_of

_NEUTRAL = 5
_DOUBLED_TAGS = "nva"
_ALWAYS_TONED = frozenset(
    "男子 女子 分子 原子 量子 电子 莲子 石子 瓜子 卵子 学子 算子 "
    "人人 虎虎 幺幺 哈哈 数数 袅袅 想想 熙熙 攘攘 死死 冉冉 恳恳 佼佼 吵吵 打打 考考 整整 莘莘 青青 "
    "干嘛 局地 耕地 落地 以下 留得 娃哈哈 花花草草 家家户户".split()
)
_FINAL_PARTICLES = frozenset("吧呢哈啊呐噻嘛吖嗨哦哒额滴哩哟喽啰耶喔诶的地得")
_ASPECT_TAGS = {"了": "ul", "着": "uz", "过": "ug"}
_BEFORE_COUNTER = "几有两半多各整每做是"
_MOTIONS = "上下进出回过起开"
_SENTENCE_MARKS = "：，；。？！“”‘’':,;.?!"
# Words in which 儿 is said with the word's last tone, and words in which it's a syllable of its own.
_MERGED_ER = frozenset("小院儿 胡同儿 范儿 老汉儿 撒欢儿 寻老礼儿 妥妥儿 媳妇儿".split())
_FULL_ER = frozenset(
    "为儿 护儿 瞒儿 救儿 替儿 虐儿 有儿 一儿 我儿 俺儿 妻儿 女儿 男儿 孙儿 侄儿 侄孙儿 "
    "幼儿 孤儿 患儿 婴儿 婴幼儿 少儿 拐儿 聋儿 乞儿 连体儿 脑瘫儿 流浪儿 体弱儿 混血儿 "
    "红孩儿 蜜雪儿 应采儿 舫儿 祖儿 美儿 可儿 "
    "花儿 虫儿 马儿 鸟儿 猪儿 猫儿 狗儿".split()
)
_FULL_ER_TAGS = ("a", "j", "nr")


def spoken_tones(word: Word, tones: Sequence[int]) -> list[int]:
    """The tones of a word's characters as they're said inside a sentence."""
    tones = _bu(word.text, list(tones))
    tones = _yi(word.text, tones)
    tones = _neutral(word, tones)
    return _third(word.text, tones)


def er_tones(word: Word, tones: Sequence[int]) -> list[int]:
    """The tone of the last 儿 becomes that of the syllable it colours."""
    *before, er = tones
    if word.text[-1] != "儿":
        return list(tones)
    er = 2 if er == 1 else er
    is_syllable = word.text in _FULL_ER or word.tag in _FULL_ER_TAGS
    if word.text not in _MERGED_ER and is_syllable:
        return [*before, er]
    if before and er in (2, _NEUTRAL) and word.text[-2:] not in _FULL_ER:
        er = before[-1]
    return [*before, er]


def _bu(word: str, tones: list[int]) -> list[int]:
    """看不懂 is neutral in the middle; before a fourth tone 不 rises: 不怕."""
    if len(word) == 3 and word[1] == "不":
        tones[1] = _NEUTRAL
        return tones
    for i, char in enumerate(word[:-1]):
        if char == "不" and tones[i + 1] == 4:
            tones[i] = 2
    return tones


def _yi(word: str, tones: list[int]) -> list[int]:
    """Level in numbers and ordinals, neutral in 看一看, rising before a fourth tone, else falling."""
    if "一" not in word or all(char.isnumeric() for char in word):
        return tones
    if len(word) == 3 and word[1] == "一" and word[0] == word[2]:
        tones[1] = _NEUTRAL
    elif word.startswith("第一"):
        tones[1] = 1
    else:
        for i, char in enumerate(word[:-1]):
            if char == "一" and tones[i + 1] == 4:
                tones[i] = 2
            elif char == "一" and word[i + 1] not in _SENTENCE_MARKS:
                tones[i] = 4
    return tones


def _neutral(word: Word, tones: list[int]) -> list[int]:
    text = word.text
    if word.tag[0] in _DOUBLED_TAGS and text not in _ALWAYS_TONED:
        for i in range(1, len(text)):
            if text[i] == text[i - 1]:
                tones[i] = _NEUTRAL
    counter = text.find("个")
    if _ends_unstressed(word):
        tones[-1] = _NEUTRAL
    elif text == "个" or (counter > 0 and _counts(text[counter - 1])):
        tones[counter] = _NEUTRAL
    elif _is_neutral(text):
        tones[-1] = _NEUTRAL
    start = 0
    for part in parts_of(text):
        start += len(part)
        if _is_neutral(part):
            tones[start - 1] = _NEUTRAL
    return tones


def _ends_unstressed(word: Word) -> bool:
    """Particles, -们, -子, 桌上, 走出去."""
    text, tag, last = word.text, word.tag, word.text[-1]
    if last in _FINAL_PARTICLES or _ASPECT_TAGS.get(text) == tag:
        return True
    if len(text) == 1:
        return False
    if last in "们子":
        return tag in ("r", "n") and text not in _ALWAYS_TONED
    if last in "上下里" and tag in ("s", "l", "f"):
        return True
    return last in "来去" and text[-2] in _MOTIONS


def _counts(char: str) -> bool:
    return char.isnumeric() or char in _BEFORE_COUNTER


def _is_neutral(word: str) -> bool:
    return word in _neutral_words() or word[-2:] in _neutral_words()


@cache
def _neutral_words() -> frozenset[str]:
    lines = files(__package__).joinpath("neutral_tones.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _third(word: str, tones: list[int]) -> list[int]:
    """A third tone before another rises, within the parts of a word first."""
    if len(word) == 2:
        return _rise(tones)
    if len(word) == 3:
        split = len(parts_of(word)[0])
        if tones == [3, 3, 3]:
            return [2, 2, 3] if split == 2 else [3, 2, 3] if split == 1 else tones
        if split == 1 and tones[0] == tones[1] == 3:  # 好/喜欢
            return [2, *tones[1:]]
        return _rise(tones[:split]) + _rise(tones[split:])
    if len(word) == 4:
        return _rise(tones[:2]) + _rise(tones[2:])
    return tones


def _rise(tones: list[int]) -> list[int]:
    return [2, 3] if tones == [3, 3] else tones
