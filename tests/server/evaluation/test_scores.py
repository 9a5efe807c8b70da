"""Means over sentences, intervals that cover, comparisons sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from server.evaluation.archive import Heard, Spoken
from server.evaluation.measures import MEASURES, TELLING
from server.evaluation.scores import differences, estimate, estimates, sentence_values, utterance_values


def test_seeds_of_a_sentence_count_once_and_tell_their_spread():
    values = sentence_values([{"speech_s": 1.0, "cer": 0.0}, {"speech_s": 3.0, "cer": 0.2}])
    assert values["speech_s"] == 2
    assert values["cer"] == pytest.approx(0.1)
    assert values["duration_spread"] == pytest.approx(np.std([1, 3], ddof=1) / 2)
    assert values["cer_spread"] == pytest.approx(np.std([0, 0.2], ddof=1))
    assert "duration_spread" not in sentence_values([{"speech_s": 1.0}])


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = estimate(rng.normal(1.0, 1.0, 16))
        covered += found.low <= 1.0 <= found.high
    assert covered >= 180  # 190 expected, and 3 deviations of 3


def test_an_estimate_does_not_depend_on_the_order_of_sentences():
    values = [0.1, 0.5, 0.2, 0.9, 0.3]
    assert estimate(values) == estimate(values[::-1])
    assert not estimate(values).low > 0.4


def test_one_sentence_gives_a_mean_without_an_interval():
    found = estimate([0.5])
    assert (found.mean, found.count) == (0.5, 1)
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_differences_are_paired_by_sentence():
    rng = np.random.default_rng(1)
    hardness = rng.uniform(0, 10, 20)  # far larger than the difference
    first = {f"s{i}": {"cer": value} for i, value in enumerate(hardness)}
    second = {f"s{i}": {"cer": value + 0.1 + 0.01 * (i % 3)} for i, value in enumerate(hardness)}
    found = differences(first, second)["cer"]
    assert found.high < -0.1 + 1e-9
    unpaired = estimates(list(first.values()))["cer"]
    assert unpaired.high - unpaired.low > 1
    assert differences(first, {"another": {"cer": 1.0}}) == {}


def test_what_could_not_be_spoken_counts_as_lost(spoken: Callable[..., Spoken]):
    values = utterance_values(spoken(error="broke", took_s=None, ttfa_s=None), Heard(None, {}))
    assert values["failed"] == values["cer"] == 1
    assert "rtf" not in values
    assert values["overall"] < 0.5
    fine = utterance_values(spoken(), Heard("hello", {"cer": 0.0, "tail_s": 0.0}))
    assert fine["overall"] == 1
    assert fine["rtf"] == pytest.approx(0.5)


def test_every_measure_knows_which_way_is_better():
    for name, measure in MEASURES.items():
        assert measure.name == name
        assert measure.fullness(measure.good) == 1
        assert measure.fullness(measure.poor) == 0
        if measure.better != "neither":
            assert (measure.good < measure.poor) == (measure.better == "lower"), name
    assert set(TELLING) <= MEASURES.keys()
    assert MEASURES["cer"].shown(0.1234) == "12.3 %"
    assert MEASURES["loudness_lufs"].shown(-23.04) == "-23.0 LUFS"
    assert MEASURES["rtf"].shown(None) == "–"
