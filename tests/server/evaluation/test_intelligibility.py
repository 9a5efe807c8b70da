"""Errors of what was heard against what was to be said, and where the text ends in it."""

from __future__ import annotations

import pytest

from server.evaluation.intelligibility import compare, words_of
from server.evaluation.recognition.transcript import Transcript, Word


def cer(text: str, heard: str, language: str = "en") -> float:
    return compare((text,), Transcript(heard), language).cer


def test_case_punctuation_and_spaces_are_no_errors():
    assert cer("Good morning, how are you?", "good mor ning how are YOU") == 0
    assert cer("It's half-past nine.", "its half past nine") == 0


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        pytest.param("the cat sat", 0, id="right"),
        pytest.param("the bat sat", 1 / 9, id="one-letter"),
        pytest.param("", 1, id="nothing"),
        pytest.param("the cat sat sat", 3 / 9, id="repeated"),
    ],
)
def test_errors_are_edits_per_letter(heard: str, expected: float):
    assert cer("The cat sat.", heard) == pytest.approx(expected)


def test_words_are_counted_where_there_are_spaces():
    assert compare(("the cat sat",), Transcript("the bat sat down"), "en").wer == pytest.approx(2 / 3)
    chinese = compare(("水已经开了。",), Transcript("水已经关了"), "zh")
    assert chinese.wer is None
    assert chinese.cer == pytest.approx(1 / 5)


def test_the_nearest_reference_counts():
    references = ("it costs forty two dollars", "It costs 42 dollars.")
    assert compare(references, Transcript("it costs 42 dollars"), "en").cer == 0
    assert compare(references, Transcript("it costs forty two dollars"), "en").cer == 0


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        pytest.param("İstanbul IŞIK", "tr", ["istanbul", "ışık"], id="turkish-i"),
        pytest.param("قَالَ نَعَم", "ar", ["قال", "نعم"], id="arabic-vowels"),
        pytest.param("ｆｕｌｌ　ｗｉｄｔｈ", "en", ["full", "width"], id="full-width"),
        pytest.param("水、火。", "ja", ["水", "火"], id="japanese"),
        pytest.param("Straße", "de", ["strasse"], id="german"),
        pytest.param("नमस्ते!", "hi", ["नमस्ते"], id="hindi-marks-stay"),
    ],
)
def test_languages_have_their_own_letters(text: str, language: str, words: list[str]):
    assert words_of(text, language) == words


def timed(text: str) -> Transcript:
    """Half a second per word."""
    words = text.split()
    return Transcript(text, tuple(Word(word, i / 2, (i + 1) / 2) for i, word in enumerate(words)))


@pytest.mark.parametrize(
    ("heard", "stop_s", "after"),
    [
        pytest.param("the cat sat", 1.5, 0, id="nothing-after"),
        pytest.param("the cat sat and then more", 1.5, 11 / 20, id="babble"),
        pytest.param("the cat sad", 1.5, 0, id="mistaken-last-word"),
        pytest.param("cat sat", 1.0, 0, id="lost-first-word"),
        pytest.param("the cat", 1.0, 0, id="lost-last-word"),
        pytest.param("um the cat sat", 2.0, 0, id="more-before"),
    ],
)
def test_what_comes_after_the_text_is_told_from_it(heard: str, stop_s: float, after: float):
    found = compare(("The cat sat.",), timed(heard), "en")
    assert found.text_stop_s == stop_s
    assert found.tail_letters == pytest.approx(after)


def test_without_times_the_end_is_unknown_but_its_share_is_not():
    found = compare(("The cat sat.",), Transcript("the cat sat on a mat"), "en")
    assert found.text_stop_s is None
    assert found.tail_letters == pytest.approx(6 / 15)


def test_a_reference_without_letters_is_a_mistake():
    with pytest.raises(ValueError, match="expected letters"):
        compare(("...",), Transcript("hm"), "en")
