"""Raters, the trials they are given, and their votes.

A trial's clock begins when it is first given out, or with the vote before it if that came later: who fetches
all trials at once has heard none of them. A vote is committed before it is acknowledged.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.listening.catalogue import Clock, Status, lock_test
from server.listening.database import Database
from server.listening.definition import Kind, TestDefinition
from server.listening.errors import BadVote, TestNotOpen, Unknown, VoteConflict
from server.listening.presentation import Question, questions_of
from server.listening.records import ClipRecord, RaterRecord, TestRecord, TrialRecord, VoteRecord

Side = Literal["a", "b", "x"]

MUST_HEAR_S = 3.0  # of each side, or all of it where it is shorter
# Players count in steps of some tens of milliseconds, and the last one of a clip may be missing.
COUNTING_TOLERANCE_S = 0.1
# How much more may have been heard than time has passed: clocks differ, requests take time.
CLOCK_TOLERANCE_S = 1.0

SIDES: dict[str, tuple[Side, ...]] = {"preference": ("a", "b"), "abx": ("a", "b", "x"), "mos": ("a",)}
ANSWERS: dict[str, tuple[str, ...]] = {
    "preference": ("a", "b"),
    "abx": ("a", "b"),
    "mos": ("1", "2", "3", "4", "5"),
}
TIE = "tie"


@dataclass(frozen=True, slots=True)
class TrialSide:
    side: Side
    duration_s: float
    must_hear_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A question as its rater sees it: no names."""

    position: int
    text: str | None  # None in a test with traps: who reads them needn't listen
    sides: tuple[TrialSide, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """An acknowledged vote, and what was hidden until then: side → name.

    `names` is None until the rater's last vote where the test reveals them at the end; it is empty for a
    trap, by which nobody is judged.
    """

    position: int
    text: str
    answer: str
    names: dict[str, str] | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is. `trial` is the next one; None: all have a vote, and `votes` are they."""

    rater_id: str
    test_id: str
    title: str
    kind: Kind
    status: Status
    number: int
    voted: int
    total: int
    trial: Trial | None
    votes: tuple[Vote, ...]


class Voting:
    """Every method reads or writes the database: call it in a thread. Raises Unknown, DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def join(self, test_id: str) -> Progress:
        """A new rater, with an order of their own. Raises TestNotOpen."""
        with self._database.write() as session:
            # Locked: raters' numbers have no gaps, because stretches of questions go by them.
            test = lock_test(session, test_id)
            _check_open(test)
            counted = select(func.count()).select_from(RaterRecord).where(RaterRecord.test_id == test_id)
            rater = RaterRecord(
                id=f"rater-{secrets.token_hex(16)}",
                test_id=test_id,
                number=session.scalar(counted) or 0,
                joined_at=self._clock(),
            )
            session.add(rater)
            session.flush()
            definition = TestDefinition.model_validate(test.definition)
            session.add_all(_trials(session, test, definition, rater))
        return self.progress(rater.id)

    def progress(self, rater_id: str) -> Progress:
        """Where the rater is; gives out the next trial."""
        with self._database.write() as session:
            rater = _find_rater(session, rater_id)
            unvoted = _unvoted(rater)
            if unvoted and unvoted[0].given_out_at is None:
                unvoted[0].given_out_at = self._clock()
            return Progress(
                rater_id=rater.id,
                test_id=rater.test_id,
                title=rater.test.title,
                kind=cast(Kind, rater.test.kind),
                status=cast(Status, rater.test.status),
                number=rater.number,
                voted=len(rater.trials) - len(unvoted),
                total=len(rater.trials),
                trial=_shown(unvoted[0], rater.test) if unvoted else None,
                votes=() if unvoted else tuple(_cast(trial, rater, False) for trial in rater.trials),
            )

    def digest(self, rater_id: str, position: int, side: Side) -> str:
        """Of the audio on a side of a trial that was given out."""
        with self._database.read() as session:
            trial = _find_trial(session, rater_id, position)
            if trial.given_out_at is None or side not in SIDES[_kind(trial, session)]:
                raise Unknown("trial", f"{position}/{side}")
            return _clip(trial, side).digest or ""

    def vote(self, rater_id: str, position: int, answer: str, heard: Mapping[str, float]) -> Vote:
        """Durable when it returns; the same again changes nothing. Raises BadVote, VoteConflict."""
        with self._database.write() as session:
            rater = session.get(RaterRecord, rater_id, with_for_update=True) or _find_rater(session, rater_id)
            trial = _find_trial(session, rater_id, position)
            is_new = trial.vote is None
            if trial.vote is None:
                _check_open(rater.test)
                decision_s = self._check(trial, rater, answer, heard)
                trial.vote = VoteRecord(
                    answer=answer, heard=dict(heard), decision_s=decision_s, voted_at=self._clock()
                )
            elif trial.vote.answer != answer:
                raise VoteConflict(
                    f"found the answer {answer!r}; expected {trial.vote.answer!r}, which this trial was "
                    "given before. A vote can't be changed: go on with the next trial."
                )
            return _cast(trial, rater, is_new)

    def _check(
        self, trial: TrialRecord, rater: RaterRecord, answer: str, heard: Mapping[str, float]
    ) -> float:
        """Seconds that the rater thought after the vote was first possible."""
        answers = _answers(rater.test)
        if answer not in answers:
            raise BadVote(f"`answer`: found {answer!r}; expected one of: {', '.join(answers)}.")
        if trial.given_out_at is None:
            raise VoteConflict(
                f"found a vote for trial {trial.position}, which wasn't given out yet; expected one for the "
                "rater's next trial. Ask for it first."
            )
        earlier = max((other.vote.voted_at for other in rater.trials if other.vote), default=0.0)
        elapsed_s = self._clock() - max(trial.given_out_at, earlier)
        required = {side.side: side.must_hear_s for side in _sides(trial, rater.test)}
        _check_heard(heard, required, elapsed_s)
        return max(0.0, elapsed_s - sum(required.values()))


def _check_heard(heard: Mapping[str, float], required: Mapping[Side, float], elapsed_s: float) -> None:
    """What the rater's player counted, against what is required and what can be."""
    if heard.keys() != required.keys() or not all(isfinite(s) and s >= 0 for s in heard.values()):
        raise BadVote(
            f"`heard`: found {dict(heard)}; expected the seconds heard of each side: {', '.join(required)}."
        )
    for side, must_hear_s in required.items():
        if heard[side] < must_hear_s - COUNTING_TOLERANCE_S:
            raise VoteConflict(
                f"found {heard[side]:.2f} s heard of {side.upper()}; expected {must_hear_s:.2f} s or more. "
                "Listen first, then vote."
            )
    if elapsed_s < (needed_s := sum(required.values()) - COUNTING_TOLERANCE_S * len(required)):
        raise VoteConflict(
            f"found a vote {max(0.0, elapsed_s):.2f} s after its trial began; expected {needed_s:.2f} s or "
            "more, which listening takes. Listen first, then vote."
        )
    if (total_s := sum(heard.values())) > elapsed_s + CLOCK_TOLERANCE_S:
        raise BadVote(
            f"`heard`: found {total_s:.2f} s in all, {elapsed_s:.2f} s after the trial began; expected no "
            "more than has passed. Count what was really played."
        )


def _trials(
    session: Session, test: TestRecord, definition: TestDefinition, rater: RaterRecord
) -> list[TrialRecord]:
    clips = {
        (clip.system.position, clip.text.position): clip.id
        for clip in session.scalars(select(ClipRecord).where(ClipRecord.test_id == test.id))
    }

    def trial(position: int, question: Question) -> TrialRecord:
        text = question.text + (len(definition.texts) if question.is_trap else 0)
        ids = [clips[system, text] for system in question.systems]
        return TrialRecord(
            rater_id=rater.id,
            position=position,
            clip_a_id=ids[0],
            clip_b_id=ids[1] if len(ids) > 1 else None,
            x_is=question.x_is,
        )

    questions = questions_of(definition, rater.number)
    return [trial(position, question) for position, question in enumerate(questions)]


def _check_open(test: TestRecord) -> None:
    if test.status == "failed":
        raise TestNotOpen(f"found a test without audio: {test.error} Make a new one.")
    if test.status == "closed":
        raise TestNotOpen(
            "found a test that was closed; expected one that is open. What it has found is at "
            f"GET /v1/listening/tests/{test.id}/results."
        )
    if test.status != "open":
        raise TestNotOpen(
            "found a test whose audio is still being made; expected one that is open. Its progress is at "
            f"GET /v1/listening/tests/{test.id}; come back later."
        )


def _find_rater(session: Session, rater_id: str) -> RaterRecord:
    if (rater := session.get(RaterRecord, rater_id)) is None:
        raise Unknown("rater", rater_id)
    return rater


def _find_trial(session: Session, rater_id: str, position: int) -> TrialRecord:
    _find_rater(session, rater_id)
    asked = select(TrialRecord).where(TrialRecord.rater_id == rater_id, TrialRecord.position == position)
    if (trial := session.scalar(asked)) is None:
        raise Unknown("trial", str(position))
    return trial


def _kind(trial: TrialRecord, session: Session) -> str:
    return _find_rater(session, trial.rater_id).test.kind


def _clip(trial: TrialRecord, side: str) -> ClipRecord:
    if (trial.x_is if side == "x" else side) == "b" and trial.clip_b is not None:
        return trial.clip_b
    return trial.clip_a


def _sides(trial: TrialRecord, test: TestRecord) -> tuple[TrialSide, ...]:
    durations = {side: _clip(trial, side).duration_s or 0.0 for side in SIDES[test.kind]}
    return tuple(
        TrialSide(side, duration_s, min(MUST_HEAR_S, duration_s)) for side, duration_s in durations.items()
    )


def _answers(test: TestRecord) -> tuple[str, ...]:
    return ANSWERS[test.kind] + ((TIE,) if test.definition["allow_ties"] else ())


def _shown(trial: TrialRecord, test: TestRecord) -> Trial:
    text = None if test.definition["traps"] else trial.clip_a.text.text
    return Trial(trial.position, text, _sides(trial, test), _answers(test))


def _unvoted(rater: RaterRecord) -> list[TrialRecord]:
    return [trial for trial in rater.trials if trial.vote is None]


def _cast(trial: TrialRecord, rater: RaterRecord, is_new: bool) -> Vote:
    assert trial.vote is not None
    is_told = rater.test.definition.get("reveal") != "end" or not _unvoted(rater)
    names = _names(trial, rater.test) if is_told else None
    return Vote(trial.position, trial.clip_a.text.text, trial.vote.answer, names, is_new)


def _names(trial: TrialRecord, test: TestRecord) -> dict[str, str]:
    if trial.clip_a.text.expected is not None:
        return {}
    return {side: _clip(trial, side).system.name for side in SIDES[test.kind]}
