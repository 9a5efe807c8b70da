"""`voicecore bench` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli import app


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")

    def bench(*arguments: str):
        return CliRunner().invoke(app, ["bench", *arguments])

    return bench


def test_it_is_a_command_of_voicecore():
    result = CliRunner().invoke(app, ["--help"])
    assert "Put load on speech servers" in result.output


def test_a_campaign_from_its_command_to_its_page(bench, stand_in, tmp_path: Path):
    folder = tmp_path / "report"
    result = bench(
        f"ours={stand_in.url}", "--rate", "4", "--listeners", "2",
        "--duration", "1", "--min-requests", "1", "--warm-up", "0",
        "--soak", "2s", "--ttfa-ms", "60000", "--max-lag-ms", "60000", "-o", str(folder),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert str(folder / "report.html") in result.output
    told = result.output.splitlines()
    assert [line.split()[1] for line in told[:3]] == ["poisson", "listeners", "poisson"]
    assert all(line.startswith("ours") and line.endswith(": met") for line in told[:3])
    results = json.loads((folder / "summary.json").read_text())["results"]
    assert [run["purpose"] for run in results["runs"]] == ["load", "load", "soak"]
    assert results["soaks"][0]["samples"]
    assert [run["summary"]["cold_swaps"] for run in results["runs"][:2]] == [3, 3]
    requests = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    assert {request["run"] for request in requests} == {0, 1, 2}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "1,x"], "--rate: found '1,x'; expected numbers like 1,2.5,10"),
        (["--rate", "0"], "found a load of 0 requests per second; expected more than 0"),
        (["--ramp", "1"], "--ramp: found '1'; expected two rates like 1:20"),
        (["--duration", "soon"], "--duration: found 'soon'; expected a time"),
        (["--arrivals", "bursts"], "--arrivals: found 'bursts'; expected poisson or constant"),
        (["--texts", "longer"], "found 'longer'; expected one of long"),
        (["--listeners", "2", "--format", "mp3"], "--listeners: found mp3; expected pcm or wav"),
        (["http://127.0.0.1:9"], "expected names that differ: NAME=URL"),
        (["--field", "stream=yes"], "--field: found 'stream=yes'; expected NAME=JSON"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(bench, arguments: list[str], told: str):
    result = bench("http://127.0.0.1:9", *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("coqui+http://127.0.0.1:9", "found adapter 'coqui'; expected one of voicecore, openai"),
        ("http://127.0.0.1:9", "expected speech. Does it run?"),
    ],
)
def test_a_target_that_cannot_be_asked_is_told_in_a_line(bench, target: str, told: str):
    result = bench(target, "--duration", "1")
    assert result.exit_code == 1
    assert told in " ".join(result.output.split())


def test_models_and_voices_can_be_one_targets_own(bench, stand_in, tmp_path: Path):
    result = bench(
        f"ours={stand_in.url}", f"theirs=openai+{stand_in.url}", "--rate", "3",
        "--duration", "1", "--min-requests", "1", "--warm-up", "0",
        "--model", "anna", "--model", "theirs=tts-1", "--voice", "theirs=alloy",
        "--ttfa-ms", "60000", "--max-lag-ms", "60000", "-o", str(tmp_path),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    asked = {(body["model"], body["voice"]) for _, body in stand_in.bodies}
    assert asked == {("anna", "default"), ("tts-1", "alloy")}
    page = (tmp_path / "report.html").read_text()
    assert "theirs / ours" in page
    assert "ours: anna; theirs: tts-1" in page
