"""Splitting: nothing lost, nothing too long, and the best place that fits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencex import segment

from providers.xtts.text.languages import LANGUAGES
from providers.xtts.text.sentences import _segment, split


@given(
    text=st.text(st.sampled_from("abc .,;:!?。，！。？\n\u00a0'\"1-é\u0301क\u093e"), max_size=300),
    max_chars=st.integers(1, 40),
    primary=st.sampled_from([language.primary for language in LANGUAGES.values()]),
)
def test_pieces_fit_and_lose_only_space(text: str, max_chars: int, primary: str) -> None:
    pieces = split(text, primary, max_chars)
    assert all(0 < len(piece) <= max_chars for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_short_text_stays_whole() -> None:
    assert split("  One. Two! Three?  ", "en", 250) == ["One. Two! Three?"]


def test_no_text_is_no_pieces() -> None:
    assert split(" \n ", "en", 250) == []


@pytest.mark.parametrize(
    ("text", "primary", "max_chars", "pieces"),
    [
        pytest.param(
            "Mr. Smith came. He left at 3.30 p.m. today.",
            "en",
            30,
            ["Mr. Smith came.", "He left at 3.30 p.m. today."],
            id="abbreviations end no sentence",
        ),
        pytest.param(
            "First one, second one, third one.",
            "en",
            24,
            ["First one, second one,", "third one."],
            id="clauses",
        ),
        pytest.param("one two three four", "en", 9, ["one two", "three", "four"], id="words"),
        pytest.param("abcdefghij", "en", 4, ["abcd", "efgh", "ij"], id="letters"),
        pytest.param(
            "costs 1,234,567 now", "en", 15, ["costs 1,234,567", "now"], id="no cut at a digit's comma"
        ),
        pytest.param(
            "这是一个测试，今天天气很好。好！",
            "zh",
            8,
            ["这是一个测试，", "今天天气很好。", "好！"],
            id="Chinese",
        ),
        pytest.param(
            "こんにちは世界こんにちは", "ja", 5, ["こんにちは", "世界こんに", "ちは"], id="Japanese"
        ),
        pytest.param("नमस्ते दुनिया। कैसे हो?", "hi", 15, ["नमस्ते दुनिया।", "कैसे हो?"], id="Hindi"),
        pytest.param(
            "مرحبا بالعالم. كيف حالك؟ بخير.", "ar", 16, ["مرحبا بالعالم.", "كيف حالك؟ بخير."], id="Arabic"
        ),
        pytest.param(
            "Ez az 1. teszt itt. Ez a 2. teszt.",
            "hu",
            20,
            ["Ez az 1. teszt itt.", "Ez a 2. teszt."],
            id="an ordinal's dot ends no sentence",
        ),
        pytest.param("a\u0301\u0302b", "en", 2, ["a\u0301", "\u0302b"], id="marks when nothing else fits"),
        pytest.param("xxxका", "hi", 4, ["xxx", "का"], id="a letter keeps its mark"),
    ],
)
def test_splits(text: str, primary: str, max_chars: int, pieces: list[str]) -> None:
    assert split(text, primary, max_chars) == pieces


@pytest.mark.parametrize("primary", ["en", "zh"])
def test_reading_in_blocks_finds_the_same_sentences(primary: str) -> None:
    sentence = "Mr. Smith paid 3.50 to Dr. No. " if primary == "en" else "这是一个测试。"
    words = "word " * 500 if primary == "en" else "字" * 2_500
    text = sentence * 200 + words + sentence * 200
    assert list(_segment(text, primary))[:200] == list(segment(primary, text))[:200]
    assert list(_segment(text, primary))[-199:] == list(segment(primary, text))[-199:]
    assert "".join(_segment(text, primary)) == text


@pytest.mark.parametrize(
    "unit", ["word ", "(", '". ', "a, ", "这。", "x", ". ", "\n", "1. ", "a\u0301" + "\u0301" * 50]
)
def test_time_is_linear_in_the_text(unit: str) -> None:
    """Ten times the text takes at most some thirty times as long, whatever it is made of."""

    def seconds(num_chars: int) -> float:
        text = (unit * num_chars)[:num_chars]
        start = time.perf_counter()
        split(text, "zh" if unit > "一" else "en", 82)
        return time.perf_counter() - start

    seconds(1_000)
    short = min(seconds(2_000) for _ in range(3))
    assert min(seconds(20_000) for _ in range(2)) < 30 * short + 0.05
