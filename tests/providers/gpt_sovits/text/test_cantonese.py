from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.gpt_sovits.text import cantonese
from providers.gpt_sovits.text.symbols import symbol_table

_GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "gpt_sovits" / "frontend.json").read_text(encoding="utf-8")
)
_CASES = [case for case in _GOLDEN["items"] if case["lang"] == "yue"]


def test_there_are_golden_texts() -> None:
    assert len(_CASES) == 4


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case["text"][:6])
def test_phones_equal_the_published_ones(case: dict[str, Any]) -> None:
    table = symbol_table(case["version"])
    phones = cantonese.phones(case["text"], table)
    assert phones.text == case["norm_text"]
    assert list(phones.names) == case["phones"]
    assert list(table.ids(phones.names)) == case["phone_ids"]
    assert list(phones.word2ph or ()) == case["word2ph"]


@pytest.mark.parametrize(
    ("char", "names"),
    [
        ("唔", ("Ym", "Ym4")),
        ("吴", ("Yng", "Yg4")),  # ng4
        ("牙", ("Yng", "Yaa4")),
        ("国", ("Ygw", "Yok3")),
        ("啊", ("Yaa", "Ya3")),  # no consonant: its vowel instead
        ("爱", ("Yoi", "Yi3")),
        ("鸭", ("Yaa", "Yp3")),
        ("屋", ("Yuk", "Yk1")),
    ],
)
def test_a_syllable_is_an_initial_and_a_final(char: str, names: tuple[str, str]) -> None:
    phones = cantonese.phones(char, symbol_table("v2"))
    assert phones.names == names
    assert phones.word2ph == (2,)


def test_numbers_are_spoken_in_simplified_characters() -> None:
    assert cantonese.phones("3點(半)", symbol_table("v2")).text == "三点半"


def test_a_character_may_have_two_syllables_or_none_that_is_known() -> None:
    phones = cantonese.phones("兙辶我", symbol_table("v2"))  # ten grams; a radical
    assert phones.names == ("Ys", "Yap6", "Yh", "Yak1", "UNK", "UNK", "Yng", "Yo5")
    assert phones.word2ph == (4, 2, 2)


def test_the_first_table_has_no_cantonese() -> None:
    assert set(cantonese.phones("我哋,", symbol_table("v1")).names) == {"UNK", ","}
