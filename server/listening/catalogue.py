"""Listening tests: made, listed, and given their audio.

A test is `waiting` until a process takes a lease on it to synthesise its clips. The lease of a process that
died runs out, and another process goes on with the clips that are missing; so is a test whose server stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from server.listening.database import Database
from server.listening.definition import Kind, TestDefinition
from server.listening.errors import BadTest, TestNotOpen, Unknown
from server.listening.records import (
    ClipRecord,
    RaterRecord,
    SystemRecord,
    TestRecord,
    TextRecord,
    TrialRecord,
    VoteRecord,
)

Clock = Callable[[], float]  # seconds since 1970
Status = Literal["waiting", "synthesising", "open", "closed", "failed"]

LEASE_S = 30.0


@dataclass(frozen=True, slots=True)
class System:
    """Who speaks, by the ids that its submission and its voice had when the test was made."""

    name: str
    submission_id: str
    voice_id: str


@dataclass(frozen=True, slots=True)
class Test:
    """A test and how far it is."""

    id: str
    title: str
    kind: Kind
    status: Status
    error: str | None
    created_at: float
    systems: tuple[System, ...]
    definition: TestDefinition
    clips_done: int
    clips_total: int
    raters: int
    votes: int


@dataclass(frozen=True, slots=True)
class WantedClip:
    id: int
    system: System
    text: str
    language: str | None
    seed: int


@dataclass(frozen=True, slots=True)
class StoredClip:
    digest: str
    duration_s: float
    loudness_lufs: float


class Catalogue:
    """Every method reads or writes the database: call it in a thread. Raises Unknown, DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, definition: TestDefinition, systems: Sequence[System]) -> Test:
        """`systems` in the order of the definition. Raises BadTest."""
        _check_systems(systems)
        test = TestRecord(
            id=f"test-{secrets.token_hex(8)}",
            title=definition.title,
            kind=definition.kind,
            definition=definition.model_dump(mode="json"),
            seed=definition.seed,
            status="waiting",
            created_at=self._clock(),
            leased_until=0.0,
        )
        test.systems = [
            SystemRecord(
                position=position,
                name=system.name,
                submission_id=system.submission_id,
                voice_id=system.voice_id,
            )
            for position, system in enumerate(systems)
        ]
        test.texts = _texts(definition)
        with self._database.write() as session:
            session.add(test)
            session.flush()
            session.add_all(_clips(test))
        return self.get(test.id)

    def all(self) -> list[Test]:
        """Newest first."""
        with self._database.read() as session:
            newest = select(TestRecord).order_by(TestRecord.created_at.desc(), TestRecord.id)
            return [_described(session, test) for test in session.scalars(newest)]

    def get(self, test_id: str) -> Test:
        with self._database.read() as session:
            return _described(session, find_test(session, test_id))

    def set_open(self, test_id: str, is_open: bool) -> Test:
        """Close a test that is open, or open it again; votes stay as they are. Raises TestNotOpen."""
        with self._database.write() as session:
            test = lock_test(session, test_id)
            if test.status not in ("open", "closed"):
                raise TestNotOpen(
                    f"found a test that is {test.status}; expected one that is open or closed. One that "
                    "isn't wanted can be deleted."
                )
            test.status = "open" if is_open else "closed"
        return self.get(test_id)

    def delete(self, test_id: str) -> None:
        """With its raters and all of their votes."""
        with self._database.write() as session:
            lock_test(session, test_id)
            raters = select(RaterRecord.id).where(RaterRecord.test_id == test_id)
            session.execute(raters.with_for_update())  # a vote is either before this, or finds no rater
            trials = select(TrialRecord.id).where(TrialRecord.rater_id.in_(raters))
            session.execute(delete(VoteRecord).where(VoteRecord.trial_id.in_(trials)))
            session.execute(delete(TrialRecord).where(TrialRecord.rater_id.in_(raters)))
            for record in (RaterRecord, ClipRecord, TextRecord, SystemRecord):
                session.execute(delete(record).where(record.test_id == test_id))
            session.execute(delete(TestRecord).where(TestRecord.id == test_id))

    def digests(self) -> set[str]:
        """Of all clips of all tests."""
        with self._database.read() as session:
            return set(session.scalars(select(ClipRecord.digest).where(ClipRecord.digest.is_not(None))))

    def lease(self, synthesiser: str) -> str | None:
        """Take on the oldest test that nobody synthesises. None: there is none."""
        now = self._clock()
        with self._database.write() as session:
            free = (
                select(TestRecord.id)
                .where(TestRecord.status.in_(("waiting", "synthesising")), TestRecord.leased_until <= now)
                .order_by(TestRecord.created_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if (test_id := session.scalar(free)) is None:
                return None
            changes = {"status": "synthesising", "synthesiser": synthesiser, "leased_until": now + LEASE_S}
            session.execute(update(TestRecord).where(TestRecord.id == test_id).values(changes))
        return test_id

    def renew_lease(self, test_id: str, synthesiser: str) -> bool:
        """False: it ran out and another process has it now, or the test was deleted."""
        return self._as_synthesiser(test_id, synthesiser, leased_until=self._clock() + LEASE_S)

    def release(self, test_id: str, synthesiser: str) -> bool:
        """Leave it to whoever asks next."""
        return self._as_synthesiser(test_id, synthesiser, leased_until=0.0)

    def open(self, test_id: str, synthesiser: str) -> bool:
        """All of its clips are stored: people may vote."""
        return self._as_synthesiser(test_id, synthesiser, status="open")

    def fail(self, test_id: str, synthesiser: str, error: str) -> bool:
        return self._as_synthesiser(test_id, synthesiser, status="failed", error=error)

    def wanted_clips(self, test_id: str) -> list[WantedClip]:
        """Those that have no audio yet, in the order of texts."""
        with self._database.read() as session:
            missing = (
                select(ClipRecord)
                .where(ClipRecord.test_id == test_id, ClipRecord.digest.is_(None))
                .order_by(ClipRecord.id)
            )
            seed = find_test(session, test_id).seed
            return [
                WantedClip(clip.id, _system(clip.system), clip.text.text, clip.text.language, seed)
                for clip in session.scalars(missing)
            ]

    def save_clip(self, clip_id: int, stored: StoredClip) -> None:
        """Once: whoever comes later with the same clip changes nothing, so all raters hear the same."""
        with self._database.write() as session:
            session.execute(
                update(ClipRecord)
                .where(ClipRecord.id == clip_id, ClipRecord.digest.is_(None))
                .values(
                    digest=stored.digest, duration_s=stored.duration_s, loudness_lufs=stored.loudness_lufs
                )
            )

    def _as_synthesiser(self, test_id: str, synthesiser: str, **changes: object) -> bool:
        with self._database.write() as session:
            ours = update(TestRecord).where(
                TestRecord.id == test_id,
                TestRecord.synthesiser == synthesiser,
                TestRecord.status == "synthesising",
            )
            return bool(session.execute(ours.values(**changes).returning(TestRecord.id)).all())


def find_test(session: Session, test_id: str) -> TestRecord:
    """Raises Unknown."""
    if (test := session.get(TestRecord, test_id)) is None:
        raise Unknown("test", test_id)
    return test


def lock_test(session: Session, test_id: str) -> TestRecord:
    """Whoever else locks it waits for the end of the transaction. Raises Unknown."""
    return session.get(TestRecord, test_id, with_for_update=True) or find_test(session, test_id)


def _check_systems(systems: Sequence[System]) -> None:
    speakers: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    for system in systems:
        if system.name in names:
            raise BadTest(
                f"`systems`: found two that are called {system.name!r}; expected a name for each. Leave one "
                "out, or give it another `name`."
            )
        names.add(system.name)
        first = speakers.setdefault((system.submission_id, system.voice_id), system.name)
        if first != system.name:
            raise BadTest(
                f"`systems`: found {first!r} and {system.name!r}, which are one submission in one voice; "
                "expected systems that sound different. Leave one out."
            )


def _texts(definition: TestDefinition) -> list[TextRecord]:
    """The texts, then the traps."""
    said = [(row.text, row.language, None) for row in definition.texts]
    traps = [(row.text, row.language, row.expected) for row in definition.traps]
    return [
        TextRecord(position=position, text=text, language=language, expected=expected)
        for position, (text, language, expected) in enumerate([*said, *traps])
    ]


def _clips(test: TestRecord) -> list[ClipRecord]:
    return [
        ClipRecord(test_id=test.id, system_id=system.id, text_id=text.id)
        for text in test.texts
        for system in (test.systems if text.expected is None else test.systems[:1])
    ]


def _described(session: Session, test: TestRecord) -> Test:
    clips = select(func.count(), func.count(ClipRecord.digest)).where(ClipRecord.test_id == test.id)
    total, done = session.execute(clips).one()
    raters = select(func.count()).select_from(RaterRecord).where(RaterRecord.test_id == test.id)
    votes = (
        select(func.count())
        .select_from(VoteRecord)
        .join(TrialRecord)
        .join(RaterRecord)
        .where(RaterRecord.test_id == test.id)
    )
    return Test(
        id=test.id,
        title=test.title,
        kind=cast(Kind, test.kind),
        status=cast(Status, test.status),
        error=test.error,
        created_at=test.created_at,
        systems=tuple(_system(system) for system in test.systems),
        definition=TestDefinition.model_validate(test.definition),
        clips_done=done,
        clips_total=total,
        raters=session.scalar(raters) or 0,
        votes=session.scalar(votes) or 0,
    )


def _system(record: SystemRecord) -> System:
    return System(record.name, record.submission_id, record.voice_id)
