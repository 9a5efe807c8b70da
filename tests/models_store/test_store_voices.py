"""Registered voices."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from models_store import durable
from models_store.errors import BadName, NotFound, SubmissionError
from models_store.store import ModelsStore


def test_a_voice_is_registered_listed_and_forgotten(
    store: ModelsStore, recording: Path, submitting: ModuleType
):
    submission = submitting.publish(store, "anna", "a").submission
    added = store.add_voice("me", [recording], "en", "la la")
    assert added.voice.duration_s == pytest.approx(2.0)
    assert added.voice.language == "en"
    assert added.voice.transcript == "la la"
    assert store.voices() == {"me": added.voice}
    assert store.resolve_voice("me") == store.resolve_voice(added.voice.id) == added.voice
    (kept,) = store.recordings(added.voice)
    assert durable.digest_file(kept) == added.voice.recordings[0]

    derived = store.conditioning_dir(submission.id) / f"{added.voice.id[7:]}.float32.safetensors"
    derived.write_bytes(b"latents")
    assert store.delete_voice("me") == added.voice
    assert store.voices() == {}
    assert not kept.exists()
    assert not derived.exists()
    with pytest.raises(NotFound):
        store.resolve_voice(added.voice.id)


def test_a_voice_lives_as_long_as_it_has_a_name(store: ModelsStore, recording: Path):
    voice = store.add_voice("me", [recording]).voice
    assert store.add_voice("myself", [recording]).voice == voice
    store.delete_voice("me")
    assert store.voices() == {"myself": voice}
    replaced = store.add_voice("myself", [recording], "de")
    assert replaced.replaced_id == voice.id
    with pytest.raises(NotFound):
        store.resolve_voice(voice.id)


def test_default_is_the_submissions_own_voice(store: ModelsStore, recording: Path, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    assert store.resolve_voice("default", submission) == submission.voice
    assert store.resolve_voice(submission.voice.id, submission) == submission.voice
    with pytest.raises(NotFound):
        store.resolve_voice("default")
    with pytest.raises(BadName, match="own voice"):
        store.add_voice("default", [recording])


def test_every_problem_of_every_recording_is_told(store: ModelsStore, recording: Path, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(SubmissionError) as refused:
        store.add_voice("me", [tmp_path / "notes.txt", recording, tmp_path / "empty.wav"])
    assert [problem.file for problem in refused.value.problems] == ["notes.txt", "empty.wav"]
    assert store.voices() == {}
    assert list(store.layout.blobs.iterdir()) == []
