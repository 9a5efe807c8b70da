from __future__ import annotations

import math
from itertools import pairwise

import pytest

from benchmarks.load.arrivals import Load


def test_constant_arrivals_are_equally_far_apart():
    times = list(Load("constant", 4.0).arrivals(10.0, seed=1))
    assert len(times) == 40
    assert times[0] == 0.125
    assert [after - before for before, after in pairwise(times)] == pytest.approx([0.25] * 39)


def test_poisson_gaps_have_the_mean_and_the_spread_of_an_exponential():
    times = list(Load("poisson", 50.0).arrivals(400.0, seed=3))
    gaps = [after - before for before, after in pairwise([0.0, *times])]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.02, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)
    assert sum(gap > 3 * mean for gap in gaps) / len(gaps) == pytest.approx(math.exp(-3), rel=0.15)


@pytest.mark.parametrize(("start", "stop"), [(0.0, 40.0), (40.0, 4.0), (10.0, 10.0)])
def test_a_ramp_has_the_rate_of_its_line_everywhere(start: float, stop: float):
    times = list(Load("ramp", stop, start).arrivals(500.0, seed=5))
    for part in range(5):
        inside = sum(100.0 * part <= at_s < 100.0 * (part + 1) for at_s in times)
        middle = start + (stop - start) * (part + 0.5) / 5
        expected = 100.0 * middle
        assert inside == pytest.approx(expected, abs=4.5 * math.sqrt(expected))


@pytest.mark.parametrize("load", [Load("poisson", 9.0), Load("ramp", 9.0, 1.0), Load("constant", 9.0)])
def test_arrivals_ascend_end_in_time_and_repeat_with_their_seed(load: Load):
    times = list(load.arrivals(60.0, seed=7))
    assert times == sorted(times)
    assert 0 <= times[0]
    assert times[-1] < 60.0
    assert times == list(load.arrivals(60.0, seed=7))
    if load.kind != "constant":
        assert times != list(load.arrivals(60.0, seed=8))


@pytest.mark.parametrize(
    ("kind", "level"), [("poisson", 0.0), ("closed", 0), ("closed", 1.5), ("listeners", 0.5)]
)
def test_an_impossible_load_is_refused(kind: str, level: float):
    with pytest.raises(ValueError, match=r"found .* expected"):
        Load(kind, level)
