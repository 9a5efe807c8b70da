"""`voicecore test` as people use it, against a server that answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from server.cli import app

DEFINITION = """
title: Anna or Ben
kind: preference
min_votes: 2
systems:
  - anna
  - {submission: ben, name: Ben's second}
texts:
  - Hello there, who are you?
  - {text: Guten Tag., language: de}
"""

Run = Callable[..., Result]


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(serve: Callable[..., Any], publish: Callable[..., Any], clock: Clock) -> Any:
    publish("ben")
    return serve(clock=clock, api_key="sesame")


@pytest.fixture
def run(server: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("VOICECORE_API_KEY", "sesame")

    def run(*arguments: str | Path, status: int = 0, port: str | None = None) -> Result:
        address = ["--port", port or server.address.split(":")[1]]
        result = CliRunner().invoke(app, ["test", *map(str, arguments), *address])
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    path = tmp_path / "anna-or-ben.yaml"
    path.write_text(DEFINITION)
    return path


def vote(server: Any, clock: Clock, test: str, answer: str) -> None:
    """One rater who gives the same answer to everything."""
    key = {"Authorization": "Bearer sesame"}
    rater = server.http.post(f"/v1/listening/tests/{test}/raters", headers=key).json()
    path = f"/v1/listening/raters/{rater['rater_id']}"
    while (trial := rater["trial"]) is not None:
        heard = {side["side"]: side["must_hear_s"] for side in trial["sides"]}
        clock.now += sum(heard.values()) + 2
        body = {"answer": answer, "heard": heard}
        sent = server.http.put(f"{path}/trials/{trial['position']}/vote", json=body, headers=key)
        assert sent.is_success, sent.text
        rater = server.http.get(path, headers=key).json()


def test_a_test_goes_from_its_file_to_its_ranking(
    run: Run, server: Any, clock: Clock, definition: Path, tmp_path: Path
):
    assert run("list").output.startswith("There is no listening test.")
    made = json.loads(run("create", definition, "--json").output)
    assert (made["status"], made["clips_done"], made["systems"][1]["name"]) == ("open", 4, "Ben's second")
    assert made["definition"]["texts"][1] == {"text": "Guten Tag.", "language": "de"}
    vote(server, clock, made["id"], "a")
    (row,) = run("list").output.splitlines()[1:]
    assert row.split() == ["Anna", "or", "Ben", "preference", "open", "2", "1", "2", made["id"]]
    shown = run("show", made["id"]).output
    assert "Ben's second" in shown
    assert "2 of 2 votes count" in shown
    results = json.loads(run("show", made["id"], "--json").output)
    assert [standing["rank"] for standing in results["standings"]] == [1, 2]
    run("export", made["id"], "-o", tmp_path / "votes.csv")
    written = (tmp_path / "votes.csv").read_bytes()
    assert run("export", made["id"]).stdout_bytes == written
    rows = list(csv.DictReader(io.StringIO(written.decode(), newline="")))
    assert [line["answer"] for line in rows] == ["a", "a"]
    exported = json.loads(run("export", made["id"], "--format", "json").output)
    assert len(exported["votes"]) == 2


def test_a_test_is_closed_opened_and_deleted(run: Run, server: Any, clock: Clock, definition: Path):
    made = json.loads(run("create", definition, "--json").output)["id"]
    vote(server, clock, made, "b")
    assert run("close", made).output == f"{made} is closed, with 2 votes\n"
    assert run("close", made, "--reopen").output == f"{made} is open, with 2 votes\n"
    refused = run("delete", made, status=1).output
    assert "found 2 votes" in refused
    assert f"voicecore test export {made}" in " ".join(refused.split())
    assert run("delete", made, "--force").output == f"deleted {made}\n"
    assert "'test-" in run("show", made, status=1).output


def test_who_does_not_wait_sees_how_far_the_audio_is(run: Run, server: Any, definition: Path):
    server.speech.first_delay_s = 3600.0
    made = json.loads(run("create", definition, "--no-wait", "--json").output)
    assert made["status"] in ("waiting", "synthesising")
    assert ", 0 of 4 clips" in run("list").output
    assert "expected one that is open or closed" in run("close", made["id"], status=1).output


def test_what_keeps_a_test_from_being_made_is_told(
    run: Run, server: Any, definition: Path, tmp_path: Path, synthesis_error: Exception
):
    (broken := tmp_path / "broken.yaml").write_text("title: [")
    assert "broken.yaml: found no YAML" in run("create", broken, status=2).output
    (short := tmp_path / "short.yaml").write_text("title: t\nkind: mos\nsystems: [anna]")
    assert "found no `texts`" in run("create", short, status=1).output
    server.speech.error = synthesis_error
    assert str(synthesis_error) in run("create", definition, status=1).output


def test_without_a_server_or_its_key_nothing_is_done(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert "found no server" in run("list", port="1", status=1).output
    monkeypatch.setenv("VOICECORE_API_KEY", "wrong")
    assert "found no valid API key" in run("list", status=1).output
