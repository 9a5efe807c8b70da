"""Words of a Chinese sentence and their parts of speech, joined where tones depend on each other.

Words are jieba's, from rjieba: the same dictionary and model in Rust, with wheels for every Python and fifty
times faster. jieba itself comes as source only and keeps a cache in the temporary folder that it would load
again from there, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from providers.gpt_sovits.text.pinyin import word_readings

# Words in -儿 that would be parted before it, or joined to what follows: 胡同 + 儿里.
_TAUGHT = {
    "小院儿": "n",
    "胡同儿": "ns",
    "范儿": "n",
    "老汉儿": "n",
    "撒欢儿": "v",
    "寻老礼儿": "v",
    "妥妥儿": "a",
    "媳妇儿": "n",
}


class Word(NamedTuple):
    text: str
    tag: str  # jieba's part of speech: n, v, a, r, m, x (marks)...


def words_of(sentence: str) -> list[Word]:
    """Words whose tones change one another are one: 不 and 一 with what follows, 看一看, doubled words, -儿.

    The words make up the sentence when joined.
    """
    words = [Word(*word) for word in _segmenter().tag(sentence)]
    for join in (_join_bu, _join_yi, _join_doubled, _join_low_words, _join_low_neighbours, _join_er):
        words = join(words)
    return words


def parts_of(word: str) -> tuple[str, str]:
    """The shortest word inside a word, and the rest, in their order: 蒙古包 → 蒙古, 包; 好喜欢 → 好, 喜欢."""
    shortest = min(_segmenter().cut_for_search(word), key=len)
    if word.startswith(shortest):
        return shortest, word[len(shortest) :]
    return word[: -len(shortest)], shortest


@cache
def _segmenter() -> Any:
    # Reading the dictionary takes a fifth of a second.
    import rjieba

    segmenter = rjieba.Jieba()
    for word, tag in _TAUGHT.items():
        segmenter.add_word(word, None, tag)
    return segmenter


def _join_bu(words: Iterable[Word]) -> list[Word]:
    joined: list[Word] = []
    for word in words:
        if joined and joined[-1].text == "不":
            joined[-1] = Word("不" + word.text, word.tag)
        else:
            joined.append(word)
    if joined and joined[-1].text == "不":
        joined[-1] = Word("不", "d")
    return joined


def _join_yi(words: list[Word]) -> list[Word]:
    """听 + 一 + 听 → 听一听, then 一 + 天 → 一天."""
    joined: list[Word] = []
    i = 0
    while i < len(words):
        before, after = joined[-1] if joined else None, words[i + 1] if i + 1 < len(words) else None
        if words[i].text == "一" and before and before == after and before.tag == "v":
            joined[-1] = Word(f"{before.text}一{before.text}", "v")
            i += 2
        else:
            joined.append(words[i])
            i += 1
    return _join_if(joined, lambda before, word: before.text == "一")


def _join_doubled(words: list[Word]) -> list[Word]:
    return _join_if(words, lambda before, word: before.text == word.text)


def _join_er(words: list[Word]) -> list[Word]:
    return _join_if(words, lambda before, word: word.text == "儿")


def _join_low_words(words: list[Word]) -> list[Word]:
    """Neighbours of three characters at most, all of the third tone: the sandhi runs through both."""
    return _join_low(words, lambda before, after: all(tone == "3" for tone in before + after))


def _join_low_neighbours(words: list[Word]) -> list[Word]:
    """The same where the tones on either side of the gap are third."""
    return _join_low(words, lambda before, after: before[-1] == after[0] == "3")


def _join_low(words: list[Word], is_low: Callable[[list[str], list[str]], bool]) -> list[Word]:
    tones = [[reading[-1] for reading in word_readings(word.text)] for word in words]
    joined = words[:1]
    was_joined = False
    for (before, word), (tones_before, tones_here) in zip(pairwise(words), pairwise(tones), strict=True):
        fits = len(before.text) + len(word.text) <= 3 and not _is_doubled(before.text)
        was_joined = not was_joined and fits and is_low(tones_before, tones_here)
        if was_joined:
            joined[-1] = Word(joined[-1].text + word.text, joined[-1].tag)
        else:
            joined.append(word)
    return joined


def _join_if(words: Iterable[Word], belongs: Callable[[Word, Word], bool]) -> list[Word]:
    joined: list[Word] = []
    for word in words:
        if joined and belongs(joined[-1], word):
            joined[-1] = Word(joined[-1].text + word.text, joined[-1].tag)
        else:
            joined.append(word)
    return joined


def _is_doubled(word: str) -> bool:
    return len(word) == 2 and word[0] == word[1]
