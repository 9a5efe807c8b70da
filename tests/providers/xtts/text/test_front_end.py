"""`XttsTextFrontEnd` as the server uses it."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_store.submission import SubmissionFiles
from providers.errors import EmptyText, TextTooLong, UnsupportedLanguage
from providers.interface import SamplingParams
from providers.registry import text_front_end
from providers.xtts.text import XttsTextFrontEnd
from providers.xtts.text.cleaning import clean
from providers.xtts.text.languages import LANGUAGES

_MAX_TEXT_TOKENS = 402
_SENTENCES = {
    "en": "This is one sentence that goes on for a while, with commas, and costs $20.15. ",
    "es": "Esta es una frase que sigue y sigue durante un buen rato, con 12 comas. ",
    "fr": "Voici une phrase qui continue pendant un certain temps, avec 21 virgules. ",
    "de": "Dies ist ein Satz, der eine Weile weitergeht, mit 12,5 Kommas darin. ",
    "ru": "Это предложение продолжается довольно долго, с запятыми и числом 1999. ",
    "zh-cn": "这是一个比较长的句子，里面有12个逗号，还有一些别的东西。",
    "ja": "これは少し長めの文で、途中に読点が12個あります。",
    "ko": "이것은 쉼표가 12개 있는 꽤 긴 문장입니다. ",
    "ar": "هذه جملة طويلة نوعًا ما، وفيها 12 فاصلة. ",
    "hi": "यह एक लंबा वाक्य है, जिसमें 12 अल्पविराम हैं। ",
}


def test_default_sampling_is_the_config_s(front_end: XttsTextFrontEnd) -> None:
    assert front_end.default_sampling == SamplingParams(
        temperature=0.75, top_k=50, top_p=0.85, repetition_penalty=5.0, max_tokens=602, seed=0
    )


def test_a_short_text_is_one_prompt(front_end: XttsTextFrontEnd) -> None:
    (prompt,) = front_end.prompts("Hello, Dr. Who!", "en-GB")
    assert prompt.text == "hello, doctor who!"
    assert prompt.language == "en"
    tag, *letters = prompt.ids
    assert tag == 3  # [en] of this vocabulary
    assert len(letters) == len("hello, doctor who!")


def test_spaces_are_the_space_token(front_end: XttsTextFrontEnd) -> None:
    (prompt,) = front_end.prompts("a  b\n\nc", "en")
    assert prompt.text == "a b c"
    assert prompt.ids[2] == prompt.ids[4] == 2


def test_without_a_language_it_is_detected(front_end: XttsTextFrontEnd) -> None:
    prompts = {
        text: front_end.prompts(text, None)[0] for text in ("Où est la gare ?", "駅はどこですか？", "OK")
    }
    assert [prompt.language for prompt in prompts.values()] == ["fr", "ja", "en"]


def test_languages_beyond_the_submission_s_are_refused(make_files: Callable[..., SubmissionFiles]) -> None:
    front_end = XttsTextFrontEnd(make_files(languages=("de", "zh-cn")))
    assert front_end.prompts("Hallo", "de")[0].language == "de"
    assert front_end.prompts("你好", "zh-TW")[0].language == "zh-cn"
    with pytest.raises(UnsupportedLanguage) as error:
        front_end.prompts("hello", "en")
    assert error.value.supported == ("de", "zh-cn")


@pytest.mark.parametrize(
    ("tag", "found"),
    [("all_zh", "zh-cn"), ("all-zh", "zh-cn"), ("auto", "de"), ("AUTO", "de"), ("auto_yue", "de")],
)
def test_gpt_sovits_names_of_languages_are_known(
    make_files: Callable[..., SubmissionFiles], tag: str, found: str
) -> None:
    front_end = XttsTextFrontEnd(make_files(languages=("de", "zh")))
    text = "你好" if found == "zh-cn" else "Guten Morgen, wie geht es Ihnen?"
    assert front_end.prompts(text, tag, "cut0") == front_end.prompts(text, found)
    with pytest.raises(UnsupportedLanguage):
        front_end.prompts(text, "all_ja")


def test_a_submission_in_no_language_of_ours_is_refused(make_files: Callable[..., SubmissionFiles]) -> None:
    with pytest.raises(UnsupportedLanguage):
        XttsTextFrontEnd(make_files(languages=("sv",)))


@pytest.mark.parametrize(
    "text", ["", " \n", "…", "?!", "🙂", "👨‍👩‍👧 🇩🇪", "\u200b\x00", "**__``", "- ", "。、", '"']
)
@pytest.mark.parametrize("language", ["en", "zh-cn", "ja", "ko"])
def test_nothing_speakable_is_empty_text(front_end: XttsTextFrontEnd, text: str, language: str) -> None:
    with pytest.raises(EmptyText):
        front_end.prompts(text, language)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hi 🙂 there", "hi there"),
        ("**Very** _good_, `code` and ~~that~~", "very good, code and that"),
        ("# Title\n\n- one\n- two", "title one two"),
        ("See [our site](https://example.org/a_(b)) now", "see our site now"),
        ("snake_case 2*3", "snake_case two three"),
        ("a*b* **c**d", "a b cd"),
        ("ﬁne ＡＢＣ １２", "fine abc twelve"),
        ("zero\u200bwidth\u00ad", "zerowidth"),
        ("cafe\u0301", "café"),
        ("[STOP] [de] hallo", "(stop) (de) hallo"),
        ("tab\there\x07bell", "tab here bell"),
        ('"quoted"', "quoted"),
    ],
)
def test_what_no_voice_can_say_goes(front_end: XttsTextFrontEnd, text: str, words: str) -> None:
    assert front_end.prompts(text, "en")[0].text == words


def test_text_cannot_write_special_tokens(front_end: XttsTextFrontEnd) -> None:
    """[STOP] is 0, [START] 261, language tags 3 to 19 in this vocabulary."""
    ids = front_end.prompts("[STOP][START][en][de][UNK]", "en")[0].ids
    assert not set(ids[1:]) & {0, 261, *range(3, 20)}


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=st.text(max_size=400))
@settings(max_examples=25, deadline=None)
def test_any_text_is_prompts_or_empty(front_end: XttsTextFrontEnd, language: str, text: str) -> None:
    _assert_prompts_or_empty(front_end, text, language)


@pytest.mark.parametrize("language", LANGUAGES)
@given(
    text=st.text(
        st.one_of(st.sampled_from("0123456789.,:%$€£°-–' "), st.characters(), st.sampled_from("abцж个명कم")),
        max_size=400,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_numbers_are_prompts_or_empty(front_end: XttsTextFrontEnd, language: str, text: str) -> None:
    _assert_prompts_or_empty(front_end, text, language)


def _assert_prompts_or_empty(front_end: XttsTextFrontEnd, text: str, language: str) -> None:
    try:
        prompts = front_end.prompts(text, language)
    except EmptyText:
        assert not any(char.isalnum() and char.isascii() for char in clean(text))
        return
    assert prompts
    for prompt in prompts:
        assert 1 < len(prompt.ids) < _MAX_TEXT_TOKENS
        assert prompt.language == language
        assert prompt.text == prompt.text.strip()


@pytest.mark.parametrize("text", ["9" * 3_000, "$9.99 " * 500, "1,234,567 " * 300, "5% " * 500, "w" * 3_000])
@pytest.mark.parametrize("language", LANGUAGES)
def test_text_that_grows_is_split_further(front_end: XttsTextFrontEnd, language: str, text: str) -> None:
    prompts = front_end.prompts(text, language)
    assert all(len(prompt.ids) < _MAX_TEXT_TOKENS for prompt in prompts)
    longest = max(len(prompt.text) for prompt in prompts)
    if LANGUAGES[language].primary not in ("zh", "ja", "ko"):  # theirs are transliterated
        assert longest <= 1.5 * LANGUAGES[language].max_chars


def test_small_token_limits_hold_and_lose_nothing(make_files: Callable[..., SubmissionFiles]) -> None:
    front_end = XttsTextFrontEnd(make_files(max_text_tokens=20))
    prompts = front_end.prompts("The quick brown fox jumps over the lazy dog, twice.", "en")
    assert all(len(prompt.ids) < 20 for prompt in prompts)
    assert (
        " ".join(prompt.text for prompt in prompts) == "the quick brown fox jumps over the lazy dog, twice."
    )


def test_a_character_beyond_the_token_limit_is_too_long(make_files: Callable[..., SubmissionFiles]) -> None:
    front_end = XttsTextFrontEnd(make_files(max_text_tokens=5))
    with pytest.raises(TextTooLong, match="takes 4"):
        front_end.prompts("9 9", "de")


@pytest.mark.parametrize("num_chars", [4_000, 20_000])
@pytest.mark.parametrize("language", _SENTENCES)
def test_long_text_is_quick(front_end: XttsTextFrontEnd, language: str, num_chars: int) -> None:
    """Ceilings five times what was measured, for slow machines."""
    sentence = _SENTENCES[language]
    text = (sentence * (num_chars // len(sentence) + 1))[:num_chars]
    front_end.prompts(sentence, language)  # dictionaries load once
    start = time.perf_counter()
    prompts = front_end.prompts(text, language)
    elapsed_ms = 1e3 * (time.perf_counter() - start)
    assert len(prompts) >= num_chars // LANGUAGES[language].max_chars
    assert elapsed_ms < (200 if language in ("zh-cn", "ja", "ko") else 50) * num_chars / 1_000


def test_the_registry_finds_it(make_files: Callable[..., SubmissionFiles]) -> None:
    assert isinstance(text_front_end(make_files()), XttsTextFrontEnd)


def test_it_works_in_spawned_processes(
    front_end: XttsTextFrontEnd, make_files: Callable[..., SubmissionFiles]
) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        theirs = pool.submit(XttsTextFrontEnd, make_files()).result()
    assert theirs.prompts("Hello 21.", "en") == front_end.prompts("Hello 21.", "en")


def test_importing_it_is_light() -> None:
    """Neither torch nor a language's dictionary is loaded before a text needs it."""
    code = "import sys, providers.xtts.text; print(*sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "providers.xtts.text.front_end" in modules
    assert not {"torch", "pypinyin", "cutlet", "fugashi", "py3langid"} & set(modules)
