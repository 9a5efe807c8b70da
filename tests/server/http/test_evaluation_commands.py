"""`voicecore evaluate` before a server that runs, as people use it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from server.cli import app

LISTENER = """
import json, sys
from server import child
from server.evaluation.archive import Archive, Heard
from server.evaluation.result import compute_result
archive = Archive(child.begin().home_path / "evaluations")
plan = archive.plan(sys.argv[1])
if "broken" in plan.texts.sentences[0].text:
    print(json.dumps({"error": "the recogniser is gone"}), flush=True)
    sys.exit(1)
for item in plan.items():
    cer = 0.1 if item.system.name == "ben" else 0.3
    archive.put_heard(plan.measurement(item), Heard("hm", {"cer": cer}))
archive.finish(plan.id, compute_result(plan, archive, {}, plan.created_at), "<title>Report</title>")
"""


@pytest.fixture
def evaluate(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `voicecore evaluate` with arguments, two short texts and one seed."""
    script, texts = tmp_path / "listener.py", tmp_path / "texts.txt"
    script.write_text(LISTENER)
    texts.write_text("# mine\nhm\n\nyes\n")
    server.app.state.evaluations.runner._listener_command = (sys.executable, str(script))
    host, port = server.address.split(":")
    monkeypatch.setenv("COLUMNS", "300")

    def evaluate(*arguments: str, status: int = 0, own: Path = texts) -> Result:
        fixed = ("--host", host, "--port", port, "--home", str(tmp_path / "elsewhere"))
        asked = () if "--list" in arguments else ("--texts", str(own), "--seeds", "1", "--recogniser", "none")
        result = CliRunner().invoke(app, ["evaluate", *asked, *arguments, *fixed])
        assert result.exit_code == status, result.output
        return result

    return evaluate


def test_submissions_are_measured_and_the_report_is_written(
    evaluate: Callable[..., Result], publish: Callable[..., Any], tmp_path: Path
) -> None:
    publish("ben")
    folder = tmp_path / "report"
    told = evaluate("anna", "ben", "--output", str(folder)).stdout.splitlines()
    assert [line.split()[:3] for line in told[:3]] == [
        ["name", "overall", "character"],
        ["ben", "94", "%"],
        ["anna", "83", "%"],
    ]
    assert told[3].endswith(str(folder / "report.html"))
    assert (folder / "report.html").read_text() == "<title>Report</title>"
    result = json.loads((folder / "result.json").read_text())
    assert [system["name"] for system in result["systems"]] == ["anna", "ben"]
    assert {utterance["text"] for utterance in result["utterances"]} == {"hm", "yes"}
    listed = evaluate("--list").stdout
    assert result["id"] in listed
    assert "2 × 1 in en" in listed


def test_texts_may_be_json_with_kinds(evaluate: Callable[..., Result], tmp_path: Path) -> None:
    own = tmp_path / "mine.json"
    own.write_text(
        json.dumps({"language": "de", "sentences": {"numbers": [{"text": "7", "spoken": "sieben"}]}})
    )
    told = json.loads(evaluate("anna", "--json", own=own).stdout)
    assert told["language"] == "de"
    assert told["utterances"][0]["kind"] == "numbers"
    own.write_text("[]")
    assert "expected {" in evaluate("anna", own=own, status=2).stderr


def test_failures_are_one_red_line(evaluate: Callable[..., Result], tmp_path: Path) -> None:
    (line,) = evaluate("nobody", status=1).stderr.splitlines()
    assert line.startswith("error: found the model 'nobody'")
    broken = tmp_path / "broken.txt"
    broken.write_text("broken")
    (line,) = evaluate("anna", own=broken, status=1).stderr.splitlines()
    assert line.endswith("the recogniser is gone")


def test_nonsense_is_a_usage_error(evaluate: Callable[..., Result]) -> None:
    evaluate(status=2)
    evaluate("anna", "--list", status=2)
    assert "whole numbers" in evaluate("anna", "--seeds", "one", status=2).stderr
