"""What the measurements of engines are made of, without an engine."""

from __future__ import annotations

import pytest

from benchmarks.engine_steps import spans, table


@pytest.mark.parametrize("num_tokens", [1, 8, 13, 100, 501])
@pytest.mark.parametrize("first_chunk_tokens", [1, 13])
def test_spans_cover_all_tokens_once_and_the_first_can_be_heard(num_tokens: int, first_chunk_tokens: int):
    cut = list(spans(num_tokens, first_chunk_tokens))
    assert [start for start, _ in cut] == [0, *(stop for _, stop in cut)][: len(cut)]
    assert cut[-1][1] == num_tokens
    assert cut[0][1] >= min(first_chunk_tokens, num_tokens)


def test_the_table_has_a_column_per_engine_and_a_row_per_figure_that_any_has():
    ours = {"engine": "voicecore", "variant": "v2", "dtype": "float32"}
    records = [{**ours, "rtf": 0.5}, {**ours, "rtf": 0.7}, {**ours, "rtf": 0.9}]
    theirs = {"engine": "published", "dtype": "float32", "load_s": 2.0}
    made = table([*records, theirs])
    assert [column.header for column in made.columns] == ["", "voicecore v2 float32", "published float32"]
    cells = [list(column.cells) for column in made.columns]
    assert cells == [["load, s", "one request, RTF"], ["–", "0.7"], ["2", "–"]]
