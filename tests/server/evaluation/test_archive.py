"""What is kept on disk: one rename per file, shared by evaluations, gone when nobody wants it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest

from server.evaluation.archive import Archive, Heard, Progress, Samples, Spoken
from server.evaluation.errors import UnknownEvaluation
from server.evaluation.plan import Item, Plan

MakePlan = Callable[..., Plan]


def test_the_same_plan_is_the_same_evaluation(archive: Archive, make_plan: MakePlan):
    first = archive.add(make_plan("anna"))
    assert archive.add(make_plan("anna", created_at="2027-01-01T00:00:00+00:00")) == first
    assert [plan.id for plan in archive.plans()] == [first.id]
    others = [make_plan("ben"), make_plan("anna", seeds=(1,)), make_plan("anna", recogniser="pocketsphinx")]
    assert len({first.id, *(other.id for other in others)}) == 4


def test_one_can_be_deleted_while_its_progress_is_written(archive: Archive, make_plan: MakePlan):
    stop = Event()

    def report() -> None:
        while not stop.is_set():
            archive.report_progress(plan.id, Progress("speaking", 1, 2))

    for _ in range(20):
        plan = archive.add(make_plan())
        with ThreadPoolExecutor(2) as writers:
            reports = [writers.submit(report) for _ in range(2)]
            try:
                archive.delete(plan.id)
            finally:
                stop.set()
            for each in reports:
                each.result()
        stop.clear()
        assert not list((archive.folder / "plans").iterdir())


def test_of_two_who_delete_one_at_once_the_second_finds_none(archive: Archive, make_plan: MakePlan):
    together = Barrier(2)

    def delete() -> str:
        together.wait(timeout=60)
        try:
            archive.delete(plan.id)
        except UnknownEvaluation:
            return "unknown"
        return "deleted"

    for _ in range(100):
        plan = archive.add(make_plan())
        with ThreadPoolExecutor(2) as deleters:
            ends = [deleters.submit(delete) for _ in range(2)]
        assert sorted(end.result() for end in ends) == ["deleted", "unknown"]


def test_utterances_are_shared_and_survive_until_nobody_wants_them(
    archive: Archive, make_plan: MakePlan, spoken: Callable[..., Spoken], tone: Callable[[Item], Samples]
):
    alone, both = archive.add(make_plan("anna")), archive.add(make_plan("anna", "ben"))
    for item in both.items():
        archive.put_spoken(item, spoken(), tone(item))
        archive.put_heard(both.measurement(item), Heard("hello", {"cer": 0.5}))
    annas = list(alone.items())
    assert all(archive.spoken(item.key) and archive.heard(alone.measurement(item)) for item in annas)
    archive.delete(both.id)
    for item in both.items():
        assert (archive.spoken(item.key) is not None) == (item in annas)
        assert archive.audio_path(item.key).exists() == (item in annas)
    archive.delete(alone.id)
    assert not list(archive.folder.rglob("*.flac"))
    with pytest.raises(UnknownEvaluation):
        archive.plan(alone.id)


def test_sound_comes_back_as_it_was(
    archive: Archive, make_plan: MakePlan, spoken: Callable[..., Spoken], tone: Callable[[Item], Samples]
):
    item = next(make_plan().items())
    archive.put_spoken(item, spoken(ttfa_s=None), tone(item))
    samples, rate = archive.samples(item.key)
    assert rate == 16_000
    assert np.abs(samples - tone(item)).max() < 1e-4
    assert archive.spoken(item.key) == spoken(ttfa_s=None)


def test_what_could_not_be_spoken_has_no_sound(
    archive: Archive, make_plan: MakePlan, spoken: Callable[..., Spoken]
):
    item = next(make_plan().items())
    archive.put_spoken(item, spoken(error="too long"), np.empty(0, np.float32))
    assert not archive.audio_path(item.key).exists()
    assert len(archive.samples(item.key)[0]) == 0


def test_states_follow_what_is_on_the_disk(archive: Archive, make_plan: MakePlan):
    plan = archive.add(make_plan())
    assert archive.state(plan.id).status == "waiting"
    with archive.held(plan.id):
        archive.report_progress(plan.id, Progress("speaking", 1, 6))
        assert archive.state(plan.id).status == "running"
        assert archive.state(plan.id).progress == Progress("speaking", 1, 6)
        with pytest.raises(BlockingIOError), archive.held(plan.id):
            pass
    archive.fail(plan.id, "the disk is full")
    assert (archive.state(plan.id).status, archive.state(plan.id).error) == ("failed", "the disk is full")
    assert archive.unfinished() == []
    archive.add(plan)  # asked for again: tried again
    assert archive.unfinished() == [plan]
    archive.finish(plan.id, {"systems": [{"scores": {"cer": {"mean": 0.5}}}]}, "<p>report")
    assert archive.state(plan.id).status == "finished"
    assert archive.means(plan.id) == [{"cer": 0.5}]


@pytest.mark.parametrize("name", ["eval-0123456789abcdef", "../plans", "eval-", ""])
def test_other_ids_are_unknown(archive: Archive, name: str):
    with pytest.raises(UnknownEvaluation):
        archive.state(name)
