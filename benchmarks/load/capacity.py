"""The highest load that a server bears: doubled until it doesn't, narrowed down, and tried once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# What of the capacity shows the knee.
AROUND_THE_KNEE = (0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.5)


@dataclass(frozen=True, slots=True)
class Trial:
    level: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """`highest` is None if not even the lowest level was borne, `lowest_above` if all of them were."""

    highest: float | None
    lowest_above: float | None
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """Which levels there are, and how near to each other two may be told apart."""

    lowest: float
    highest: float
    tolerance: float = 0.1
    whole_numbers: bool = False

    def between(self, below: float | None, above: float | None) -> float | None:
        """The level to try after `below` was borne and `above` wasn't. None: it is known well enough."""
        if above is None:
            assert below is not None
            return None if below >= self.highest else min(2 * below, self.highest)
        if below is None:
            return None if above <= self.lowest else max(self._rounded(above / 2), self.lowest)
        if above <= below * (1 + self.tolerance):
            return None
        middle = self._rounded((below * above) ** 0.5)
        if middle <= below and self.whole_numbers:
            middle = below + 1
        return middle if middle < above else None

    def _rounded(self, level: float) -> float:
        """To what people say: three digits."""
        return float(int(level)) if self.whole_numbers else three_digits(level)


def find_capacity(passes: Callable[[float], bool], start: float, levels: Levels) -> Capacity:
    """`passes` runs one load, each time with other arrivals.

    The level that is found has passed twice and never failed: near the knee a run passes by luck.
    """
    trials: list[Trial] = []
    level = min(max(start, levels.lowest), levels.highest)
    while True:
        trials.append(Trial(level, passes(level)))
        above = min(_levels(trials, passed=False), default=None)
        borne = [passed for passed in _levels(trials, passed=True) if above is None or passed < above]
        below = max(borne, default=None)
        following = levels.between(below, above)
        if following is None and (below is None or borne.count(below) > 1):
            return Capacity(below, above, tuple(trials))
        level = following if following is not None else below  # type: ignore[assignment]


def three_digits(level: float) -> float:
    return float(f"{level:.3g}")


def _levels(trials: Iterable[Trial], passed: bool) -> list[float]:
    return [trial.level for trial in trials if trial.passed == passed]
