"""The schedule of readings: pure arithmetic, so all of it can be tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.gpt_sovits.streaming import ONE_SHOT, BlockSchedule

lengths = st.integers(0, 1500)
schedules = st.builds(BlockSchedule, st.integers(0, 8), st.integers(1, 40))


def in_spans(schedule, num_tokens, cuts):
    """The readings of an utterance whose tokens become known at `cuts` and at its end."""
    readings, final = [], 0
    for known in [*sorted(cut for cut in cuts if cut <= num_tokens), None]:
        new = list(schedule.readings(final, num_tokens if known is None else known, is_last=known is None))
        readings += new
        final = new[-1].stop if new else final
    return readings


@given(schedules, lengths, st.lists(st.integers(0, 1500), max_size=12))
def test_readings_do_not_depend_on_the_cuts(schedule, num_tokens, cuts):
    assert in_spans(schedule, num_tokens, cuts) == in_spans(schedule, num_tokens, [])


@given(schedules, lengths)
def test_every_token_becomes_final_once_and_is_read_with_its_lookahead(schedule, num_tokens):
    readings = in_spans(schedule, num_tokens, [])
    assert [reading.start for reading in readings] == [0, *(r.stop for r in readings)][: len(readings)]
    assert (readings[-1].stop if readings else 0) == num_tokens
    for reading in readings:
        assert reading.start < reading.stop
        assert reading.tokens_read == (
            num_tokens if reading.is_last else reading.stop + schedule.lookahead_tokens
        )
        assert reading.tokens_read <= num_tokens


@given(lengths)
def test_reading_prefixes_again_is_bounded(num_tokens):
    read = sum(reading.tokens_read for reading in in_spans(BlockSchedule(3), num_tokens, []))
    assert read <= 6 * num_tokens


def test_blocks_grow():
    ends = [reading.stop for reading in BlockSchedule(3).readings(0, 503, is_last=False)]
    assert ends == [10, 20, 40, 80, 120, 160, 200, 250, 312, 390, 487]


@pytest.mark.parametrize("known", [0, 12, 13])
def test_the_first_block_waits_for_its_lookahead(known):
    readings = list(BlockSchedule(3).readings(0, known, is_last=False))
    assert readings == ([(0, 10, 13, False)] if known == 13 else [])


def test_one_shot_reads_once_at_the_end():
    assert list(ONE_SHOT.readings(0, 1500, is_last=False)) == []
    assert list(ONE_SHOT.readings(0, 1500, is_last=True)) == [(0, 1500, 1500, True)]
