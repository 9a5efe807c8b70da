"""Against the published front end on more Chinese than the golden texts: talk, news, names, Lu Xun."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.gpt_sovits.text import chinese
from providers.gpt_sovits.text.symbols import TableName, symbol_table

_SENTENCES: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[3] / "golden" / "gpt_sovits" / "chinese.json").read_text(encoding="utf-8")
)["sentences"]

# Text → published phones, ours. jieba's tagger guesses words that no dictionary has with a model of words and
# tags together, rjieba's with one of words alone: they part a few sentences differently, and tones change
# within words.
_PARTED_OTHERWISE = {
    "你往里走走": ("n i2 w ang3 l i3 z ou2 z ou3", "n i3 w ang2 l i3 z ou3 z ou5"),
    "翻不出": ("f an1 b u4", "f an1 b u5"),
}


def _published(sentence: dict[str, str], version: TableName) -> str:
    return sentence.get(version, sentence["v1"])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("sentence", _SENTENCES, ids=lambda sentence: sentence["text"][:8])
def test_phones_equal_the_published_ones(sentence: dict[str, Any], version: TableName) -> None:
    published = _published(sentence, version)
    for text, (theirs, ours) in _PARTED_OTHERWISE.items():
        if text in sentence["text"]:
            assert theirs in published, "no difference any more: take it off the list"
            published = published.replace(theirs, ours)
    assert " ".join(chinese.phones(sentence["text"], symbol_table(version)).names) == published


def test_nearly_all_phones_are_the_published_ones(check_golden: Callable[..., None]) -> None:
    equal = total = differ = 0
    for sentence in _SENTENCES:
        names = chinese.phones(sentence["text"], symbol_table("v2")).names
        published = _published(sentence, "v2").split()
        equal += sum(a == b for a, b in zip(names, published, strict=True))
        total += len(published)
        differ += list(names) != published
    assert equal / total > 0.997
    name = f"phones zh, share of {len(_SENTENCES)} more texts that differ"
    check_golden(name, differ / len(_SENTENCES), 0.0, len(_PARTED_OTHERWISE) / len(_SENTENCES))
