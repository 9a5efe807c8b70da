"""Every figure on records whose figures can be worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.load.record import decode_record, encode_record
from benchmarks.load.statistics import (
    Objective,
    Percentiles,
    Window,
    audio_within,
    most_in_flight,
    percentiles,
    quantile,
    summarise,
    underruns,
)


def test_percentiles_are_observations_of_the_nearest_rank():
    assert percentiles(range(1, 101)) == Percentiles(50, 90, 95, 99)
    assert percentiles([7.0]) == Percentiles(7, 7, 7, 7)
    assert percentiles([3.0, 1.0, None, 2.0, 4.0]) == Percentiles(2, 4, 4, 4)
    assert percentiles([None]) is None
    assert [quantile(range(1, 21), q) for q in (0.0, 0.05, 0.95, 1.0)] == [1, 1, 19, 20]


def test_an_underrun_lasts_from_what_was_heard_to_what_came(make_record):
    # Heard from 1.0. A second is there until 2.0; more comes at 2.5, for half a second; more at 2.7, in time;
    # that lasts until 3.3, and the rest comes at 3.4.
    record = make_record(arrivals=((1.0, 1.0), (2.5, 0.5), (2.7, 0.3), (3.4, 1.0)))
    assert record.gaps_s() == pytest.approx([0.5, 0.1])
    whole = make_record(arrivals=((1.0, 1.0), (1.9, 1.0)))
    found = underruns([record, whole, whole, make_record(arrivals=((0.0, 0.2), (0.33, 0.1)))])
    assert (found.requests, found.count) == (2, 3)
    assert found.longest_s == pytest.approx(0.5)
    assert found.total_s == pytest.approx(0.73)
    shares = (found.share_up_to_50_ms, found.share_up_to_100_ms, found.share_up_to_200_ms)
    assert shares == (0.5, 0.5, 0.75)


def test_segments_of_one_chunk_are_no_underrun(make_record):
    found = underruns([make_record(arrivals=((0.0, 0.01), (0.0105, 1.0)))])
    assert (found.count, found.share_up_to_50_ms) == (0, 1.0)


def test_the_first_audible_sample_dates_to_the_chunk_it_came_with(make_record):
    record = make_record(scheduled_s=1.0, arrivals=((1.5, 0.4), (1.8, 0.4), (2.0, 1.2)), first_audible=799)
    assert record.first_audio_s == pytest.approx(0.5)
    assert record.ttfa_s == pytest.approx(0.8)
    assert record.leading_silence_s == pytest.approx(0.799)
    assert record.audio_s == pytest.approx(2.0)
    assert record.rtf == pytest.approx(0.5)
    assert make_record(arrivals=((1.5, 0.4),), first_audible=None).ttfa_s is None


def test_goodput_is_part_of_all_audio_where_answers_reach_beyond_the_window(make_record):
    """Before, goodput had whole answers and all audio only what came within the window."""
    records = [
        make_record(0, 0.9, ((0.95, 1.0), (1.5, 2.0))),  # asked before the window
        make_record(1, 1.8, ((1.9, 1.0), (2.5, 2.0))),  # its second half comes after the window
        make_record(2, 1.2, ((1.9, 4.0),)),  # late
    ]
    found = summarise(records, Window(1.0, 2.0), Objective(ttfa_s=0.3))
    assert found.times_real_time == pytest.approx(7.0)
    assert found.goodput_times_real_time == pytest.approx(3.0)
    assert found.goodput_requests_per_s == pytest.approx(1.0)


def test_a_summary_by_hand(make_record):
    records = [
        make_record(0, 0.5, ((0.6, 1.0),)),  # before the window, and its audio too
        make_record(1, 1.0, ((1.05, 1.0), (1.5, 1.0)), sent_s=1.001),  # good
        make_record(2, 2.0, ((2.3, 2.0),), sent_s=2.0015),  # late
        make_record(3, 3.0, error="status 429: busy", status=429),
        make_record(4, 4.0, ((4.01, 0.5), (4.91, 1.5))),  # 400 ms of underrun
        make_record(5, 11.5, ((11.6, 3.0),)),  # after the window
    ]
    found = summarise(records, Window(1.0, 11.0), Objective(success=0.75, continuity=0.5, ttfa_s=0.4))
    assert (found.requests, found.succeeded, found.success) == (4, 3, 0.75)
    assert found.errors == {"status 429: busy": 1}
    assert found.ttfa_s == Percentiles(*(pytest.approx(value) for value in (0.05, 0.3, 0.3, 0.3)))
    assert found.rtf.p50 == pytest.approx(0.25)
    assert found.requests_per_s == pytest.approx(0.3)
    assert found.times_real_time == pytest.approx(0.6)
    assert found.goodput_times_real_time == pytest.approx(0.4)
    assert found.goodput_requests_per_s == pytest.approx(0.2)
    assert found.lag_s.p99 == pytest.approx(0.0015)
    assert found.is_valid
    assert found.misses == ()
    assert found.completeness is None
    strict = summarise(records, Window(1.0, 11.0), Objective(), max_lag_s=0.001)
    assert not strict.is_valid
    assert [miss.split()[0] for miss in strict.misses] == ["success", "p95", "C50"]


def test_nothing_asked_is_nothing_achieved():
    found = summarise([], Window(0, 10), Objective())
    assert not found.is_valid
    assert not found.meets_objective
    assert found.misses == ("there were no requests",)


def test_audio_counts_when_it_comes(make_record):
    records = [make_record(0, 0.0, ((0.9, 1.0), (1.1, 2.0))), make_record(1, 1.5, ((1.9, 4.0), (2.1, 8.0)))]
    assert audio_within(records, Window(1.0, 2.0)) == pytest.approx(6.0)


def test_requests_are_in_flight_from_their_schedule_to_their_end(make_record):
    records = [
        make_record(0, 0.0, finished_s=2.0),
        make_record(1, 1.0, finished_s=3.0),
        make_record(2, 2.0, finished_s=4.0),  # when the first is done
    ]
    assert most_in_flight(records) == 2


def test_completeness_by_hand(make_record):
    lengths = [("a", 2.0), ("a", 2.0), ("a", 1.8), ("b", 1.0), ("b", 1.0), ("alone", 3.0)]
    records = [
        make_record(index, 0.0, ((0.1, length),), text=text) for index, (text, length) in enumerate(lengths)
    ]
    found = summarise(records, Window(0, 1), Objective()).completeness
    assert (found.judged, found.share) == (5, 0.8)
    assert found.lost_audio_s == pytest.approx(0.2)


def test_parts_are_told_where_there_are_several(make_record):
    records = [
        make_record(0, 0.0, ((0.1, 1.0),), model="anna"),
        make_record(1, 0.0, ((0.5, 1.0),), model="ben"),
        make_record(2, 0.0, error="no", model="ben", is_voice_new=True),
    ]
    parts = summarise(records, Window(0, 1), Objective()).parts
    assert parts["model"]["ben"].success == 0.5
    assert parts["model"]["ben"].ttfa_s.p50 == pytest.approx(0.5)
    assert set(parts["voice"]) == {"known", "new"}
    assert parts["language"] == {}


def test_a_record_survives_its_line(make_record):
    record = make_record(3, 1.25, ((1.5, 1.0), (2.0, 0.5)), text="a\nb – ü", is_voice_new=True)
    line = encode_record(record)
    assert line.count(b"\n") == 1
    assert decode_record(line) == record
