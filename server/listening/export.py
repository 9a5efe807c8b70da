"""Every vote as a row, for whoever wants to compute something else."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields

from server.listening.ballots import Ballot
from server.listening.catalogue import Test
from server.listening.screening import summarise_raters


@dataclass(frozen=True, slots=True)
class VoteRow:
    """One vote with the names that were hidden. `counts` is false where screening excluded its rater."""

    rater: int
    trial: int
    text: str
    a: str
    b: str | None
    x_is: str | None
    expected: str | None
    answer: str
    heard_a_s: float
    heard_b_s: float | None
    heard_x_s: float | None
    decision_s: float
    voted_at: float
    counts: bool


def vote_rows(test: Test, ballots: Sequence[Ballot]) -> list[VoteRow]:
    """`ballots` by rater, as they are read."""
    counting = {rater.number for rater in summarise_raters(ballots) if rater.counts}
    names = [system.name for system in test.systems]
    texts = [row.text for row in test.definition.texts] + [row.text for row in test.definition.traps]
    return [
        VoteRow(
            rater=ballot.rater,
            trial=ballot.trial,
            text=texts[ballot.text],
            a=names[ballot.a],
            b=None if ballot.b is None else names[ballot.b],
            x_is=ballot.x_is,
            expected=ballot.expected,
            answer=ballot.answer,
            heard_a_s=ballot.heard["a"],
            heard_b_s=ballot.heard.get("b"),
            heard_x_s=ballot.heard.get("x"),
            decision_s=ballot.decision_s,
            voted_at=ballot.voted_at,
            counts=ballot.rater in counting,
        )
        for ballot in ballots
    ]


def to_csv(rows: Sequence[VoteRow]) -> str:
    """With a head line, as RFC 4180 has it."""
    columns = [field.name for field in fields(VoteRow)]
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([getattr(row, column) for column in columns] for row in rows)
    return written.getvalue()
