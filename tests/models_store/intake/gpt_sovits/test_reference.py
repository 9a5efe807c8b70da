"""config.json of a GPT-SoVITS submission, and the recording that it names."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from models_store.checkpoints.findings import Findings
from models_store.checkpoints.gpt_sovits_reference import detect_language, read_reference
from models_store.intake import check
from models_store.recordings import wav_bytes

TEXT = "The birch canoe slid on the smooth planks."
V1 = ("zh", "en", "ja")
V2 = ("zh", "en", "ja", "ko", "yue")
Speech = Callable[..., bytes]


def read(document: Any, languages: tuple[str, ...] | None = V2) -> tuple[Any, Findings]:
    findings = Findings()
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_reference(data, languages, findings), findings


def config(**changes: Any) -> dict[str, Any]:
    return {"refFile": "a.wav", "refText": TEXT} | changes


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (TEXT, "en"),
        ("今天天气真好，我们一起去公园散步。", "zh"),
        ("今日はいい天気ですね。", "ja"),
        ("カタカナ", "ja"),
        ("オンラインgame、我一个人", "ja"),
        ("오늘 날씨가 정말 좋네요.", "ko"),
        ("我今日好開心，佢哋都嚟咗。", "yue"),
        ("你喺邊度呀？", "yue"),
        ("我用iPhone打电话。", "zh"),
        ("1234.", "en"),
    ],
)
def test_language_is_read_off_the_writing_system(text: str, language: str) -> None:
    assert detect_language(text) == language
    reference, findings = read(config(refText=text))
    assert (reference.language, reference.is_detected, findings.problems) == (language, True, [])


def test_language_is_detected_among_those_of_the_variant() -> None:
    assert detect_language("你喺邊度呀？", V1) == "zh"
    assert detect_language("오늘", V1) == "en"


@pytest.mark.parametrize(
    ("stated", "language"),
    [
        *(("zh", "zh"), ("zh-CN", "zh"), ("ZH_cn", "zh"), ("all_zh", "zh"), ("中文", "zh")),
        *(("en", "en"), ("en-US", "en"), ("English", "en"), (" en ", "en"), ("英文", "en")),
        *(("ja", "ja"), ("jp", "ja"), ("all_ja", "ja"), ("日文", "ja"), ("ko-KR", "ko"), ("韩文", "ko")),
        *(("yue", "yue"), ("zh-HK", "yue"), ("Cantonese", "yue"), ("粤语", "yue"), ("all_yue", "yue")),
    ],
)
def test_languages_of_both_worlds_are_understood(stated: str, language: str) -> None:
    reference, findings = read(config(refLanguage=stated))
    assert (reference.language, reference.is_detected, findings.problems) == (language, False, [])


@pytest.mark.parametrize("stated", ["auto", "auto_yue", "", None])
def test_language_that_is_left_open_is_detected(stated: str | None) -> None:
    reference, findings = read(config(refLanguage=stated))
    assert (reference.language, reference.is_detected, findings.problems) == ("en", True, [])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "a JSON list"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (2 << 20), "more than 1048576 bytes"),
        ({}, "no refFile"),
        ({"refFile": "a.wav"}, "no refText"),
        (config(refFile=""), "refFile = ''"),
        (config(refFile=7), "refFile: a JSON number"),
        (config(refFile=["a.wav"]), "refFile: a JSON list"),
        (config(refFile="../a.wav"), "refFile = '../a.wav'"),
        (config(refFile="/etc/passwd"), "refFile = '/etc/passwd'"),
        (config(refFile="C:\\voices\\a.wav"), "refFile = 'C:"),
        (config(refFile="sub/a.wav"), "refFile = 'sub/a.wav'"),
        (config(refFile=".."), "refFile = '..'"),
        (config(refFile="a\0.wav"), "refFile = 'a\\x00.wav'"),
        (config(refFile="a" * 300), "refFile = 'aaa"),
        (config(refText=""), "refText = ''"),
        (config(refText=" …、。_!"), "refText = "),
        (config(refText=None), "refText: a JSON null"),
        (config(refText="word " * 200), "a refText of 999 characters"),
        (config(refLanguage="fr"), "refLanguage = 'fr'"),
        (config(refLanguage="zz" * 100), "refLanguage = 'zzz"),
        (config(refLanguage=["en"]), "refLanguage = a JSON list of 1"),
        (config(refFile="a\x1b[2J.wav"), "refFile = 'a\\x1b[2J.wav'"),
        (b'{"refFile": "\\ud800.wav", "refText": "Words."}', "refFile = '\\ud800.wav'"),
    ],
)
def test_bad_config_is_refused_in_words(document: Any, words: str) -> None:
    reference, findings = read(document)
    assert any(words in problem.found for problem in findings.problems)
    assert reference is None or isinstance(reference.language, str)
    for problem in findings.problems:
        assert (problem.code, problem.file) == ("BadConfig", "config.json")
        assert str(problem).isprintable()


def test_language_the_variant_does_not_speak_is_refused_with_those_it_does() -> None:
    _, findings = read(config(refLanguage="ko"), V1)
    (problem,) = findings.problems
    assert problem.expected == "one of zh, en, ja"


def test_text_is_kept_as_one_line_of_the_words() -> None:
    reference, _ = read(config(refText="  Two\nlines,\tand  spaces. "))
    assert reference.transcript == "Two lines, and spaces."


def test_text_is_kept_without_what_does_not_print() -> None:
    reference, findings = read(b'{"refFile": "a.wav", "refText": "\\u202eWo\\u001b[rds\\ud800."}')
    assert (reference.transcript, findings.problems) == ("Wo[rds.", [])


def test_markdown_and_byte_order_mark_around_the_object_are_read() -> None:
    fenced = b"\xef\xbb\xbf```json\n" + json.dumps(config()).encode() + b"\n```\n"
    reference, findings = read(fenced)
    assert reference.file == "a.wav"
    assert [warning.found for warning in findings.warnings] == ["JSON inside a Markdown code fence"]


def test_unknown_keys_are_warned_about() -> None:
    _, findings = read(config(refLang="en"))
    (warning,) = findings.warnings
    assert "refLang" in warning.found


# The recording. Only these go through the whole intake.


def found(folder: Path) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.file, problem.found) for problem in check(folder).problems]


def test_recording_of_three_to_ten_seconds_is_taken(
    make_submission: Callable[..., Path], speech: Speech
) -> None:
    for i, seconds in enumerate((3.0, 10.0)):
        report = check(make_submission(name=str(i), audio=speech(seconds)))
        assert (report.problems, report.facts["reference"]) == ((), f"{seconds:.1f} s")


@pytest.mark.parametrize(
    ("seconds", "found_s", "expected"),
    [(2.9, "2.90 s of audio", "at least 3 s"), (10.1, "10.10 s of audio", "at most 10 s")],
)
def test_recording_of_another_length_is_refused_with_its_length(
    seconds: float, found_s: str, expected: str, make_submission: Callable[..., Path], speech: Speech
) -> None:
    (problem,) = check(make_submission(audio=speech(seconds))).problems
    assert (problem.code, problem.file) == ("BadReference", "reference.wav")
    assert (problem.found, problem.expected) == (found_s, expected)
    assert "3 to 10 s" in problem.remedy


def test_silent_or_unreadable_recording_is_refused(make_submission: Callable[..., Path]) -> None:
    silence = wav_bytes(np.zeros(160_000, np.float32), 32_000)
    ((code, file, words),) = found(make_submission(name="silent", audio=silence))
    assert (code, file) == ("BadReference", "reference.wav")
    assert "silence" in words
    ((code, _, _),) = found(make_submission(name="text", audio=b"not a recording"))
    assert code == "BadReference"


def test_checkpoint_named_as_the_recording_is_no_recording(make_submission: Callable[..., Path]) -> None:
    folder = make_submission(config=config(refFile="gpt.ckpt"))
    assert [problem[:2] for problem in found(folder)] == [("BadReference", "gpt.ckpt")]


def test_missing_recording_is_called_by_the_name_that_config_gives(
    make_submission: Callable[..., Path], speech: Speech
) -> None:
    folder = make_submission(config=config(refFile="Voice 01.wav"), audio=speech(4))
    (problem,) = check(folder).problems
    assert (problem.code, problem.file) == ("MissingFile", "Voice 01.wav")
    assert problem.remedy == "Rename 'reference.wav' to Voice 01.wav."


def test_recording_of_any_name_and_format_is_found(
    make_submission: Callable[..., Path], tmp_path: Path
) -> None:
    name = "がぎぐ 각.flac"
    folder = make_submission(config=config(refFile=unicodedata.normalize("NFC", name)))
    times = np.arange(4 * 24_000) / 24_000
    path = folder / unicodedata.normalize("NFD", name)
    soundfile.write(path, 0.3 * np.sin(300 * times), 24_000, format="FLAC")
    report = check(folder)
    assert report.problems == ()
    assert [warning.found for warning in report.warnings] == ["audio in another format"]


def test_broken_config_is_the_only_problem_of_a_sound_folder(
    make_submission: Callable[..., Path], speech: Speech
) -> None:
    report = check(make_submission(config=b"{", audio=speech(4)))
    assert [(problem.code, problem.file) for problem in report.problems] == [("BadConfig", "config.json")]
    assert report.warnings == ()
