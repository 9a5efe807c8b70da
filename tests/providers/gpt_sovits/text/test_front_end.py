"""From a request's text to its prompts: languages by any name, cuts, limits, references."""

from __future__ import annotations

import dataclasses
import multiprocessing
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture, GptSovitsConfig
from models_store.checkpoints.gpt_sovits_variants import SYMBOLS
from models_store.submission import Blob, Submission, SubmissionFiles, Voice
from providers.errors import EmptyText, TextTooLong, UnsupportedLanguage, UnusableVoice
from providers.gpt_sovits.limits import MAX_REFERENCE_PHONES, MAX_TEXT_PHONES
from providers.gpt_sovits.text import GptSovitsTextFrontEnd, PhoneReader, front_end, phone_reader, reading
from providers.gpt_sovits.text.languages import resolve
from providers.gpt_sovits.text.symbols import symbol_table
from providers.interface import Prompt

_V2 = SYMBOLS["v2"].languages
_SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog, twice. ",
    "zh": "今天天气真好，我们一起去公园散步。",
    "ja": "今日はいい天気ですね、散歩しましょう。",
    "ko": "오늘은 날씨가 정말 좋네요, 산책합시다. ",
    "yue": "今日天氣好好，我哋一齊去公園行下啦。",
}


def _filled(kind: Any, **known: Any) -> Any:
    """A value of the type with ones in it: the shape of a model plays no part in text."""
    if not dataclasses.is_dataclass(kind):
        return {int: 1, str: "", float: 1.0}.get(kind, None if "None" in str(kind) else ())
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: known.get(name, _filled(hints[name])) for name in names})


def _config(table: str = "v2", max_audio_s: float = 54.0) -> GptSovitsConfig:
    architecture = _filled(GptSovitsArchitecture, variant=table, symbols=table, token_rate_hz=25)
    return GptSovitsConfig(architecture, SYMBOLS[table].languages, max_audio_s)


@pytest.fixture(scope="module")
def make_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SubmissionFiles]:
    def make(base_models: Mapping[str, Path] | None = None, **config: Any) -> SubmissionFiles:
        path = tmp_path_factory.mktemp("submission") / "config"
        path.write_bytes(msgspec.json.encode(_config(**config)))
        submission = Submission(
            family="gpt_sovits",
            variant="v2",
            languages=_V2,
            blobs={"config": Blob("sha256:" + "0" * 64, 1)},
            voice=Voice(recordings=(), duration_s=5.0),
            submitted_at="2024-01-01T00:00:00Z",
        )
        return SubmissionFiles(
            submission=submission, paths={"config": path}, recordings=(), base_models=base_models or {}
        )

    return make


@pytest.fixture(scope="module")
def v2(make_files: Callable[..., SubmissionFiles]) -> GptSovitsTextFrontEnd:
    return GptSovitsTextFrontEnd(make_files())


@pytest.fixture(scope="module")
def v1(make_files: Callable[..., SubmissionFiles]) -> GptSovitsTextFrontEnd:
    return GptSovitsTextFrontEnd(make_files(table="v1"))


@pytest.mark.parametrize(
    ("tag", "mode"),
    [
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("ZH_hans", "zh"),
        ("cmn", "zh"),
        ("all_zh", "zh"),
        ("zh-HK", "yue"),
        ("yue-Hant", "yue"),
        ("all_yue", "yue"),
        ("en-US", "en"),
        ("English", "en"),
        ("jp", "ja"),
        (" ja ", "ja"),
        ("all_ja", "ja"),
        ("ko-KR", "ko"),
        ("auto", "auto"),
        ("AUTO_YUE", "auto_yue"),
    ],
)
def test_languages_go_by_the_names_of_both_worlds(tag: str, mode: str) -> None:
    assert resolve(tag, "", _V2) == mode


@pytest.mark.parametrize("tag", ["de", "zz", "", "all_de", "autos", "🙂"])
def test_unknown_languages_are_refused(v2: GptSovitsTextFrontEnd, tag: str) -> None:
    with pytest.raises(UnsupportedLanguage, match="auto"):
        v2.prompts("Hello.", tag)


def test_the_first_table_has_no_korean_and_no_cantonese(v1: GptSovitsTextFrontEnd) -> None:
    for language, text in (
        ("ko", "안녕"),
        ("yue", "你好"),
        ("auto", "Hello 안녕하세요"),
        ("auto_yue", "你好"),
    ):
        with pytest.raises(UnsupportedLanguage, match="zh, en, ja"):
            v1.prompts(text, language)


@pytest.mark.parametrize("language", _SENTENCES)
def test_a_text_shows_its_language(v2: GptSovitsTextFrontEnd, language: str) -> None:
    """Without one in the request, what is said is what is said with the right one."""
    text = _SENTENCES[language]
    detected, told = v2.prompts(text, None), v2.prompts(text, language)
    assert [prompt.ids for prompt in detected] == [prompt.ids for prompt in told]
    assert {prompt.language for prompt in (*detected, *told)} == {language}


