"""Many processes and one store."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from types import ModuleType

import pytest

from models_store import integrity
from models_store.errors import InUse
from models_store.store import ModelsStore

Start = Callable[..., subprocess.Popen[str]]
PROCESSES = 4
SUBMISSIONS = 12


def finish(processes: list[subprocess.Popen[str]]) -> list[list[list[str]]]:
    """Per process, per line: id, is_new, replaced_id."""
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [[line.split() for line in output.splitlines()] for output in outputs]


def test_different_content_beside_a_collector(store: ModelsStore, start_submitting: Start):
    collector = start_submitting("collect")
    told = finish([start_submitting("publish", f"p{i}-", str(SUBMISSIONS)) for i in range(PROCESSES)])
    assert collector.poll() is None  # it collected to the end
    collector.kill()
    expected = {line[0] for lines in told for line in lines}
    assert len(expected) == PROCESSES * SUBMISSIONS
    assert {submission.id for submission in store.submissions()} == expected
    assert list(integrity.verify(store.layout, deep=True)) == []


def test_the_same_content_is_new_once(store: ModelsStore, start_submitting: Start):
    told = finish([start_submitting("publish", "same-", str(SUBMISSIONS)) for _ in range(PROCESSES)])
    new = [line[0] for lines in told for line in lines if line[1] == "True"]
    assert len(new) == len(set(new)) == SUBMISSIONS
    assert {submission.id for submission in store.submissions()} == set(new)
    assert list(integrity.verify(store.layout, deep=True)) == []


def test_of_many_who_move_a_name_each_knows_whom_it_replaced(store: ModelsStore, start_submitting: Start):
    told = finish([start_submitting("move", f"p{i}-", str(SUBMISSIONS), "best") for i in range(PROCESSES)])
    moves = [(new_id, replaced_id) for lines in told for new_id, _, replaced_id in lines]
    # Each but the last was replaced by exactly one other, and exactly one found nothing to replace.
    replaced = sorted(replaced_id for _, replaced_id in moves)
    assert replaced == sorted({new_id for new_id, _ in moves} - {store.names()["best"]} | {"None"})


def test_a_lease_is_seen_by_other_processes_and_ends_with_its_own(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType
):
    submission = submitting.publish(store, "anna", "a").submission
    holder = start_submitting("lease", submission.id)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert store.is_resident(submission.id)
    with pytest.raises(InUse, match="resident in a running server"):
        store.delete("anna")
    assert store.resolve("anna") == submission

    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not store.is_resident(submission.id)
    store.delete("anna")
    assert store.submissions() == []


def test_force_removes_what_is_leased(store: ModelsStore, start_submitting: Start, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    holder = start_submitting("lease", submission.id)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with store.files(submission.id).paths["weights"].open("rb") as weights:
        store.delete("anna", force=True)
        assert store.submissions() == []
        assert weights.read(1) == b"a"  # whoever has it open keeps it


def test_a_store_that_is_open_sees_what_others_do(
    store: ModelsStore, start_submitting: Start, submitting: ModuleType
):
    assert store.submissions() == []
    ((line,),) = finish([start_submitting("publish", "x", "1")])
    assert store.resolve("x0").id == line[0]
    ModelsStore(store.root).delete("x0")
    assert store.submissions() == []
