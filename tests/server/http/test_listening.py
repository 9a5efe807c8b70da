"""Listening tests through HTTP: from their making to the ranking."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyloudnorm
import pytest
import soundfile

TEST = {
    "title": "Anna or Ben",
    "kind": "preference",
    "systems": ["anna", "ben"],
    "texts": ["Hello there, who are you?", "One more text."],
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class People:
    """The makers of tests and their raters, on the far side of HTTP."""

    def __init__(self, http: httpx.Client, clock: Clock) -> None:
        self.http = http
        self.clock = clock

    def make(self, **changes: Any) -> httpx.Response:
        return self.http.post("/v1/listening/tests", json=TEST | changes)

    def opened(self, **changes: Any) -> dict[str, Any]:
        """A test, when its audio is there or it has failed."""
        made = self.make(**changes)
        assert made.status_code == 201, made.text
        deadline = time.monotonic() + 30
        while (test := self.get(f"tests/{made.json()['id']}"))["status"] not in ("open", "failed"):
            assert time.monotonic() < deadline, test
            time.sleep(0.02)
        return test

    def get(self, path: str) -> Any:
        response = self.http.get(f"/v1/listening/{path}")
        assert response.is_success, response.text
        return response.json()

    def join(self, test: dict[str, Any]) -> dict[str, Any]:
        response = self.http.post(f"/v1/listening/tests/{test['id']}/raters")
        assert response.status_code == 201, response.text
        return dict(response.json())

    def audio(self, rater: dict[str, Any], side: str, **headers: str) -> httpx.Response:
        path = f"/v1/listening/raters/{rater['rater_id']}/trials/{rater['trial']['position']}/audio/{side}"
        return self.http.get(path, headers=headers)

    def vote(self, rater: dict[str, Any], answer: str, listens: bool = True) -> httpx.Response:
        trial = rater["trial"]
        heard = {side["side"]: side["must_hear_s"] for side in trial["sides"]}
        if listens:
            self.clock.now += sum(heard.values()) + 1
        path = f"/v1/listening/raters/{rater['rater_id']}/trials/{trial['position']}/vote"
        return self.http.put(path, json={"answer": answer, "heard": heard})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(serve: Callable[..., Any], publish: Callable[..., Any], clock: Clock) -> People:
    publish("ben")
    server = serve(clock=clock)
    return People(server.http, clock)


def test_a_blind_comparison_by_two_raters_ends_in_a_ranking(people: People):
    test = people.opened(min_votes=2)
    assert (test["status"], test["clips_done"], test["clips_total"]) == ("open", 4, 4)
    for _ in range(2):
        rater = people.join(test)
        while rater["trial"] is not None:
            assert "anna" not in str(rater["trial"])
            sounds = {side: people.audio(rater, side) for side in "ab"}
            assert all(sound.headers["content-type"] == "audio/flac" for sound in sounds.values())
            assert not any("anna" in str(sound.headers) for sound in sounds.values())
            # Nobody votes blind and right by chance in every trial: the names come with the vote.
            first = people.vote(rater, "a").json()
            assert sorted(first["names"].values()) == ["anna", "ben"]
            rater = people.get(f"raters/{rater['rater_id']}")
        assert (rater["voted"], rater["total"]) == (2, 2)
    results = people.get(f"tests/{test['id']}/results")
    assert results["votes_counted"] == 4
    assert [row["rank"] for row in results["standings"]] == [1, 2]
    assert results == people.get(f"tests/{test['id']}/results")
    assert np.sum(results["wins"]) == 4
    assert people.get("tests")["data"][0]["votes"] == 4


def test_every_rater_hears_the_same_at_one_loudness(people: People):
    test = people.opened()
    found: dict[tuple[str, str], set[bytes]] = {}
    for _ in range(3):
        rater = people.join(test)
        while rater["trial"] is not None:
            sounds = {side: people.audio(rater, side).content for side in "ab"}
            names = people.vote(rater, "b").json()["names"]
            for side, sound in sounds.items():
                found.setdefault((names[side], rater["trial"]["text"]), set()).add(sound)
                samples, rate = soundfile.read(io.BytesIO(sound))
                loudness = pyloudnorm.Meter(rate, block_size=0.4).integrated_loudness(samples)
                assert loudness == pytest.approx(-23.0, abs=0.1)
            rater = people.get(f"raters/{rater['rater_id']}")
    assert len(found) == 4
    assert all(len(sounds) == 1 for sounds in found.values())


def test_audio_answers_ranges(people: People):
    rater = people.join(people.opened(kind="abx"))
    whole = people.audio(rater, "x")
    part = people.audio(rater, "x", Range="bytes=10-29")
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[10:30]
    assert part.headers["content-range"] == f"bytes 10-29/{len(whole.content)}"
    assert whole.content in [people.audio(rater, side).content for side in "ab"]
    assert whole.headers["etag"] not in [people.audio(rater, side).headers["etag"] for side in "ab"]


def test_a_vote_comes_after_listening_and_only_once(people: People):
    rater = people.join(people.opened())
    early = people.vote(rater, "a", listens=False)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "vote_conflict")
    assert "Listen first" in early.json()["error"]["message"]
    assert people.vote(rater, "a").json()["is_new"]
    assert not people.vote(rater, "a").json()["is_new"]
    other = people.vote(rater, "b")
    assert other.status_code == 409
    assert "can't be changed" in other.json()["error"]["message"]


def test_votes_leave_as_csv_and_json(people: People):
    test = people.opened(kind="mos", texts=["Hello, =you."])
    rater = people.join(test)
    people.vote(rater, "4")
    exported = people.get(f"tests/{test['id']}/votes")
    (row,) = exported["votes"]
    assert (row["rater"], row["answer"], row["text"], row["counts"]) == (0, "4", "Hello, =you.", True)
    assert rater["rater_id"] not in str(exported)
    sent = people.http.get(f"/v1/listening/tests/{test['id']}/votes", params={"format": "csv"})
    assert sent.headers["content-type"] == "text/csv; charset=utf-8"
    (line,) = csv.DictReader(io.StringIO(sent.text))
    assert (line["a"], line["answer"], line["b"]) == (row["a"], "4", "")


@pytest.mark.parametrize(
    ("changes", "status", "code", "found"),
    [
        ({"systems": ["anna", "nobody"]}, 404, "model_not_found", "'nobody'"),
        ({"systems": ["anna", {"submission": "ben", "voice": "x"}]}, 404, "voice_not_found", "'x'"),
        ({"systems": ["anna", {"submission": "anna", "name": "b"}]}, 422, "bad_test", "one submission"),
        ({"systems": ["anna"]}, 422, "invalid_value", "two systems"),
        ({"kind": "contest"}, 422, "invalid_value", "contest"),
        ({"texts": []}, 422, "invalid_value", "texts"),
        ({"colour": 1}, 422, "invalid_value", "colour"),
    ],
)
def test_a_test_that_cannot_be_is_refused(people: People, changes: dict, status: int, code: str, found: str):
    refused = people.make(**changes)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
    assert found in refused.json()["error"]["message"]
    assert people.get("tests")["data"] == []


def test_what_does_not_exist_is_not_found(people: People):
    for method, path, code in [
        ("GET", "tests/test-0", "test_not_found"),
        ("GET", "tests/test-0/results", "test_not_found"),
        ("GET", "tests/test-0/votes", "test_not_found"),
        ("POST", "tests/test-0/raters", "test_not_found"),
        ("GET", "raters/rater-0", "rater_not_found"),
        ("GET", "raters/rater-0/trials/0/audio/a", "rater_not_found"),
    ]:
        response = people.http.request(method, f"/v1/listening/{path}")
        assert (response.status_code, response.json()["error"]["code"]) == (404, code), path
    rater = people.join(people.opened())
    for position in (1, 77):
        path = f"/v1/listening/raters/{rater['rater_id']}/trials/{position}/audio/a"
        assert people.http.get(path).json()["error"]["code"] == "trial_not_found"
    assert people.audio(rater, "x").status_code == 404
    assert people.audio(rater, "q").status_code == 422


def test_a_text_that_cannot_be_spoken_ends_its_test_with_the_reason(
    serve: Callable[..., Any], publish: Callable[..., Any], clock: Clock, synthesis_error: Exception
):
    publish("ben")
    server = serve(clock=clock)
    server.speech.error = synthesis_error
    people = People(server.http, clock)
    test = people.opened()
    assert (test["status"], test["error"]) == ("failed", str(synthesis_error))
    joined = people.http.post(f"/v1/listening/tests/{test['id']}/raters")
    assert (joined.status_code, joined.json()["error"]["code"]) == (409, "test_not_open")


def test_synthesis_waits_for_a_device_process_that_is_away(
    serve: Callable[..., Any], publish: Callable[..., Any], clock: Clock
):
    publish("ben")
    server = serve(clock=clock)
    server.speech.is_up = False
    people = People(server.http, clock)
    made = people.make().json()
    time.sleep(0.3)
    assert people.get(f"tests/{made['id']}")["status"] == "synthesising"
    server.speech.is_up = True
    assert people.opened(title="another")["status"] == "open"  # its maker wakes the one who waits
    assert people.get(f"tests/{made['id']}")["status"] == "open"


def test_without_the_key_there_are_no_listening_tests(serve: Callable[..., Any]):
    server = serve(api_key="sesame")
    assert server.http.get("/v1/listening/tests").status_code == 401
    allowed = server.http.get("/v1/listening/tests", headers={"Authorization": "Bearer sesame"})
    assert allowed.json() == {"object": "list", "data": []}


def test_a_database_that_is_away_leaves_speech_alone(serve: Callable[..., Any]):
    server = serve(database_url="postgresql://anna:secret@127.0.0.1:1/voices")
    refused = server.http.get("/v1/listening/tests")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "database_unavailable")
    assert "secret" not in refused.text
    assert refused.headers["retry-after"] == "5"
    assert server.speak().is_success


def test_audio_is_stored_once_under_its_digest(people: People, tmp_path: Path):
    people.opened()
    before = sorted((tmp_path / "home" / "listening" / "clips").rglob("*.flac"))
    people.opened(title="the same again")
    assert sorted((tmp_path / "home" / "listening" / "clips").rglob("*.flac")) == before
    assert len(before) == 4


def test_a_test_is_closed_and_opened_again(people: People):
    test = people.opened()
    path = f"/v1/listening/tests/{test['id']}"
    assert people.http.patch(path, json={"status": "closed"}).json()["status"] == "closed"
    refused = people.http.post(f"{path}/raters")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "test_not_open")
    assert people.http.patch(path, json={"status": "waiting"}).status_code == 422
    assert people.http.patch(path, json={"status": "open"}).json()["status"] == "open"
    assert people.join(test)["trial"] is not None


def test_a_deleted_test_is_gone_and_so_is_audio_that_nobody_else_uses(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clips = tmp_path / "home" / "listening" / "clips"
    kept, gone = people.opened(texts=TEST["texts"][:1]), people.opened()
    rater = people.join(gone)
    people.vote(rater, "a")
    assert len(list(clips.rglob("*.flac"))) == 4
    assert people.http.delete(f"/v1/listening/tests/{gone['id']}").json()["deleted"]
    assert [test["id"] for test in people.get("tests")["data"]] == [kept["id"]]
    assert people.http.get(f"/v1/listening/raters/{rater['rater_id']}").status_code == 404
    assert len(list(clips.rglob("*.flac"))) == 4  # a test in the making may be about to use them
    monkeypatch.setattr("server.listening.audio.UNUSED_S", -1.0)
    another = people.opened(title="soon deleted")
    people.http.delete(f"/v1/listening/tests/{another['id']}")
    assert len(list(clips.rglob("*.flac"))) == 2
    assert people.audio(people.join(kept), "a").is_success
