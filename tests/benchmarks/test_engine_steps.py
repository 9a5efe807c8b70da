"""The measurements of engines: on a tiny one, and what they are made of."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import gpt_sovits_steps
from benchmarks.chunks import spans
from benchmarks.engine_steps import ROWS, measure, one_at_a_time, submit, table
from benchmarks.random_xtts import SIZES, write_submission


def test_an_engine_is_measured_alone_and_with_streams_that_begin_together(tmp_path: Path):
    submit(write_submission(tmp_path / "submission", SIZES["tiny"]), tmp_path / "home")
    options = argparse.Namespace(device="cpu", threads=1, tokens=40, batch=[1, 4, 8])
    figures = measure(tmp_path / "home", "float32", options)
    without = {"latent_pass_ms", *(name for name in ROWS if "_16_" in name)}
    assert figures.keys() >= ROWS.keys() - without
    assert all(figures[name] > 0 for name in ROWS.keys() & figures.keys())
    for count in (2, 4, 8):
        assert figures[f"stream_ttfa_s_{count}"] <= figures[f"stream_last_ttfa_s_{count}"]
        one_s = figures["audio_s"]
        rtf, times = figures[f"stream_rtf_{count}"], figures[f"stream_times_real_time_{count}"]
        assert rtf * times == pytest.approx(count)
        assert figures[f"stream_last_ttfa_s_{count}"] < rtf * one_s


@pytest.mark.slow
def test_gpt_sovits_is_measured_with_the_same_steps(tmp_path: Path):
    common = {"device": "cpu", "threads": 1, "tokens": 40, "batch": [1, 4], "rounds": 1, "dtype": ["float32"]}
    options = argparse.Namespace(**common, size="tiny", upstream=None)
    (figures,) = gpt_sovits_steps.measure("v2", tmp_path, options)
    without = {"latent_pass_ms", *(name for name in ROWS if "_8_" in name or "_16_" in name)}
    assert figures.keys() >= ROWS.keys() - without
    assert all(figures[name] > 0 for name in ROWS.keys() & figures.keys())


def test_streams_of_an_engine_that_takes_one_at_a_time_wait_for_those_before():
    record = {"stream_ttfa_s": 1.0, "stream_total_s": 5.0, "stream_audio_s": 2.0, "stream_resident_mib": 7.0}
    figures = one_at_a_time(record)
    assert [figures[f"stream_ttfa_s_{n}"] for n in (1, 2, 4)] == [1.0, 3.5, 8.5]
    assert [figures[f"stream_last_ttfa_s_{n}"] for n in (1, 2, 4)] == [1.0, 6.0, 16.0]
    assert [figures[f"stream_rtf_{n}"] for n in (1, 2, 4)] == [2.5, 5.0, 10.0]
    assert {figures[f"stream_times_real_time_{n}"] for n in (1, 2, 4, 8)} == {0.4}


@pytest.mark.parametrize("num_tokens", [1, 8, 13, 100, 501])
@pytest.mark.parametrize("first_chunk_tokens", [1, 13])
def test_spans_cover_all_tokens_once_and_the_first_can_be_heard(num_tokens: int, first_chunk_tokens: int):
    cut = list(spans(num_tokens, (8, 12, 20), first_chunk_tokens))
    assert [start for start, _ in cut] == [0, *(stop for _, stop in cut)][: len(cut)]
    assert cut[-1][1] == num_tokens
    assert cut[0][1] >= min(first_chunk_tokens, num_tokens)
    assert all(stop - start == 20 for start, stop in cut[2:-1])


def test_the_table_has_a_column_per_engine_and_a_row_per_figure_that_any_has():
    ours = {"engine": "voicecore", "variant": "v2", "dtype": "float32"}
    records = [{**ours, "rtf": 0.5}, {**ours, "rtf": 0.7}, {**ours, "rtf": 0.9}]
    theirs = {"engine": "published", "dtype": "float32", "load_s": 2.0}
    made = table([*records, theirs])
    assert [column.header for column in made.columns] == ["", "voicecore v2 float32", "published float32"]
    cells = [list(column.cells) for column in made.columns]
    assert cells == [["load, s", "one request, RTF"], ["–", "0.7"], ["2", "–"]]
