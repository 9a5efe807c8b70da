"""Which raters' votes don't count, and why. They stay in the database, and in every export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Literal

from server.listening.ballots import Ballot

Reason = Literal["too_fast", "all_one_side", "failed_traps"]


@dataclass(frozen=True, slots=True)
class Criteria:
    # Nobody hears a voice, judges it and presses a key in less; a simple reaction alone takes 0.2 s.
    shortest_decision_s: float = 0.3
    # Sides are drawn, so a listener's answers are on both: 10 alike happen to one in 500.
    one_side_share: float = 0.95
    fewest_votes: int = 10  # of a rater, before speed and sides can be judged
    failed_traps: int = 0  # more than these exclude


@dataclass(frozen=True, slots=True)
class RaterSummary:
    """A rater as results show them: a number, never the id that votes are cast with."""

    number: int
    votes: int
    median_decision_s: float
    commonest_answer: str
    commonest_share: float
    traps: int
    traps_failed: int
    excluded_for: tuple[Reason, ...]

    @property
    def counts(self) -> bool:
        return not self.excluded_for


def summarise_raters(ballots: Sequence[Ballot], criteria: Criteria = Criteria()) -> list[RaterSummary]:
    """`ballots` by rater. Raters without a vote don't appear."""
    return [_summary(number, list(cast), criteria) for number, cast in groupby(ballots, lambda b: b.rater)]


def _summary(number: int, ballots: list[Ballot], criteria: Criteria) -> RaterSummary:
    traps = [ballot for ballot in ballots if ballot.is_trap]
    failed = sum(ballot.answer != ballot.expected for ballot in traps)
    judged = [ballot for ballot in ballots if not ballot.is_trap] or traps
    ((answer, times),) = Counter(ballot.answer for ballot in judged).most_common(1)
    pace_s = median(ballot.decision_s for ballot in judged)
    enough = len(judged) >= criteria.fewest_votes
    found: dict[Reason, bool] = {
        "too_fast": enough and pace_s < criteria.shortest_decision_s,
        "all_one_side": enough and times / len(judged) >= criteria.one_side_share,
        "failed_traps": failed > criteria.failed_traps,
    }
    return RaterSummary(
        number=number,
        votes=len(ballots),
        median_decision_s=pace_s,
        commonest_answer=answer,
        commonest_share=times / len(judged),
        traps=len(traps),
        traps_failed=failed,
        excluded_for=tuple(reason for reason, applies in found.items() if applies),
    )