def test_a_text_is_cut_at_its_marks_and_by_other_methods(v2: GptSovitsTextFrontEnd) -> None:
    text = "Hello there. This is 3.5 times better, I think."
    assert [prompt.text.strip() for prompt in v2.prompts(text, "en")] == [
        "Hello there.",
        "This is three point five times better,",
        "I think.",
    ]
    assert len(v2.prompts(text, "en", "cut0")) == 1
    with pytest.raises(KeyError):
        v2.prompts(text, "en", "cut9")


def test_short_texts_are_given_a_mark_in_front(v2: GptSovitsTextFrontEnd) -> None:
    """Once by their letters (fewer than four), once more by their phones (fewer than six)."""
    (hi,) = v2.prompts("Hi", "en")
    assert _names(hi) == ". HH AY1 ." or _names(hi) == ". . HH AY1 ."
    assert len(hi.ids) >= 4
    (sea,) = v2.prompts("Oceans", "en")
    assert _names(sea) == "OW1 SH AH0 N Z ."


def test_chinese_characters_are_marked_for_their_features(v2: GptSovitsTextFrontEnd) -> None:
    (prompt,) = v2.prompts("我们用Python写程序。", "zh")
    first, second = prompt.spans
    assert (first.start, first.characters, first.ids_per_character) == (0, "我们用", (2, 2, 2))
    assert second.characters == "写程序."
    assert second.ids_per_character == (2, 2, 2, 1)
    assert second.start + sum(second.ids_per_character) == len(prompt.ids)
    for text, language in (("我哋用Python。", "yue"), ("今日は天気がいい。", "ja"), ("Hello there.", "en")):
        assert v2.prompts(text, language)[0].spans == ()


def test_prompts_of_the_first_table_have_its_ids(v1: GptSovitsTextFrontEnd) -> None:
    for language in ("zh", "en", "ja"):
        (prompt, *_) = v1.prompts(_SENTENCES[language], language)
        assert max(prompt.ids) < len(symbol_table("v1"))


@pytest.mark.parametrize("text", ["", " \n", "…", "?!", "🙂", "\u200b\x00", "。、", '"', "- ", "***"])
@pytest.mark.parametrize("language", [None, "en", "zh", "ja", "ko", "yue"])
def test_nothing_speakable_is_empty_text(v2: GptSovitsTextFrontEnd, text: str, language: str | None) -> None:
    with pytest.raises(EmptyText):
        v2.prompts(text, language)


@pytest.mark.parametrize("language", _SENTENCES)
def test_what_has_too_many_phones_is_split_where_it_pauses(v2: GptSovitsTextFrontEnd, language: str) -> None:
    """Uncut, these are 40 sentences in one utterance."""
    whole = v2.prompts(_SENTENCES[language], language, "cut0")[0]
    prompts = v2.prompts(40 * _SENTENCES[language], language, "cut0")
    assert all(len(prompt.ids) <= MAX_TEXT_PHONES for prompt in prompts)
    assert len(prompts) >= 40 * len(whole.ids) / MAX_TEXT_PHONES * 0.9
    stops = {symbol_table("v2").symbols.index(mark) for mark in (",", ".", "空")}
    assert all(prompt.ids[-1] in stops for prompt in prompts)
    said = sum(len(prompt.ids) for prompt in prompts)
    assert said == pytest.approx(40 * len(whole.ids), rel=0.12)  # marks between parts


@pytest.mark.parametrize(
    ("text", "language"), [("9" * 3_000, "en"), ("w" * 3_000, "en"), ("字" * 3_000, "zh")]
)
def test_runs_without_a_pause_are_split_all_the_same(
    v2: GptSovitsTextFrontEnd, text: str, language: str
) -> None:
    prompts = v2.prompts(text, language)
    assert all(len(prompt.ids) <= MAX_TEXT_PHONES for prompt in prompts)
    assert sum(len(prompt.ids) for prompt in prompts) > 5_000


def test_a_character_beyond_the_limit_is_too_long(
    v2: GptSovitsTextFrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end, "MAX_TEXT_PHONES", 5)
    with pytest.raises(TextTooLong, match="takes 5"):
        v2.prompts("w w", "en")


def test_default_sampling_is_the_published_one(make_files: Callable[..., SubmissionFiles]) -> None:
    sampling = GptSovitsTextFrontEnd(make_files()).default_sampling
    assert (sampling.top_k, sampling.top_p, sampling.temperature) == (15, 1.0, 1.0)
    assert sampling.repetition_penalty == 1.35
    assert sampling.max_tokens == 54 * 25
    assert GptSovitsTextFrontEnd(make_files(max_audio_s=600.0)).default_sampling.max_tokens == 1500


