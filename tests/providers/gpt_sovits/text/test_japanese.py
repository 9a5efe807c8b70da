"""Japanese: what Open JTalk is given, and the pitch marks that its labels make."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpt_sovits.text import japanese
from providers.gpt_sovits.text.symbols import symbol_table


def _phones(text: str, table: str = "v2") -> str:
    return " ".join(japanese.phones(text, symbol_table("v1" if table == "v1" else "v2")).names)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("箸", "h a ] sh i"),  # falls behind the first mora
        ("橋", "h a [ sh i"),  # rises; the fall would come after the word
        ("端を", "h a [ sh i o"),
        ("学校だ。", "g a [ cl k o o d a ."),
        ("好きです", "s u [ k i ] d e s u"),  # devoiced vowels are small letters
    ],
)
def test_pitch_is_marked_where_it_changes(text: str, phones: str) -> None:
    assert _phones(text) == phones


def test_the_first_table_has_no_pitch_marks() -> None:
    assert _phones("箸", "v1") == "h a UNK sh i"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("１００％", "100%"),
        ("1,234,567円", "1234567円"),
        ("3.5度", "3点5度"),
        ("12:30に", "12時30分に"),
        ("9:00から", "9時から"),
        ("$5.50", "5点50ドル"),
        ("¥1,000", "1000円"),
        ("100%", "100パーセント"),
        ("-5℃", "マイナス5度"),
    ],
)
def test_signs_sound_like_the_words_for_them(written: str, said: str) -> None:
    assert _phones(written) == _phones(said)
    assert _phones(written)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("あ!?…", "a !"),  # of marks in a row, the first
        ("あ！？", "a ! ?"),  # as published, not of full-width ones
        ("あ、い。", "a , i ."),
        ("あ い", "a i"),
        ("「あ」", "UNK a UNK"),
        ("ー", ""),
        ("", ""),
    ],
)
def test_marks(text: str, phones: str) -> None:
    assert _phones(text) == phones


@given(text=st.text(st.one_of(st.characters(), st.sampled_from("あアー々っンゃ漢字0０。、")), max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_known_phones(text: str) -> None:
    for name in ("v1", "v2"):
        table = symbol_table(name)
        phones = japanese.phones(text, table)
        assert set(phones.names) <= set(table.symbols)
