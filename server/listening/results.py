"""What a test has found, as values: the API shows them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.listening.definition import Kind
from server.listening.screening import RaterSummary

Unit = Literal["raters", "votes"]  # what the bootstrap drew


@dataclass(frozen=True, slots=True)
class Standing:
    """One system's result. `score` and its interval are missing, like the rank, below the fewest votes.

    preference: the natural logarithm of its strength against the average system; mos: the mean rating.
    """

    system: int
    name: str
    votes: int
    rank: int | None
    score: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Discrimination:
    """How well two systems were told apart: a share of 0.5 is guessing."""

    systems: tuple[int, int]
    names: tuple[str, str]
    votes: int
    correct: int
    share: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Results:
    """`wins[i][j]`: how often system i was preferred to j, half of the ties included."""

    votes: int
    votes_counted: int
    drawn: Unit | None
    standings: tuple[Standing, ...]
    wins: tuple[tuple[float, ...], ...] | None
    discriminations: tuple[Discrimination, ...]
    raters: tuple[RaterSummary, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What results need to know of a test."""

    kind: Kind
    names: tuple[str, ...]
    min_votes: int
    seed: int
