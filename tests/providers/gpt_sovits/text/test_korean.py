"""Korean: numbers, foreign letters, and the rules of pronunciation that show in the letters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpt_sovits.text import korean
from providers.gpt_sovits.text.symbols import symbol_table

_V2 = symbol_table("v2")


def _phones(text: str) -> str:
    return "".join(korean.phones(text, _V2).names)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("3시", "세시"),
        ("사과 2개", "사과 두개"),
        ("2024년", "이천이십사년"),
        ("1,234원", "천이백삼십사원"),
        ("3.14", "삼점일사"),
        ("50%", "오십퍼센트"),
        ("$20", "이십달러"),
        ("12:30에", "열두시 삼십분에"),
        ("20℃", "이십도"),
        ("GPT", "지피티"),
    ],
)
def test_numbers_and_letters_sound_like_the_words_for_them(written: str, said: str) -> None:
    assert _phones(written) == _phones(said)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("닭", "ㄷㅏㄱ."),  # a stop closes what ends with a letter
        ("같이!", "ㄱㅏㅊㅣ!"),
        ("왜?", "ㅇㅗㅐ?"),
        ("먹을 라면을", "ㅁㅓㄱㅡㄹ空ㄹㅏㅁㅣㅓㄴㅡㄹ."),
        ("을 라면", "ㅇㅡㄹ空ㄴㅏㅁㅣㅓㄴ."),  # after 을, ㄹ is said ㄴ
        ("아、나。", "ㅇㅏ,ㄴㅏ."),
        ("ß漢", "停停"),
        ("", ""),
    ],
)
def test_letters_as_pronounced(text: str, phones: str) -> None:
    assert _phones(text) == phones


def test_the_text_stays_as_written() -> None:
    assert korean.phones("3시 GPT", _V2).text == "3시 GPT"


@given(
    text=st.text(
        st.one_of(st.characters(codec="utf-8"), st.sampled_from("가각갂힣ㅎㅏ을를라 0123.,")), max_size=40
    )
)
@settings(max_examples=60, deadline=None)
def test_any_text_is_known_phones(text: str) -> None:
    assert set(korean.phones(text, _V2).names) <= set(_V2.symbols)
