"""kill -9 at any moment leaves the whole submission or none, and the next submit cleans up."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from types import ModuleType

import pytest

from models_store import integrity
from models_store.store import ModelsStore

Start = Callable[..., subprocess.Popen[str]]
KILLS = 30


def assert_whole(store: ModelsStore) -> None:
    """Every submission has every file with its digest, and every name means a submission."""
    assert list(integrity.verify(store.layout, deep=True)) == []


def assert_no_garbage(store: ModelsStore) -> None:
    blobs = {blob.digest for submission in store.submissions() for blob in submission.blobs.values()}
    blobs |= {blob.digest for submission in store.submissions() for blob in submission.voice.recordings}
    assert {f"sha256:{path.name}" for path in store.layout.blobs.iterdir()} == blobs
    assert list(store.layout.scratch.iterdir()) == []


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return answer(process)


def test_a_submitter_killed_at_random_moments(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType
):
    moments = random.Random(7)
    first = submitting.publish(store, "first", "first").submission
    for number in range(KILLS):
        submitter = start_submitting("loop", f"run{number}-")
        answer(submitter)
        time.sleep(moments.uniform(0.0, 0.06))
        submitter.kill()
        submitter.wait()
        assert_whole(store)
        assert store.resolve("first") == first
    assert len(store.submissions()) > KILLS  # each had at least one, or this tested nothing
    submitting.publish(store, "after", "after")
    assert_no_garbage(store)


def test_a_submitter_killed_at_every_file_operation(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType
):
    old = submitting.publish(store, "old", "old").submission
    victim = start_submitting("killed", "publish")
    assert answer(victim) == "ready"
    number = 0
    while (outcome := ask(victim, str(number := number + 1))) == "killed":
        assert_whole(store)
        assert store.resolve("old") == old
        assert len(store.submissions()) in (1, 2)
        if "new" in store.names():
            store.delete("new")
        elif len(store.submissions()) == 2:  # killed between the manifest and the name
            (unnamed,) = (found for found in store.submissions() if found != old)
            store.delete(unnamed.id)
        else:
            store.collect_garbage()
        assert_no_garbage(store)
    assert outcome == "done"
    assert number > 30  # each of these was a place to die at
    assert set(store.names()) == {"old", "new"}
    assert_no_garbage(store)


def test_a_remover_killed_at_every_file_operation(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType
):
    kept = submitting.publish(store, "kept", "kept").submission
    remover = start_submitting("killed", "delete")
    assert answer(remover) == "ready"
    number = 0
    outcome = "killed"
    while outcome == "killed":
        submitting.publish(store, "old", "old")
        store.alias("older", "old")
        outcome = ask(remover, str(number := number + 1))
        assert_whole(store)
        assert store.resolve("kept") == kept
        store.collect_garbage()
        assert_no_garbage(store)
        store.submissions()
    assert outcome == "done"
    assert number > 10
    assert store.submissions() == [kept]
    assert store.names() == {"kept": kept.id}


@pytest.mark.parametrize("content", [pytest.param("same", id="same"), pytest.param("other", id="other")])
def test_the_next_submit_collects_what_a_killed_one_left(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType, content: str
):
    victim = start_submitting("killed", "publish")
    answer(victim)
    number = 0
    while not list(store.layout.blobs.iterdir()):  # until it dies with a blob in place
        assert ask(victim, str(number := number + 1)) == "killed"
    assert list(store.layout.scratch.iterdir())
    assert store.submissions() == []
    submitting.publish(store, "next", "new" if content == "same" else content, size_bytes=10_000)
    assert len(store.submissions()) == 1
    assert_whole(store)
    assert_no_garbage(store)
