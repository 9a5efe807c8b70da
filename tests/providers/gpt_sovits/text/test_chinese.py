from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpt_sovits.text import cantonese, chinese
from providers.gpt_sovits.text.pinyin import is_reading, phones_of, phrase_readings, word_readings
from providers.gpt_sovits.text.symbols import TableName, symbol_table

_GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "gpt_sovits" / "frontend.json").read_text(encoding="utf-8")
)
_CASES = [case for case in _GOLDEN["items"] if case["lang"] == "zh"]


def test_both_versions_have_golden_texts() -> None:
    assert sorted(case["version"] for case in _CASES) == ["v1"] * 6 + ["v2"] * 12


@pytest.mark.parametrize(
    "case", _CASES, ids=lambda case: f"{case['version']}-{case.get('variant', 'words')}-{case['text'][:6]}"
)
def test_phones_equal_the_published_ones(case: dict[str, Any]) -> None:
    table = symbol_table(case["version"])
    phones = chinese.phones(case["text"], table)
    assert phones.text == case["norm_text"]
    assert list(phones.names) == case["phones"]
    assert list(table.ids(phones.names)) == case["phone_ids"]
    assert list(phones.word2ph or ()) == case["word2ph"]


@pytest.mark.parametrize(
    ("reading", "phones"),
    [
        ("zhong1", ("zh", "ong1")),
        ("zhi1", ("zh", "ir1")),
        ("ri4", ("r", "ir4")),
        ("si4", ("s", "i04")),
        ("di4", ("d", "i4")),
        ("lv4", ("l", "v4")),
        ("xue2", ("x", "ve2")),
        ("juan4", ("j", "van4")),
        ("lun2", ("l", "un2")),
        ("yuan2", ("y", "van2")),
        ("yan4", ("y", "En4")),
        ("ye3", ("y", "E3")),
        ("you3", ("y", "ou3")),
        ("wu5", ("w", "u5")),
        ("ai4", ("AA", "ai4")),
        ("er2", ("EE", "er2")),
        ("ou1", ("OO", "ou1")),
        ("yo1", ("OO", "o1")),
        ("n2", ("EE", "en2")),
    ],
)
def test_phones_of_a_reading(reading: str, phones: tuple[str, str]) -> None:
    assert phones_of(reading) == phones


def test_every_character_has_phones_of_both_tables() -> None:
    """Of a fifth of those that are normalised to: the tables can number whatever pypinyin reads."""
    for table in (symbol_table("v1"), symbol_table("v2")):
        for code in range(0x4E00, 0x9FA6, 5):
            (reading,) = word_readings(chr(code))
            assert not is_reading(reading) or all(phone in table for phone in phones_of(reading)), reading


def test_phrases_say_what_characters_alone_do_not() -> None:
    assert word_readings("银行") == ["yin2", "hang2"]
    assert word_readings("朝鲜") == ["chao2", "xian3"]
    assert phrase_readings("银行") == ["yin2", "hang2"]
    assert phrase_readings("行") is None


def _tones(text: str, version: TableName = "v2") -> str:
    """The tones of the characters."""
    phones = chinese.phones(text, symbol_table(version))
    finals = (name for name in phones.names if name[-1].isdecimal())
    return "".join(name[-1] for name in finals)


@pytest.mark.parametrize(
    ("text", "tones"),
    [
        ("不怕", "24"),
        ("不好", "43"),
        ("看不懂", "453"),
        ("一天", "41"),
        ("一定", "24"),
        ("看一看", "454"),
        ("第一次", "414"),
        ("一二三", "141"),
        ("老虎", "23"),
        ("展览馆", "223"),
        ("好喜欢", "235"),
        ("纸老虎", "323"),
        ("我们", "35"),
        ("孩子", "25"),
        ("女子", "23"),
        ("桌上", "15"),
        ("出去", "15"),
        ("三个", "15"),
        ("漂亮", "45"),
        ("走走", "35"),
        ("吃吧", "15"),
    ],
)
def test_tones_change_in_speech(text: str, tones: str) -> None:
    assert _tones(text) == tones


def test_er_colours_the_syllable_before_it_since_the_second_version() -> None:
    assert _tones("小院儿", "v1") == "345"
    assert _tones("小院儿", "v2") == "344"
    assert _tones("女儿", "v2") == "32"  # here it is a syllable


def test_pauses_that_a_writer_puts_in() -> None:
    phones = chinese.phones("你好￥世界^再见,", symbol_table("v2"))
    assert phones.text == "你好,世界,再见,"
    assert [name for name in phones.names if name.startswith("SP") or name == ","] == ["SP2", "SP3", ","]
    assert chinese.phones("￥5", symbol_table("v2")).text == "五元"


def test_only_later_versions_take_the_readings_of_a_model() -> None:
    def readings(sentence: str) -> list[str]:
        return ["hang2" if char == "行" else word_readings(char)[0] for char in sentence]

    def read(version: TableName, text: str) -> tuple[str, ...]:
        return chinese.phones(text, symbol_table(version), readings).names[-2:]

    assert read("v1", "他很行") == ("x", "ing2")
    assert read("v2", "他很行") == ("h", "ang2")
    # A word of the dictionary is known better.
    assert read("v2", "去旅行") == ("x", "ing2")


def test_characters_without_a_reading_are_unknown() -> None:
    phones = chinese.phones("兙克", symbol_table("v1"))
    assert phones.names == ("UNK", "k", "e4")
    assert phones.word2ph == (1, 2)


@settings(max_examples=25, deadline=None)
@given(
    st.text(
        st.sampled_from("你好一不儿了个我後乾嗯12.%-:，。！？￥^$年月点²+/ abk兙〆…·《あ한🙂"), max_size=30
    )
)
def test_any_text_has_phones_that_the_tables_number(text: str) -> None:
    for table in (symbol_table("v1"), symbol_table("v2")):
        for read in (chinese.phones, cantonese.phones):
            table.ids(read(text, table).names)


def test_nothing_comes_of_nothing() -> None:
    phones = chinese.phones("🙂abc", symbol_table("v2"))
    assert (phones.text, phones.names, phones.word2ph) == ("", (), ())
