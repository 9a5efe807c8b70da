"""Every vote of a test as plain values: what rankings are computed from, and what exports hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from server.listening.catalogue import find_test
from server.listening.database import Database
from server.listening.records import (
    ClipRecord,
    RaterRecord,
    SystemRecord,
    TextRecord,
    TrialRecord,
    VoteRecord,
)


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote. Systems and texts are positions in the test's definition; traps come after the texts."""

    rater: int
    trial: int
    text: int
    a: int
    b: int | None
    x_is: str | None
    expected: str | None  # of a trap
    answer: str
    heard: dict[str, float]
    decision_s: float
    voted_at: float

    @property
    def is_trap(self) -> bool:
        return self.expected is not None


def read_ballots(database: Database, test_id: str) -> list[Ballot]:
    """By rater, then in the order in which the trials were asked. Raises Unknown, DatabaseUnavailable."""
    with database.read() as session:
        find_test(session, test_id)
        return list(_ballots(session, test_id))


def _ballots(session: Session, test_id: str) -> Iterable[Ballot]:
    clip_b, system_a, system_b = aliased(ClipRecord), aliased(SystemRecord), aliased(SystemRecord)
    rows = (
        select(
            RaterRecord.number,
            TrialRecord.position,
            TextRecord.position,
            system_a.position,
            system_b.position,
            TrialRecord.x_is,
            TextRecord.expected,
            VoteRecord.answer,
            VoteRecord.heard,
            VoteRecord.decision_s,
            VoteRecord.voted_at,
        )
        .select_from(VoteRecord)
        .join(VoteRecord.trial)
        .join(RaterRecord, TrialRecord.rater_id == RaterRecord.id)
        .join(TrialRecord.clip_a)
        .join(TextRecord, ClipRecord.text_id == TextRecord.id)
        .join(system_a, ClipRecord.system_id == system_a.id)
        .outerjoin(clip_b, TrialRecord.clip_b_id == clip_b.id)
        .outerjoin(system_b, clip_b.system_id == system_b.id)
        .where(RaterRecord.test_id == test_id)
        .order_by(RaterRecord.number, TrialRecord.position)
    )
    for rater, trial, text, a, b, x_is, expected, *vote in session.execute(rows):
        trap = None if expected is None else str(expected)
        yield Ballot(rater, trial, text, a, b, x_is, trap, *vote)
