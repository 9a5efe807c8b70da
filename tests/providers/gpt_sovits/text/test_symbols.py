from __future__ import annotations

import json
from pathlib import Path

import pytest

from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.symbols import PUNCTUATION, TableName, symbol_table


@pytest.mark.parametrize(("name", "key"), [("v1", "symbols"), ("v2", "symbols2")])
def test_ids_are_those_of_the_published_tables(
    name: TableName, key: str, gpt_sovits_golden_folder: Path
) -> None:
    published = json.loads((gpt_sovits_golden_folder / "symbols.json").read_text())[key]
    table = symbol_table(name)
    assert list(table.symbols) == published
    assert table.ids(published) == tuple(range(len(published)))


def test_the_second_table_keeps_the_ids_of_the_first() -> None:
    first, second = symbol_table("v1"), symbol_table("v2")
    assert second.symbols[: len(first)] == first.symbols
    assert (len(first), len(second)) == (322, 732)


def test_phones_that_a_table_lacks_are_unknown_to_it() -> None:
    assert symbol_table("v1").known(["zh", "[", "ㄱ"]) == ("zh", "UNK", "UNK")
    assert symbol_table("v2").known(["zh", "[", "ㄱ"]) == ("zh", "[", "ㄱ")
    with pytest.raises(KeyError):
        symbol_table("v1").ids(["["])


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_every_table_has_every_mark(name: TableName) -> None:
    assert all(mark in symbol_table(name) for mark in PUNCTUATION)


@pytest.mark.parametrize("word2ph", [(2,), (2, 2, 1), (2, 0)])
def test_counts_that_do_not_fit_the_phones_are_refused(word2ph: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="word2ph"):
        Phones("你,", ("n", "i3", ","), word2ph)
