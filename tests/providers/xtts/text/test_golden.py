"""Against the published tokenizer: the same words, the same ids, the same splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models_store.submission import SubmissionFiles
from providers.xtts.text import XttsTextFrontEnd
from providers.xtts.text.cleaning import clean
from providers.xtts.text.normalization import spoken, transliterate
from providers.xtts.text.sentences import split

_GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "xtts" / "text_ids.json").read_text()
)
_CASES = [
    pytest.param(language, case, id=f"{language}-{i}")
    for language, cases in _GOLDEN["texts"].items()
    for i, case in enumerate(cases)
    if "error" not in case
]
# What the published normaliser raises on, and what we say.
_SPOKEN_INSTEAD = {
    "To bude 20.15€ pane, 3. den, 14% baterie.": (
        "to bude dvacet eur, patnáct centů pane, třetí den, čtrnáct procent baterie."
    ),
    "50 सैनिक थे, मेरे पास 14% बैटरी है।": "पचास सैनिक थे, मेरे पास चौदह प्रतिशत बैटरी है।",
    "12.5 सेकंड में।": "बारह दशमलव पाँच सेकंड में।",
}
# Splits that differ on purpose, and why.
_SPLITS_THAT_DIFFER = {
    "zh": "our pieces are slices of the text: no spaces between Chinese sentences, and none counted",
}


def _normalise(text: str, language: str) -> str:
    return transliterate(spoken(clean(text), language), language)


def test_every_language_has_golden_texts() -> None:
    assert {param.values[0] for param in _CASES} == set(_GOLDEN["texts"])
    assert len(_GOLDEN["texts"]) == 17


@pytest.mark.parametrize(("language", "case"), _CASES)
def test_words_equal_the_published_ones(language: str, case: dict[str, Any]) -> None:
    assert _normalise(case["text"], language) == case["normalized"]
    assert _normalise(case["input_to_encode"], language) == case["normalized"]


@pytest.fixture(scope="module")
def upstream_front_end(
    make_files: Callable[..., SubmissionFiles], upstream_vocabulary: Path
) -> XttsTextFrontEnd:
    return XttsTextFrontEnd(make_files(vocabulary_file=upstream_vocabulary))


@pytest.mark.parametrize(("language", "case"), _CASES)
def test_ids_equal_the_published_ones(
    upstream_front_end: XttsTextFrontEnd, language: str, case: dict[str, Any]
) -> None:
    (prompt,) = upstream_front_end.prompts(case["text"], language)
    assert list(prompt.ids) == case["ids"]
    assert prompt.text == case["normalized"]
    assert prompt.language == language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        pytest.param(language, case["text"], id=f"{language}-{i}")
        for language, cases in _GOLDEN["texts"].items()
        for i, case in enumerate(cases)
        if "error" in case
    ],
)
def test_what_the_published_normaliser_raises_on_is_spoken(language: str, text: str) -> None:
    assert _normalise(text, language) == _SPOKEN_INSTEAD[text]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case['lang']}-{i}") for i, case in enumerate(_GOLDEN["split_sentence"])]
)
def test_splits_equal_the_published_ones(case: dict[str, Any]) -> None:
    pieces = split(case["text"], case["lang"], case["limit"])
    if case["lang"] in _SPLITS_THAT_DIFFER:
        assert pieces != case["splits"], "no difference any more: take it off the list"
        assert "".join(pieces) == case["text"]
        assert all(piece.endswith(("。", "！", "？")) for piece in pieces)
    else:
        assert pieces == case["splits"]


def test_character_limits_equal_the_published_ones() -> None:
    from providers.xtts.text.languages import LANGUAGES

    assert {language.primary: language.max_chars for language in LANGUAGES.values()} == _GOLDEN["char_limits"]
