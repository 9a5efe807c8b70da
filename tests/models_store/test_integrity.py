"""What `voicecore doctor` finds in a store that something else has written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from models_store import integrity
from models_store.store import ModelsStore
from models_store.submission import Submission


def flip_a_bit(store: ModelsStore, submission: Submission) -> Path:
    weights = store.files(submission.id).paths["weights"]
    content = bytearray(weights.read_bytes())
    content[10] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    return weights


def truncate(store: ModelsStore, submission: Submission) -> Path:
    weights = store.files(submission.id).paths["weights"]
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    return weights


def lose(store: ModelsStore, submission: Submission) -> Path:
    weights = store.files(submission.id).paths["weights"]
    weights.unlink()
    return weights


def damage_manifest(store: ModelsStore, submission: Submission) -> Path:
    manifest = store.layout.submissions.manifest_path(submission.id)
    manifest.write_text("{")
    return manifest


def edit_manifest(store: ModelsStore, submission: Submission) -> Path:
    manifest = store.layout.submissions.manifest_path(submission.id)
    manifest.write_text(manifest.read_text().replace('"xtts"', '"other"'))
    return manifest


@pytest.mark.parametrize(
    ("damage", "found", "seen_by_size"),
    [
        pytest.param(flip_a_bit, "other content than was written", False, id="bit"),
        pytest.param(truncate, "bytes", True, id="truncated"),
        pytest.param(lose, "no such file", True, id="lost"),
        pytest.param(damage_manifest, "a damaged manifest", True, id="damaged-manifest"),
        pytest.param(edit_manifest, "content with the id sha256:", True, id="edited-manifest"),
    ],
)
def test_damage_is_found(
    store: ModelsStore,
    submitting: ModuleType,
    damage: Callable[[ModelsStore, Submission], Path],
    found: str,
    seen_by_size: bool,
):
    submission = submitting.publish(store, "anna", "a").submission
    submitting.publish(store, "berta", "b")
    assert list(integrity.verify(store.layout, deep=True)) == []
    damaged = damage(store, submission)
    (problem,) = integrity.verify(store.layout, deep=True)
    assert found in problem.found
    assert damaged.name in problem.file
    assert len(list(integrity.verify(store.layout))) == seen_by_size


def test_a_name_without_its_submission_is_found(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    store.layout.submissions.manifest_path(submission.id).unlink()
    (problem,) = integrity.verify(store.layout)
    assert problem.file == "submissions/names/anna"


def test_a_voices_recordings_are_looked_at_too(store: ModelsStore, recording: Path):
    voice = store.add_voice("me", [recording]).voice
    (kept,) = store.recordings(voice)
    kept.unlink()
    (problem,) = integrity.verify(store.layout)
    assert problem.file == f"blobs/{kept.name}"
