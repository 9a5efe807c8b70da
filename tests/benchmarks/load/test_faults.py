"""What is wrong with a server shows in the right figure and in no other."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load.arrivals import Load
from benchmarks.load.statistics import Objective, Summary, Window, summarise

DURATION_S = 60.0
LOAD = Load("poisson", 2.0)


def figures(summary: Summary) -> dict[str, float]:
    """One figure for each thing that listeners notice."""
    assert summary.ttfa_s
    assert summary.first_audio_s
    assert summary.leading_silence_s
    assert summary.underruns
    assert summary.completeness
    return {
        "success": summary.success,
        "first audio": summary.first_audio_s.p95,
        "audible audio": summary.ttfa_s.p95,
        "leading silence": summary.leading_silence_s.p95,
        "underruns": summary.underruns.count,
        "completeness": summary.completeness.share,
    }


@pytest.fixture
def measure(simulate, simulated_server):
    def measure(**faults: Any) -> Summary:
        records = simulate(simulated_server(**faults), LOAD, DURATION_S)
        return summarise(records, Window(0, DURATION_S), Objective())

    return measure


@pytest.mark.parametrize(
    ("faults", "shows_in"),
    [
        pytest.param({"drops_every": 100}, {"completeness"}, id="drops-chunks"),
        pytest.param(
            {"leads_with_silence_s": 0.4}, {"audible audio", "leading silence"}, id="leads-with-silence"
        ),
        pytest.param({"at_once": 1}, {"first audio", "audible audio"}, id="answers-serially"),
        pytest.param({"refuses_every": 50}, {"success"}, id="refuses"),
        pytest.param({"breaks_off_every": 50}, {"success"}, id="breaks-off"),
        pytest.param({"first_s": 0.3}, {"first audio", "audible audio"}, id="begins-late"),
        pytest.param({"every_s": 0.25}, {"underruns"}, id="slower-than-speech"),
    ],
)
def test_a_fault_shows_in_the_right_figure_and_in_no_other(
    measure, faults: dict[str, Any], shows_in: set[str]
):
    sound, faulty = figures(measure()), figures(measure(**faults))
    differing = {name for name in sound if sound[name] != pytest.approx(faulty[name], abs=1e-6)}
    assert differing == shows_in


@pytest.mark.parametrize(
    ("faults", "missed"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({"drops_every": 100}, ["complete"], id="drops-chunks"),
        pytest.param({"leads_with_silence_s": 0.4}, ["p95 audible TTFA"], id="leads-with-silence"),
        pytest.param({"at_once": 1}, ["p95 audible TTFA"], id="answers-serially"),
        pytest.param({"refuses_every": 50}, ["success"], id="refuses"),
        pytest.param({"every_s": 0.25}, ["C50"], id="slower-than-speech"),
    ],
)
def test_the_objective_is_missed_for_the_right_reason(measure, faults: dict[str, Any], missed: list[str]):
    found = measure(**faults).misses
    assert len(found) == len(missed)
    assert all(miss.startswith(start) for miss, start in zip(found, missed, strict=True))


def test_dropped_audio_is_told_in_seconds(measure):
    summary = measure(drops_every=100)
    assert summary.completeness
    dropped = sum(1 for number in range(1, 10 * summary.requests + 1) if number % 100 == 0)
    assert summary.completeness.lost_audio_s == pytest.approx(0.2 * dropped)


def test_faults_cost_goodput(measure):
    sound = measure()
    assert sound.goodput_times_real_time == pytest.approx(2.0 * sound.requests / DURATION_S)
    assert measure(leads_with_silence_s=0.4).goodput_times_real_time == 0
    refusing = measure(refuses_every=50)
    assert refusing.goodput_requests_per_s == pytest.approx(refusing.succeeded / DURATION_S)


def test_a_server_whose_answers_differ_anyway_is_not_called_incomplete(make_record):
    lengths = [2.0, 2.3, 1.9, 2.1, 2.6]
    records = [
        make_record(index, float(index), ((index + 0.1, length),), text="the same")
        for index, length in enumerate(lengths)
    ]
    assert summarise(records, Window(0, 10), Objective()).completeness is None
