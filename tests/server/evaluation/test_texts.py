"""The pinned sets: complete, each text once, and every number also in words."""

from __future__ import annotations

import json
import unicodedata

import pytest

from server.evaluation import texts
from server.evaluation.errors import BadEvaluation
from server.evaluation.intelligibility import num_letters
from server.evaluation.recognition.table import AZURE_LANGUAGES, ROWS

SPOKEN_LANGUAGES = "ar cs de en es fr hi hu it ja ko nl pl pt ru tr yue zh".split()
SCRIPTS = {"ru": "CYRILLIC", "ar": "ARABIC", "hi": "DEVANAGARI", "ko": "HANGUL", "zh": "CJK", "yue": "CJK"}


def test_there_is_a_set_for_every_language_that_the_families_speak():
    assert list(texts.languages()) == SPOKEN_LANGUAGES
    assert set(AZURE_LANGUAGES) == set(SPOKEN_LANGUAGES)
    assert all(set(row.languages) <= set(SPOKEN_LANGUAGES) for row in ROWS.values())


@pytest.mark.parametrize("language", SPOKEN_LANGUAGES)
def test_a_set_has_every_kind_and_says_its_numbers_in_words(language: str):
    found = texts.pinned(language)
    assert found.language == language
    by_kind = {kind: [each for each in found.sentences if each.kind == kind] for kind in texts.KINDS}
    assert min(map(len, by_kind.values())) >= 2
    assert min(len(each.text) for each in by_kind["long"]) > 2 * max(
        len(each.text) for each in by_kind["single"]
    )
    for sentence in found.sentences:
        assert unicodedata.is_normalized("NFC", sentence.text)
        has_digits = any(character.isdigit() for character in sentence.text)
        assert has_digits == (sentence.kind == "numbers") == (sentence.spoken is not None), sentence.text
        assert not any(character.isdigit() for character in sentence.references[0])
        assert num_letters(sentence.references[0], language) > 0
        if script := SCRIPTS.get(language):
            assert any(script in unicodedata.name(character, "") for character in sentence.text)


def test_a_set_is_known_by_what_it_says():
    again = texts.from_json(json.loads(json.dumps(texts.to_json(texts.pinned("de")))))
    assert again == texts.pinned("de")
    assert again.digest == texts.pinned("de").digest
    assert texts.lines("en", "One.").digest != texts.lines("en", "One!").digest
    assert texts.lines("en", "One.").digest != texts.lines("de", "One.").digest


def test_lines_are_texts_but_for_comments_and_empty_ones():
    found = texts.lines("en", "# mine\n\nFirst.\n  Second. \n")
    assert [(each.id, each.text) for each in found.sentences] == [
        ("given-1", "First."),
        ("given-2", "Second."),
    ]


@pytest.mark.parametrize(
    ("sentences", "told"),
    [
        pytest.param({}, "found 0 texts", id="none"),
        pytest.param({"short": ["Hi."] * 2}, "twice", id="repeated"),
        pytest.param({"short": ["..."]}, "expected words", id="no-words"),
        pytest.param({"short": ["x" * 1001]}, "1001 characters", id="too-long"),
        pytest.param({"short": [{"spoken": "one"}]}, "expected `text`", id="without-text"),
        pytest.param({"short": [f"number {n}" for n in range(201)]}, "found 201 texts", id="too-many"),
    ],
)
def test_what_is_no_set_of_texts_is_refused(sentences: dict[str, list[str]], told: str):
    with pytest.raises(BadEvaluation, match=told):
        texts.text_set("en", sentences)


def test_a_language_without_texts_is_refused_by_name():
    with pytest.raises(BadEvaluation, match=r"'tlh'.*expected one that has texts"):
        texts.pinned("tlh")
