from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpt_sovits.text.cutting import MAX_CHARS, METHODS, SENTENCE_MARKS, cut

_GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "gpt_sovits" / "frontend.json").read_text(encoding="utf-8")
)


def test_every_method_has_golden_texts() -> None:
    assert {case["method"] for case in _GOLDEN["pre_seg"]} == set(METHODS)


@pytest.mark.parametrize("case", _GOLDEN["pre_seg"], ids=lambda case: f"{case['method']}-{case['text'][:6]}")
def test_pieces_equal_the_published_ones(case: dict[str, Any]) -> None:
    assert cut(case["text"], case["method"], case["lang"]) == case["out"]


@pytest.mark.parametrize("case", _GOLDEN["cuts"], ids=lambda case: f"{case['method']}-{case['text'][:6]}")
def test_lines_equal_the_published_ones(case: dict[str, Any]) -> None:
    assert "\n".join(METHODS[case["method"]](case["text"])) == case["out"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ["", "\n\n", "。！？", "... , -", " "])
def test_nothing_comes_of_a_text_that_says_nothing(method: str, text: str) -> None:
    assert cut(text, method) == []


def test_a_number_is_not_cut_at_its_point() -> None:
    assert cut("圆周率大约是3.14吧.你记住了吗", "cut5") == ["圆周率大约是3.14吧.", "你记住了吗。"]


def test_short_openings_get_a_mark_in_front() -> None:
    assert cut("你好，今天天气真好", "cut0") == ["。你好，今天天气真好。"]
    assert cut("Yes, it is late", "cut0", "en") == [".Yes, it is late."]
    assert cut("，你好", "cut0") == ["，你好。"]


def test_marks_in_a_row_are_one() -> None:
    assert cut("真的吗?!!那太好了...", "cut0") == ["。真的吗?那太好了."]


def test_a_long_text_is_parted_at_marks_and_without_any_at_the_limit() -> None:
    clauses = "春眠不觉晓，" * 200
    pieces = cut(clauses, "cut0")
    assert "".join(pieces) == clauses
    assert all(len(piece) <= MAX_CHARS and piece.endswith("，") for piece in pieces)
    assert [len(piece) for piece in cut("花" * 1200, "cut0")] == [510, 510, 181]


def test_an_unknown_method_is_an_error() -> None:
    with pytest.raises(KeyError):
        cut("你好", "cut9")


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("你好天气ab12 .,!?，。！？…—~:;；、\n"), max_size=120),
    method=st.sampled_from(list(METHODS)),
    language=st.sampled_from(["zh", "en"]),
)
def test_no_word_is_lost_and_every_piece_ends_with_a_mark(text: str, method: str, language: str) -> None:
    pieces = cut(text, method, language)
    spoken = [char for char in text if char.isalnum()]
    assert [char for piece in pieces for char in piece if char.isalnum()] == spoken
    assert all(piece[-1] in SENTENCE_MARKS and len(piece) <= MAX_CHARS for piece in pieces)