@pytest.mark.parametrize(
    ("text", "clean", "language"),
    [
        ("Hi 🙂 there\ufe0f, zero\u200bwidth\ud800 caf\u0065\u0301", "Hi there, zerowidth café", "en"),
        ("今日は🙂いい\u3000天気ですね", "今日はいい 天気ですね", "ja"),
        ("\u110b\u1161\u11ab녕\u00a0하세요\x07", "안녕 하세요", "ko"),
        ("25℃です", "25度です", "ja"),
    ],
)
def test_what_no_voice_can_say_goes(v2: GptSovitsTextFrontEnd, text: str, clean: str, language: str) -> None:
    assert [prompt.ids for prompt in v2.prompts(text, language)] == [
        prompt.ids for prompt in v2.prompts(clean, language)
    ]


def test_references_are_read_whole_and_closed() -> None:
    reader = PhoneReader("v2", _V2)
    said = "The birch canoe slid on the smooth planks,\nand the sun was  warm"
    reference = reader.read_reference(said, "en")
    assert reference.text == "The birch canoe slid on the smooth planks, and the sun was warm."
    assert reader.read_reference(said, None).ids == reference.ids
    assert _names(reader.read_reference("今天天气真好", "zh-CN")).endswith("h ao3 .")


@pytest.mark.parametrize(
    ("transcript", "language", "message"),
    [
        ("", "en", "without words"),
        ("...", None, "without words"),
        ("Guten Tag.", "de", "'de'"),
        ("word " * MAX_REFERENCE_PHONES, "en", f"at most {MAX_REFERENCE_PHONES}"),
    ],
)
def test_transcripts_that_no_reference_has(transcript: str, language: str | None, message: str) -> None:
    with pytest.raises(UnusableVoice, match=message):
        PhoneReader("v2", _V2).read_reference(transcript, language)


def test_g2pw_reads_where_it_is_there_and_the_model_was_trained_with_it(
    make_files: Callable[..., SubmissionFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def load(folder: Path, tokenizer: Path) -> Callable[[str], list[str]]:
        assert (folder, tokenizer) == (Path("g2pw"), Path("roberta/tokenizer.json"))

        def readings(sentence: str) -> list[str]:
            asked.append(sentence)
            return ["hao4" if char == "好" else char for char in sentence]

        return readings

    monkeypatch.setattr(reading, "_g2pw", load)
    folders = {"g2pw": Path("g2pw"), "roberta": Path("roberta")}
    for base_models, table, phones in (
        (folders, "v2", "h ao4"),
        ({"g2pw": Path("g2pw")}, "v2", "h ao3"),
        (folders, "v1", "h ao3"),
    ):
        files = make_files(base_models, table=table)
        prompt = phone_reader(_config(table), files).read("好", "zh")
        assert phones in _names(prompt)
    assert asked == ["好", ".", "好"]  # once more with a stop in front, for more phones


@given(
    text=st.text(
        st.one_of(st.characters(), st.sampled_from("aZ 字好あア안녕09.,，。？!…-'\n$%")), max_size=120
    ),
    language=st.sampled_from((None, "auto_yue", *_V2)),
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_prompts_or_empty(v2: GptSovitsTextFrontEnd, text: str, language: str | None) -> None:
    try:
        prompts = v2.prompts(text, language)
    except EmptyText:
        return
    table = symbol_table("v2")
    for prompt in prompts:
        assert 1 < len(prompt.ids) <= MAX_TEXT_PHONES
        assert all(0 <= phone < len(table) for phone in prompt.ids)
        for span in prompt.spans:
            assert len(span.characters) == len(span.ids_per_character)
            assert span.start + sum(span.ids_per_character) <= len(prompt.ids)


@pytest.mark.parametrize("language", _SENTENCES)
def test_long_text_is_quick(v2: GptSovitsTextFrontEnd, language: str) -> None:
    """Ceilings several times what was measured, for slow machines; counted in this process's own time."""
    sentence = _SENTENCES[language]
    v2.prompts(sentence, language)  # dictionaries load once
    text = (sentence * (4_000 // len(sentence) + 1))[:4_000]
    start = time.process_time()
    prompts = v2.prompts(text, language)
    elapsed_ms = 1e3 * (time.process_time() - start)
    assert len(prompts) >= 4_000 // len(sentence)
    assert elapsed_ms < 4 * 250


def test_it_works_in_spawned_processes(
    v2: GptSovitsTextFrontEnd, make_files: Callable[..., SubmissionFiles]
) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        theirs = pool.submit(GptSovitsTextFrontEnd, make_files()).result()
    assert theirs.prompts("Hello 21.", "en") == v2.prompts("Hello 21.", "en")


def test_importing_it_is_light() -> None:
    """Neither torch nor a language's dictionary is loaded before a text needs it."""
    code = "import sys, providers.gpt_sovits.text; print(*sorted(sys.modules))"
    modules = set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )
    assert "providers.gpt_sovits.text.front_end" in modules
    heavy = {
        "torch",
        "pypinyin",
        "rjieba",
        "opencc",
        "ToJyutping",
        "pyopenjtalk",
        "ko_speech_tools",
        "onnxruntime",
    }
    assert not heavy & modules


def _names(prompt: Prompt) -> str:
    return " ".join(symbol_table("v2").symbols[phone] for phone in prompt.ids)
