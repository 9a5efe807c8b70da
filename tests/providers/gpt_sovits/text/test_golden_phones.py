"""Against the published front end: English, Japanese, Korean and mixed texts, phone by phone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models_store.checkpoints.gpt_sovits_variants import SYMBOLS
from providers.gpt_sovits.text import PhoneReader, cantonese, chinese, english, japanese, korean
from providers.gpt_sovits.text.languages import resolve
from providers.gpt_sovits.text.symbols import SymbolTable, symbol_table

_FOLDER = Path(__file__).parents[3] / "golden" / "gpt_sovits"
_GOLDEN: dict[str, Any] = json.loads((_FOLDER / "frontend.json").read_text(encoding="utf-8"))
_META: dict[str, Any] = json.loads((_FOLDER / "expected_meta.json").read_text(encoding="utf-8"))
_LANGUAGES = {"en": english, "ja": japanese, "ko": korean}
_TABLES = ("v1", "v2")

# Word → the published phones, which are wrong, and ours.
_WORDS_THAT_DIFFER = {
    # The published dictionary has no thirty-four, so its network guesses, and says "thirtifrur".
    "thirty-four": ("TH ER1 T AY0 F R UH0 R", "TH ER1 D IY2 F AO1 R"),
}


def _params(items: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(item, id=f"{item['version']}-{item['lang']}-{i}") for i, item in enumerate(items)]


_ITEMS = [item for item in _GOLDEN["items"] if item["lang"] in _LANGUAGES]


def test_every_language_and_table_has_golden_texts() -> None:
    kinds = {(item["version"], item["lang"]) for item in _ITEMS}
    assert kinds == {("v1", "en"), ("v1", "ja"), ("v2", "en"), ("v2", "ja"), ("v2", "ko")}
    assert len(_ITEMS) == 26


@pytest.mark.parametrize("item", _params(_ITEMS))
def test_phones_equal_the_published_ones(item: dict[str, Any]) -> None:
    table = symbol_table(item["version"])
    read = _LANGUAGES[item["lang"]].phones(item["text"], table)
    names, ids = _expected(item, table)
    assert read.text == item["norm_text"]
    assert list(read.names) == names
    assert list(table.ids(read.names)) == ids
    assert read.word2ph is None


@pytest.mark.parametrize("language", [*_LANGUAGES, "zh", "yue"])
def test_share_of_texts_that_differ(language: str, check_golden: Callable[..., None]) -> None:
    """For the table of golden values: the part of this language's texts that is on the list above."""
    items = [item for item in _GOLDEN["items"] if item["lang"] == language]
    read = {**_LANGUAGES, "zh": chinese, "yue": cantonese}[language].phones
    differ = sum(
        list(read(item["text"], symbol_table(item["version"])).names) != item["phones"] for item in items
    )
    listed = sum(any(word in item["norm_text"] for word in _WORDS_THAT_DIFFER) for item in items)
    name = f"phones {language}, share of {len(items)} texts that differ"
    check_golden(name, differ / len(items), 0.0, listed / len(items))


def _expected(item: dict[str, Any], table: SymbolTable) -> tuple[list[str], list[int]]:
    """The published phones, but for words that differ on purpose."""
    names = " ".join(item["phones"])
    for word, (published, ours) in _WORDS_THAT_DIFFER.items():
        if item["lang"] == "en" and word in item["norm_text"]:
            assert published in names, "no difference any more: take it off the list"
            names = names.replace(published, ours)
    if names.split() == item["phones"]:
        return item["phones"], item["phone_ids"]
    return names.split(), list(table.ids(names.split()))


@pytest.mark.parametrize("item", _params(_GOLDEN["mixed"]))
def test_mixed_texts_equal_the_published_ones(item: dict[str, Any]) -> None:
    """Which phones have RoBERTa's features is part of it: those of Chinese characters and their marks."""
    languages = SYMBOLS[item["version"]].languages
    mode = resolve(item["lang"], item["text"], languages)
    prompt = PhoneReader(item["version"], languages).read(item["text"], mode)
    assert list(prompt.ids) == item["phone_ids"]
    assert prompt.text == item["norm_text"]
    with_features = [
        column
        for span in prompt.spans
        for column in range(span.start, span.start + sum(span.ids_per_character))
    ]
    assert with_features == item["bert_nonzero_cols"]


@pytest.mark.parametrize("variant", _META["versions"])
def test_what_the_golden_models_were_given(variant: str) -> None:
    texts = _META["versions"][variant]
    table = "v1" if variant == "v1" else "v2"
    reader = PhoneReader(table, SYMBOLS[table].languages)
    reference = reader.read_reference(texts["prompt"]["text"], texts["prompt"]["lang"])
    assert list(reference.ids) == texts["prompt"]["phone_ids"]
    for text in texts["t2s_texts"]:
        prompt = reader.read(text["text"], text["lang"])
        assert list(prompt.ids) == text["phone_ids"]
        assert prompt.text == text["norm_text"]
