"""Tests, their systems, texts and clips; raters, their trials and votes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "listening_tests",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("synthesiser", sa.String(length=64), nullable=True),
        sa.Column("leased_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_tests")),
    )
    op.create_table(
        "listening_raters",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("test_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("joined_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["test_id"], ["listening_tests.id"], name=op.f("fk_listening_raters_test_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_raters")),
        sa.UniqueConstraint("test_id", "number", name=op.f("uq_listening_raters_test_id_number")),
    )
    op.create_table(
        "listening_systems",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("test_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.String(length=80), nullable=False),
        sa.Column("voice_id", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["test_id"], ["listening_tests.id"], name=op.f("fk_listening_systems_test_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_systems")),
        sa.UniqueConstraint("test_id", "position", name=op.f("uq_listening_systems_test_id_position")),
    )
    op.create_table(
        "listening_texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("test_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["test_id"], ["listening_tests.id"], name=op.f("fk_listening_texts_test_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_texts")),
        sa.UniqueConstraint("test_id", "position", name=op.f("uq_listening_texts_test_id_position")),
    )
    op.create_table(
        "listening_clips",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("test_id", sa.String(length=32), nullable=False),
        sa.Column("system_id", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("loudness_lufs", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["system_id"], ["listening_systems.id"], name=op.f("fk_listening_clips_system_id")
        ),
        sa.ForeignKeyConstraint(["test_id"], ["listening_tests.id"], name=op.f("fk_listening_clips_test_id")),
        sa.ForeignKeyConstraint(["text_id"], ["listening_texts.id"], name=op.f("fk_listening_clips_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_clips")),
        sa.UniqueConstraint("system_id", "text_id", name=op.f("uq_listening_clips_system_id_text_id")),
    )
    op.create_index(op.f("ix_listening_clips_test_id"), "listening_clips", ["test_id"], unique=False)
    op.create_table(
        "listening_trials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rater_id", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("clip_a_id", sa.Integer(), nullable=False),
        sa.Column("clip_b_id", sa.Integer(), nullable=True),
        sa.Column("x_is", sa.String(length=1), nullable=True),
        sa.Column("given_out_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clip_a_id"], ["listening_clips.id"], name=op.f("fk_listening_trials_clip_a_id")
        ),
        sa.ForeignKeyConstraint(
            ["clip_b_id"], ["listening_clips.id"], name=op.f("fk_listening_trials_clip_b_id")
        ),
        sa.ForeignKeyConstraint(
            ["rater_id"], ["listening_raters.id"], name=op.f("fk_listening_trials_rater_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_trials")),
        sa.UniqueConstraint("rater_id", "position", name=op.f("uq_listening_trials_rater_id_position")),
    )
    op.create_table(
        "listening_votes",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=8), nullable=False),
        sa.Column("heard", sa.JSON(), nullable=False),
        sa.Column("decision_s", sa.Double(), nullable=False),
        sa.Column("voted_at", sa.Double(), nullable=False),
        sa.CheckConstraint("decision_s >= 0", name=op.f("ck_listening_votes_decision_s")),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["listening_trials.id"], name=op.f("fk_listening_votes_trial_id")
        ),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_listening_votes")),
    )


def downgrade() -> None:
    op.drop_table("listening_votes")
    op.drop_table("listening_trials")
    op.drop_table("listening_raters")
    op.drop_table("listening_clips")
    op.drop_table("listening_texts")
    op.drop_table("listening_systems")
    op.drop_table("listening_tests")
