"""From what was measured of each utterance to what can be said of a submission, with how sure that is.

Sentences, not utterances, are drawn again for the intervals: seeds of one sentence resemble each other.
Submissions are compared sentence by sentence, so what is hard for both doesn't blur the difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.evaluation.archive import Heard, Spoken
from server.evaluation.measures import MEASURES, TELLING
from server.listening.bootstrap import expanded_tail

Array = NDArray[np.float64]
Values = Mapping[str, float]  # name of a measure → value

NUM_REPLICATES = 2_000
SEED = 0
LOST = 1.0  # of a text that gave no audio


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over sentences, and its 95 % interval."""

    mean: float
    low: float
    high: float
    count: int  # sentences


def utterance_values(spoken: Spoken, heard: Heard) -> dict[str, float]:
    """All measures of one utterance, with "overall"."""
    values = {"failed": float(spoken.error is not None), "hit_limit": float(spoken.hit_limit)}
    if spoken.error is not None:
        values |= {"cer": LOST, "wer": LOST}
    if spoken.took_s is not None and spoken.duration_s > 0:
        values["rtf"] = spoken.took_s / spoken.duration_s
    if spoken.ttfa_s is not None:
        values["ttfa_s"] = spoken.ttfa_s
    values |= heard.values
    values["overall"] = _overall(values)
    return values


def sentence_values(by_seed: Sequence[Values]) -> dict[str, float]:
    """Means over a sentence's seeds, and how far these are apart."""
    collected: dict[str, list[float]] = defaultdict(list)
    for values in by_seed:
        for name, value in values.items():
            collected[name].append(value)
    means = {name: float(np.mean(found)) for name, found in collected.items()}
    durations, errors = collected.get("speech_s", []), collected.get("cer", [])
    if len(durations) > 1 and means["speech_s"] > 0:
        means["duration_spread"] = float(np.std(durations, ddof=1)) / means["speech_s"]
    if len(errors) > 1:
        means["cer_spread"] = float(np.std(errors, ddof=1))
    return means


def estimates(sentences: Sequence[Values]) -> dict[str, Estimate]:
    """Of every measure that any sentence has, in the table's order."""
    found = {name: [values[name] for values in sentences if name in values] for name in MEASURES}
    return {name: estimate(values) for name, values in found.items() if values}


def differences(first: Mapping[str, Values], second: Mapping[str, Values]) -> dict[str, Estimate]:
    """First minus second, over the sentences (by id) that both have."""
    found: dict[str, list[float]] = defaultdict(list)
    for sentence in first.keys() & second.keys():
        for name in first[sentence].keys() & second[sentence].keys():
            found[name].append(first[sentence][name] - second[sentence][name])
    return {name: estimate(found[name]) for name in MEASURES if found[name]}


def estimate(values: Sequence[float]) -> Estimate:
    """Percentiles of the bootstrap, taken farther out where there are few sentences."""
    sample: Array = np.sort(np.asarray(values, dtype=np.float64))  # so that their order says nothing
    if len(sample) < 2:
        return Estimate(float(sample[0]), -np.inf, np.inf, 1)
    drawn = np.random.default_rng(SEED).integers(len(sample), size=(NUM_REPLICATES, len(sample)))
    tail = expanded_tail(len(sample))
    low, high = np.quantile(sample[drawn].mean(axis=1), (tail, 1 - tail))
    return Estimate(float(sample.mean()), float(low), float(high), len(sample))


def _overall(values: Values) -> float:
    return float(np.mean([MEASURES[name].fullness(values[name]) for name in TELLING if name in values]))
