"""The search finds a knee that is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load.adapters import Target
from benchmarks.load.arrivals import Load
from benchmarks.load.campaign import Campaign, LateClient, Plan
from benchmarks.load.capacity import Levels, find_capacity

TARGET = Target("simulated", "voicecore", "http://127.0.0.1:9/")


@pytest.mark.parametrize("knee", [0.03, 1.0, 3.7, 37.3, 900.0])
@pytest.mark.parametrize("start", [0.1, 5.0])
def test_a_knee_is_found_from_either_side(knee: float, start: float):
    found = find_capacity(lambda level: level <= knee, start, Levels(0.001, 10_000))
    assert found.highest <= knee < found.lowest_above
    assert found.lowest_above <= 1.1 * found.highest
    assert len(found.trials) < 25


@pytest.mark.parametrize("knee", [1, 2, 3, 17, 216, 1_000])
def test_listeners_are_whole(knee: int):
    found = find_capacity(lambda level: level <= knee, 1, Levels(1, 4_096, 0.05, whole_numbers=True))
    assert all(trial.level == int(trial.level) for trial in found.trials)
    assert found.highest <= knee < found.lowest_above
    assert found.lowest_above <= max(found.highest + 1, 1.05 * found.highest)


def test_what_passed_by_luck_is_not_a_capacity():
    """At 8 the first run passes and no later one does."""
    asked: list[float] = []

    def passes(level: float) -> bool:
        asked.append(level)
        return level <= 4 or (level == 8 and asked.count(8) == 1)

    found = find_capacity(passes, 1.0, Levels(0.5, 64, tolerance=0.5))
    assert found.highest == 4
    assert asked.count(4) == 2


def test_the_ends_of_the_range_are_told():
    assert find_capacity(lambda _: True, 1.0, Levels(1.0, 16.0)).lowest_above is None
    nothing = find_capacity(lambda _: False, 1.0, Levels(0.25, 16.0))
    assert (nothing.highest, nothing.lowest_above) == (None, 0.25)


@pytest.fixture
def campaign(workload, ask_simulated, simulated_server, tmp_path: Path):
    def campaign(duration_s: float = 40.0, **server) -> Campaign:
        plan = Plan(workload, warm_up_s=5.0, duration_s=duration_s, timeout_s=1_000.0)
        return Campaign(plan, [TARGET], tmp_path, ask=ask_simulated(lambda _: simulated_server(**server)))

    return campaign


def test_a_server_with_known_service_time_has_the_capacity_that_follows(campaign):
    """Two places, each taken for 0.45 s: 4.44 requests per second, beyond which the queue only grows."""
    found = campaign(at_once=2, first_s=0.05, every_s=0.1, num_chunks=5).find_capacity(
        TARGET, "constant", 1.0, Levels(0.1, 100.0)
    )
    assert found.highest <= 2 / 0.45 <= 1.05 * found.lowest_above
    assert found.lowest_above <= 1.1 * found.highest


def test_as_many_listeners_as_have_a_place_are_served(campaign):
    """A listener's place is taken for as long as it reads: 1.5 of 2.05 seconds, but never by two at once."""
    running = campaign(every_s=0.01)
    found = running.find_capacity(TARGET, "listeners", 1, Levels(1, 8, whole_numbers=True))
    assert (found.highest, found.lowest_above) == (8, None)
    assert running.results.capacity("simulated", "listeners") == 8


def test_a_late_client_finds_no_capacity(campaign):
    running = campaign(duration_s=2.0, blocks_client_s=0.03)
    with pytest.raises(LateClient, match="ms late"):
        running.find_capacity(TARGET, "constant", 40.0, Levels(1.0, 1_000.0))
    assert len(running.results.runs) == 3
    assert not running.results.of("simulated", "constant")


def test_rounds_alternate_between_targets(workload, ask_simulated, simulated_server, tmp_path: Path):
    targets = [Target(name, "voicecore", "http://127.0.0.1:9/") for name in ("ours", "theirs")]
    slow = {"ours": 0.05, "theirs": 0.2}
    asking = ask_simulated(lambda target: simulated_server(first_s=slow[target.name]))
    told: list[str] = []
    plan = Plan(workload, warm_up_s=1.0, duration_s=10.0, rounds=3)
    running = Campaign(plan, targets, tmp_path, lambda run: told.append(run.target), asking)
    running.run_loads([Load("poisson", 2.0)])
    assert told == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    ours, theirs = (running.results.of(name, "poisson") for name in ("ours", "theirs"))
    # Both are asked for the same at the same times, and every round at others.
    assert [run.summary.requests for run in ours] == [run.summary.requests for run in theirs]
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert len(lines) >= sum(run.summary.requests for run in running.results.runs)
    for mine, other in zip(ours, theirs, strict=True):
        assert other.summary.ttfa_s.p50 - mine.summary.ttfa_s.p50 == pytest.approx(0.15)


def test_a_slow_load_counts_for_longer(workload):
    plan = Plan(workload, warm_up_s=5.0, duration_s=60.0, min_requests=20)
    assert plan.window(Load("poisson", 0.1)) == (5.0, 205.0)
    assert plan.window(Load("ramp", 0.1, 2.0)) == (5.0, 205.0)
    assert plan.window(Load("poisson", 10.0)) == (5.0, 65.0)
    assert plan.window(Load("listeners", 1)) == (5.0, 65.0)
