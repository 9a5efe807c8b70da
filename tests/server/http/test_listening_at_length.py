"""A whole listening test through HTTP, and votes that survive a server's sudden death."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from server.listening.catalogue import Catalogue, StoredClip, System
from server.listening.database import Database
from server.listening.definition import TestDefinition
from server.listening.presentation import questions_of

STRENGTHS = {"best": 1.2, "good": 0.6, "fair": 0.0, "poor": -0.6, "bad": -1.2}
RATERS, VOTES = 20, 50


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def vote_on_everything(http: httpx.Client, clock: Clock, test: dict[str, Any], rng: Any) -> None:
    """One rater, who prefers by the systems' true strengths."""
    definition = TestDefinition.model_validate(test["definition"])
    rater = http.post(f"/v1/listening/tests/{test['id']}/raters").json()
    questions = questions_of(definition, rater["number"])
    path = f"/v1/listening/raters/{rater['rater_id']}"
    while (trial := rater["trial"]) is not None:
        a, b = (STRENGTHS[test["systems"][s]["name"]] for s in questions[trial["position"]].systems)
        answer = "a" if rng.random() < 1 / (1 + np.exp(b - a)) else "b"
        heard = {side["side"]: side["must_hear_s"] for side in trial["sides"]}
        clock.now += sum(heard.values()) + 2
        voted = http.put(f"{path}/trials/{trial['position']}/vote", json={"answer": answer, "heard": heard})
        assert voted.status_code == 200, voted.text
        rater = http.get(path).json()
    assert rater["voted"] == VOTES


@pytest.mark.slow
@pytest.mark.timeout(1200)  # half a minute of a core of its own
def test_twenty_raters_with_fifty_votes_each_find_the_order_that_is(
    serve: Callable[..., Any], publish: Callable[..., Any]
):
    for name in STRENGTHS:
        publish(name)
    clock = Clock()
    http = serve(clock=clock).http
    body = {
        "title": "known order",
        "kind": "preference",
        "systems": sorted(STRENGTHS),
        "texts": [f"Text {number}." for number in range(5)],
        "trials_per_rater": VOTES,
    }
    test = http.post("/v1/listening/tests", json=body).json()
    path = f"/v1/listening/tests/{test['id']}"
    deadline = time.monotonic() + 120
    while http.get(path).json()["status"] != "open":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rng = np.random.default_rng(5)
    for _ in range(RATERS):
        vote_on_everything(http, clock, test, rng)
    results = http.get(f"{path}/results").json()
    assert (results["votes_counted"], results["drawn"]) == (RATERS * VOTES, "raters")
    assert [row["name"] for row in results["standings"]] == list(STRENGTHS)
    for row in results["standings"]:
        assert row["low"] < row["score"] < row["high"]
        assert row["score"] == pytest.approx(STRENGTHS[row["name"]], abs=0.4)
    # Another server on the same votes finds the same, to the last digit.
    assert serve(clock=clock).http.get(f"{path}/results").json() == results


# The real application without a device process. Its clock runs so fast that whoever votes has listened.
SERVER = """
import socket, sys, time
from types import SimpleNamespace
import uvicorn
from models_store.store import ModelsStore
from server.http.app import create_app
from server.settings import Settings

async def nothing(): pass

settings = Settings(home=sys.argv[1])
client = SimpleNamespace(connect=nothing, close=nothing)
app = create_app(settings, ModelsStore(settings.store_path), client, client, lambda: time.time() * 1000)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none")).run(sockets=[listener])
"""
PEOPLE = 3


@contextmanager
def killed_at_the_end(home: Path) -> Iterator[str]:
    """A server's address. At the end it gets SIGKILL, whatever it is doing."""
    command = [sys.executable, "-c", SERVER, str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def open_test(home: Path) -> str:
    """A test of 300 trials whose audio is there; its id."""
    database = Database.at(None, home / "listening")
    catalogue = Catalogue(database, time.time)
    texts = [f"Text {number}." for number in range(300)]
    definition = TestDefinition(
        title="t", kind="preference", systems=["a", "b"], texts=texts, trials_per_rater=300, min_votes=2
    )
    test = catalogue.create(definition, [System("a", "1", "1"), System("b", "2", "2")])
    catalogue.lease("here")
    for clip in catalogue.wanted_clips(test.id)[:2]:
        catalogue.save_clip(clip.id, StoredClip("sha256:1", 0.0, -23.0))
    catalogue.open(test.id, "here")
    database.close()
    return test.id


def vote_until_it_dies(url: str, rater_id: str, acknowledged: dict[tuple[str, int], str]) -> None:
    path = f"/v1/listening/raters/{rater_id}"
    with suppress(httpx.HTTPError), httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        while True:
            position = http.get(path).json()["trial"]["position"]
            answer = "ab"[position % 3 == 0]
            body = {"answer": answer, "heard": {"a": 0.0, "b": 0.0}}
            if http.put(f"{path}/trials/{position}/vote", json=body).status_code == 200:
                acknowledged[rater_id, position] = answer


def test_no_acknowledged_vote_is_lost_when_the_server_is_killed_while_people_vote(tmp_path: Path):
    test = open_test(tmp_path)
    acknowledged: dict[tuple[str, int], str] = {}
    raters: dict[str, int] = {}
    for votes_before_death in (25, 60):
        with killed_at_the_end(tmp_path) as url:
            http = httpx.Client(base_url=url, trust_env=False, timeout=60)
            while len(raters) < PEOPLE:
                joined = http.post(f"/v1/listening/tests/{test}/raters").json()
                raters[joined["rater_id"]] = joined["number"]
            # What the server before this one said it had, this one has.
            exported = http.get(f"/v1/listening/tests/{test}/votes").json()["votes"]
            kept = {(row["rater"], row["trial"]): row["answer"] for row in exported}
            assert {
                (raters[rater], trial): a for (rater, trial), a in acknowledged.items()
            }.items() <= kept.items()
            http.close()
            people = [
                threading.Thread(target=vote_until_it_dies, args=(url, rater, acknowledged))
                for rater in raters
            ]
            for person in people:
                person.start()
            deadline = time.monotonic() + 60
            while len(acknowledged) < votes_before_death:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        for person in people:
            person.join()
    with killed_at_the_end(tmp_path) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        exported = http.get(f"/v1/listening/tests/{test}/votes").json()["votes"]
        kept = {(row["rater"], row["trial"]): row["answer"] for row in exported}
        assert {
            (raters[rater], trial): a for (rater, trial), a in acknowledged.items()
        }.items() <= kept.items()
        # Beyond them at most what was on its way: one vote of each person at each death.
        assert len(kept) <= len(acknowledged) + 2 * PEOPLE
        first = http.get(f"/v1/listening/tests/{test}/results").json()
        assert first["votes"] == len(kept)
        assert first == http.get(f"/v1/listening/tests/{test}/results").json()
