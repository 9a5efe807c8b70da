"""Evaluations in the background: everything spoken once, what was interrupted goes on, failures told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from server.evaluation.archive import Archive, Samples, Spoken
from server.evaluation.plan import Item, Plan
from server.evaluation.runner import Later, Runner, Utterance
from server.settings import Settings

MakePlan = Callable[..., Plan]

# A listener that is as quick as it can be: it tells its progress, and finishes as it was told to.
LISTENER = """
import json, sys
from pathlib import Path
from server.evaluation.archive import Archive
sys.stdin.readline()
folder, ending, evaluation = sys.argv[1:4]
archive = Archive(Path(folder))
plan = archive.plan(evaluation)
print(json.dumps({"done": plan.num_items, "total": plan.num_items}), flush=True)
if ending == "fails":
    print(json.dumps({"error": "the recogniser is gone"}), flush=True)
    sys.exit(1)
if ending == "dies":
    sys.exit(3)
archive.finish(evaluation, {"systems": [{"scores": {}} for _ in plan.systems]}, "<p>report")
"""


class Speaker:
    """Speaks tones; a test may have it break after some utterances."""

    def __init__(self, spoken: Callable[..., Spoken], tone: Callable[[Item], Samples]) -> None:
        self._make, self._tone = spoken, tone
        self.keys: list[str] = []
        self.busy = self.busiest = 0
        self.breaks_after: int | None = None
        self.error: Exception = Later()

    async def __call__(self, item: Item) -> Utterance:
        if len(self.keys) == self.breaks_after:
            self.breaks_after = None
            raise self.error
        self.keys.append(item.key)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0.001)
        self.busy -= 1
        return Utterance(self._make(), self._tone(item))


@pytest.fixture
def speaker(spoken: Callable[..., Spoken], tone: Callable[[Item], Samples]) -> Speaker:
    return Speaker(spoken, tone)


@pytest.fixture
def run(archive: Archive, speaker: Speaker, tmp_path: Path) -> Callable[..., str]:
    """Runs until the plan has ended or the runner was closed; gives its status."""
    script = tmp_path / "listener.py"
    script.write_text(LISTENER)

    def run(plan: Plan, ending: str = "finishes", until: Callable[[], bool] = lambda: False) -> str:
        command = (sys.executable, str(script), str(archive.folder), ending)
        runner = Runner(archive, Settings(home=tmp_path), speaker, str, command, poll_s=0.01)

        async def go() -> None:
            runner.start()
            while archive.state(plan.id).status in ("waiting", "running") and not until():
                await asyncio.sleep(0.005)
            await runner.close()

        asyncio.run(go())
        return archive.state(plan.id).status

    return run


def test_everything_is_spoken_once_and_only_the_first_seed_is_timed(
    run: Callable[..., str], archive: Archive, speaker: Speaker, make_plan: MakePlan
):
    plan = archive.add(make_plan("anna", "ben", seeds=(1, 2, 3)))
    assert run(plan) == "finished"
    assert sorted(speaker.keys) == sorted(item.key for item in plan.items())
    assert 1 < speaker.busiest <= 4
    for item in plan.items():
        spoken = archive.spoken(item.key)
        assert spoken is not None
        assert (spoken.ttfa_s is not None) == (spoken.took_s is not None) == (item.seed == 1)


def test_what_is_there_is_not_made_again(
    run: Callable[..., str], archive: Archive, speaker: Speaker, make_plan: MakePlan
):
    assert run(archive.add(make_plan("anna"))) == "finished"
    speaker.keys.clear()
    plan = archive.add(make_plan("anna", "ben"))
    assert run(plan) == "finished"
    assert sorted(speaker.keys) == sorted(item.key for item in plan.items() if item.system.name == "ben")


def test_a_runner_that_was_stopped_is_taken_up_where_it_was(
    run: Callable[..., str], archive: Archive, speaker: Speaker, make_plan: MakePlan
):
    plan = archive.add(make_plan("anna", seeds=(1, 2, 3)))
    run(plan, until=lambda: len(speaker.keys) >= 4)
    done = {item.key for item in plan.items() if archive.spoken(item.key)}
    assert 0 < len(done) < plan.num_items
    speaker.keys.clear()
    assert run(plan) == "finished"
    assert not done & set(speaker.keys)


def test_it_waits_while_nothing_can_be_spoken(
    run: Callable[..., str], archive: Archive, speaker: Speaker, make_plan: MakePlan
):
    speaker.breaks_after = 2
    plan = archive.add(make_plan())
    assert run(plan) == "finished"
    assert len(speaker.keys) == plan.num_items


@pytest.mark.parametrize(
    ("ending", "told"), [("fails", "the recogniser is gone"), ("dies", "ended with status 3")]
)
def test_a_listener_that_fails_ends_the_evaluation_with_its_words(
    run: Callable[..., str], archive: Archive, make_plan: MakePlan, ending: str, told: str
):
    plan = archive.add(make_plan(seeds=(1,)))
    assert run(plan, ending) == "failed"
    assert told in (archive.state(plan.id).error or "")
    assert run(archive.add(plan)) == "finished"


def test_other_failures_of_speech_end_it(
    run: Callable[..., str], archive: Archive, speaker: Speaker, make_plan: MakePlan
):
    speaker.breaks_after, speaker.error = 1, RuntimeError("no such submission")
    plan = archive.add(make_plan())
    assert run(plan) == "failed"
    assert archive.state(plan.id).error == "no such submission"


def test_one_that_is_deleted_while_it_is_made_stops(
    run: Callable[..., str], archive: Archive, speaker: Speaker, make_plan: MakePlan
):
    gone, stays = archive.add(make_plan("anna")), archive.add(make_plan("ben"))

    def delete_once() -> bool:
        if len(speaker.keys) == 1 and any(plan.id == gone.id for plan in archive.plans()):
            archive.delete(gone.id)
        return False

    assert run(stays, until=delete_once) == "finished"
    assert np.isin([item.key for item in stays.items()], speaker.keys).all()
