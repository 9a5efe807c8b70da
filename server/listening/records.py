"""The tables. Times are seconds since 1970, by the server's clock. Votes are never changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# Constraints need names, or a later migration can't drop them.
NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Record(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {float: Double, dict[str, Any]: JSON, dict[str, float]: JSON}  # noqa: RUF012


class TestRecord(Record):
    """A set of texts × a set of systems, and how people are asked about them."""

    __test__ = False
    __tablename__ = "listening_tests"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    definition: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    synthesiser: Mapped[str | None] = mapped_column(String(64))
    leased_until: Mapped[float] = mapped_column(default=0.0)

    systems: Mapped[list[SystemRecord]] = relationship(order_by="SystemRecord.position")
    texts: Mapped[list[TextRecord]] = relationship(order_by="TextRecord.position")


class SystemRecord(Record):
    """A submission that speaks in a voice, both by the ids that they had when the test was made."""

    __tablename__ = "listening_systems"
    __table_args__ = (UniqueConstraint("test_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    test_id: Mapped[str] = mapped_column(ForeignKey(TestRecord.id))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    submission_id: Mapped[str] = mapped_column(String(80))
    voice_id: Mapped[str] = mapped_column(String(80))


class TextRecord(Record):
    """What is spoken. A trap has an expected rating, and is spoken by the first system only."""

    __tablename__ = "listening_texts"
    __table_args__ = (UniqueConstraint("test_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    test_id: Mapped[str] = mapped_column(ForeignKey(TestRecord.id))
    position: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(String(35))
    expected: Mapped[int | None]


class ClipRecord(Record):
    """One text by one system. It has a digest from when its audio is stored."""

    __tablename__ = "listening_clips"
    __table_args__ = (UniqueConstraint("system_id", "text_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    test_id: Mapped[str] = mapped_column(ForeignKey(TestRecord.id), index=True)
    system_id: Mapped[int] = mapped_column(ForeignKey(SystemRecord.id))
    text_id: Mapped[int] = mapped_column(ForeignKey(TextRecord.id))
    digest: Mapped[str | None] = mapped_column(String(80))
    duration_s: Mapped[float | None]
    loudness_lufs: Mapped[float | None]

    system: Mapped[SystemRecord] = relationship()
    text: Mapped[TextRecord] = relationship()


class RaterRecord(Record):
    """One person's way through one test. The id is what lets its holder vote, so only its holder is told."""

    __tablename__ = "listening_raters"
    __table_args__ = (UniqueConstraint("test_id", "number"),)

    id: Mapped[str] = mapped_column(String(48), primary_key=True)
    test_id: Mapped[str] = mapped_column(ForeignKey(TestRecord.id))
    number: Mapped[int]
    joined_at: Mapped[float]

    test: Mapped[TestRecord] = relationship()
    trials: Mapped[list[TrialRecord]] = relationship(order_by="TrialRecord.position")


class TrialRecord(Record):
    """One question. `clip_b` is missing where a single clip is rated; `x_is` is "a" or "b" in ABX."""

    __tablename__ = "listening_trials"
    __table_args__ = (UniqueConstraint("rater_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    rater_id: Mapped[str] = mapped_column(ForeignKey(RaterRecord.id))
    position: Mapped[int]
    clip_a_id: Mapped[int] = mapped_column(ForeignKey(ClipRecord.id))
    clip_b_id: Mapped[int | None] = mapped_column(ForeignKey(ClipRecord.id))
    x_is: Mapped[str | None] = mapped_column(String(1))
    given_out_at: Mapped[float | None]

    clip_a: Mapped[ClipRecord] = relationship(foreign_keys=clip_a_id)
    clip_b: Mapped[ClipRecord | None] = relationship(foreign_keys=clip_b_id)
    # With its trial: whose vote is missing is asked of all of a rater's trials at once.
    vote: Mapped[VoteRecord | None] = relationship(back_populates="trial", lazy="joined")


class VoteRecord(Record):
    """An answer. `heard`: side → seconds, as the rater's player counted them."""

    __tablename__ = "listening_votes"
    __table_args__ = (CheckConstraint("decision_s >= 0", name="decision_s"),)

    trial_id: Mapped[int] = mapped_column(ForeignKey(TrialRecord.id), primary_key=True)
    answer: Mapped[str] = mapped_column(String(8))
    heard: Mapped[dict[str, float]]
    decision_s: Mapped[float]  # from when the vote was first possible
    voted_at: Mapped[float]

    trial: Mapped[TrialRecord] = relationship(back_populates="vote")
