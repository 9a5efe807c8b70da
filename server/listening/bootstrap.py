"""Intervals by drawing the votes again.

Votes of one rater resemble each other, so where there are enough raters it is they who are drawn, with all
of their votes; drawing votes would promise more than was measured. Percentiles are taken a little farther out
than 95 % says, as T. Hesterberg proposes ("What Teachers Should Know About the Bootstrap", 2015, "expanded
percentile"): a plain bootstrap of few units gives intervals that are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from server.listening.results import Unit

Array = NDArray[np.float64]

CONFIDENCE = 0.95
NUM_REPLICATES = 1000
FEWEST_RATERS = 10  # to draw raters; below, votes are drawn


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured, as units that are drawn with replacement."""

    unit: Unit
    tallies: Array  # [units, cells] what each unit adds to each count
    weights: Array  # [units] their shares of what was measured; sum 1
    size: int  # how many units are drawn

    def replicates(self, count: int, seed: int) -> Array:
        """[count, cells] counts as they might have been; the same seed gives the same."""
        drawn = np.random.default_rng(seed).multinomial(self.size, self.weights, size=count)
        return drawn @ self.tallies

    def interval(self, replicates: Array) -> tuple[Array, Array]:
        """Lower and upper end of each column's 95 % interval. nan, which is no value, is left out."""
        tail = expanded_tail(self.size)
        low, high = np.nanquantile(replicates, (tail, 1.0 - tail), axis=0)
        return low, high


def draw_raters(tallies: Array) -> Sample:
    """`tallies` [raters, cells]"""
    return Sample("raters", tallies, np.full(len(tallies), 1.0 / len(tallies)), len(tallies))


def draw_votes(outcomes: Array, counts: Array) -> Sample:
    """`outcomes` [kinds, cells] what a vote of each kind adds; `counts` [kinds] how many there were.

    Drawing from the kinds by their shares is drawing from the votes one by one.
    """
    return Sample("votes", outcomes, counts / counts.sum(), max(1, round(float(counts.sum()))))


def expanded_tail(size: int) -> float:
    if size < 2:
        return 0.0
    reach = stats.t.ppf(0.5 + CONFIDENCE / 2, size - 1) * np.sqrt(size / (size - 1))
    return float(stats.norm.cdf(-reach))
