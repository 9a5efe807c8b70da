"""A submission that somebody is deciding about stays with a name and goes without one, kills included."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from models_store import integrity
from models_store.store import ModelsStore

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def upload(submitting: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the intake makes of it is `submitting.checked`'s."""
    submitting.stand_in_for_the_intake(monkeypatch.setattr)
    return Path("upload")


def assert_empty(store: ModelsStore) -> None:
    assert store.submissions() == []
    assert list(store.layout.blobs.iterdir()) == []
    assert list(store.layout.scratch.iterdir()) == []


def test_with_a_name_it_stays(store: ModelsStore, upload: Path):
    with store.on_trial(upload) as published:
        assert published.is_new
        assert store.submissions() == [published.submission]
        assert store.names() == {}
        assert store.collect_garbage() == 0
        store.alias("anna", published.submission.id)
    assert store.resolve("anna") == published.submission
    store.unalias("anna")
    store.collect_garbage()
    assert store.submissions() == [published.submission]  # it is on trial no more


def test_without_one_it_goes_even_while_it_is_resident(store: ModelsStore, upload: Path):
    with store.on_trial(upload) as published:
        lease = store.lease(published.submission.id)
    assert_empty(store)
    lease.release()


def test_refused_it_goes(store: ModelsStore, upload: Path):
    def refuse() -> None:
        with store.on_trial(upload):
            raise ValueError("bad speech")

    with pytest.raises(ValueError, match="bad speech"):
        refuse()
    assert_empty(store)


def test_what_was_here_before_is_not_on_trial(store: ModelsStore, submitting: ModuleType, upload: Path):
    wanted = submitting.publish(store, "anna", "new", size_bytes=10_000).submission
    store.unalias("anna")
    with store.on_trial(upload) as published:
        assert not published.is_new
        assert published.submission == wanted
    assert store.submissions() == [wanted]


def test_it_stays_while_anybody_decides(store: ModelsStore, upload: Path):
    with store.on_trial(upload) as first:
        with store.on_trial(upload) as second:
            assert second.submission == first.submission
        assert store.submissions() == [first.submission]
    assert_empty(store)


def test_a_judge_killed_at_every_file_operation(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType
):
    old = submitting.publish(store, "old", "old").submission
    judge = start_submitting("killed", "try")
    assert judge.stdin is not None
    assert judge.stdout is not None
    assert judge.stdout.readline() == "ready\n"
    number, outcome, num_left = 0, "killed\n", 0
    while outcome == "killed\n":
        judge.stdin.write(f"{(number := number + 1)}\n")
        judge.stdin.flush()
        outcome = judge.stdout.readline()
        assert list(integrity.verify(store.layout, deep=True)) == []
        num_left += len(store.submissions()) == 2
        store.collect_garbage()
        assert store.submissions() == [old]
        assert len([*store.layout.blobs.iterdir()]) == len(old.blobs) + 1
    assert outcome == "done\n"
    assert number > 30
    assert num_left > 2  # places to die at with the submission in the store
