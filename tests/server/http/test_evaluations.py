"""Evaluations over HTTP: started once, followed, read, deleted; and the gate that stands on them.

What is spoken is the fake device process's tones; who listens is a stand-in that is told what to find: the
real one is tested where it lives.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from server.evaluation import extra, texts

LISTENER = """
import json, sys
from pathlib import Path
from server import child
from server.evaluation.archive import Archive, Heard
from server.evaluation.result import compute_result
settings = child.begin()
archive = Archive(settings.home_path / "evaluations")
plan = archive.plan(sys.argv[2])
for done, item in enumerate(plan.items(), 1):
    archive.put_heard(plan.measurement(item), Heard("hm", {"cer": float(sys.argv[1]), "speech_s": 1.0}))
    print(json.dumps({"done": done, "total": plan.num_items}), flush=True)
archive.finish(plan.id, compute_result(plan, archive, {}, plan.created_at), "<!doctype html><title>Report")
"""
TEXTS = {"short": ["hello there", {"text": "at 9", "spoken": "at nine"}]}
ASKED = {"submissions": ["anna"], "texts": TEXTS, "language": "en", "seeds": [1, 2], "recogniser": "none"}


@pytest.fixture
def evaluating(serve: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Starts a server whose listener finds the given character error; other arguments are settings."""
    script = tmp_path / "listener.py"
    script.write_text(LISTENER)

    def start(cer: float = 0.1, **settings: Any) -> Any:
        server = serve(**settings)
        runner = server.app.state.evaluations.runner
        runner._listener_command = (sys.executable, str(script), str(cer))
        runner._poll_s = 0.05
        return server

    return start


def finished(server: Any, evaluation: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while evaluation["status"] in ("waiting", "running"):
        assert time.monotonic() < deadline, evaluation
        time.sleep(0.02)
        evaluation = server.http.get(f"/v1/evaluations/{evaluation['id']}").json()
    return evaluation


def test_one_is_made_in_the_background_and_read(evaluating: Callable[..., Any]) -> None:
    server = evaluating()
    response = server.http.post("/v1/evaluations", json=ASKED)
    assert response.status_code == 202, response.text
    started = response.json()
    assert response.headers["Location"] == f"/v1/evaluations/{started['id']}"
    assert (started["num_texts"], started["seeds"], started["recogniser"]) == (2, [1, 2], "none")
    ended = finished(server, started)
    assert ended["status"] == "finished", ended
    (system,) = ended["systems"]
    assert system["submission_id"] == server.store.resolve("anna").id
    assert system["scores"]["cer"] == 0.1
    assert server.http.get("/v1/evaluations").json()["data"] == [ended]

    result = server.http.get(f"/v1/evaluations/{ended['id']}/result").json()
    assert len(result["utterances"]) == 4
    assert {each["device"] for each in result["utterances"]} == {"cpu float32"}
    timed = [each["seed"] for each in result["utterances"] if "ttfa_s" in each["values"]]
    assert timed == [1, 1]
    assert [speak.sampling.seed for speak in server.speech.spoken[:2]] == [1, 1]

    report = server.http.get(f"/v1/evaluations/{ended['id']}/report")
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in report.headers["Content-Security-Policy"]
    assert "sandbox" in report.headers["Content-Security-Policy"]

    utterance = result["utterances"][0]
    path = f"/v1/evaluations/{ended['id']}/utterances/{utterance['key']}/audio"
    samples, rate = soundfile.read(io.BytesIO(server.http.get(path).content))
    assert len(samples) / rate == pytest.approx(utterance["duration_s"])
    assert server.http.get(path, headers={"Range": "bytes=0-3"}).content == b"fLaC"


def test_the_same_again_is_the_same_and_speaks_nothing(evaluating: Callable[..., Any]) -> None:
    server = evaluating()
    first = finished(server, server.http.post("/v1/evaluations", json=ASKED).json())
    spoken = len(server.speech.spoken)
    again = server.http.post(
        "/v1/evaluations", json=ASKED | {"submissions": [first["systems"][0]["submission_id"]]}
    )
    assert again.json()["id"] == first["id"]
    assert again.json()["status"] == "finished"
    assert len(server.speech.spoken) == spoken


def test_it_stays_true_when_the_name_moves(
    evaluating: Callable[..., Any], publish: Callable[..., Any]
) -> None:
    server = evaluating()
    first = finished(server, server.http.post("/v1/evaluations", json=ASKED).json())
    publish("ben")
    server.store.alias("anna", "ben")
    second = server.http.post("/v1/evaluations", json=ASKED).json()
    assert second["id"] != first["id"]
    kept = server.http.get(f"/v1/evaluations/{first['id']}").json()
    assert kept["systems"][0]["submission_id"] == first["systems"][0]["submission_id"]
    finished(server, second)


def test_what_cannot_be_spoken_is_counted_not_fatal(
    evaluating: Callable[..., Any], synthesis_error: Exception
) -> None:
    server = evaluating()
    server.speech.error = synthesis_error
    ended = finished(server, server.http.post("/v1/evaluations", json=ASKED).json())
    assert ended["systems"][0]["scores"]["failed"] == 1
    result = server.http.get(f"/v1/evaluations/{ended['id']}/result").json()
    assert result["utterances"][0]["error"] == "found a text that can't be spoken."
    key = result["utterances"][0]["key"]
    assert server.http.get(f"/v1/evaluations/{ended['id']}/utterances/{key}/audio").status_code == 404


def test_it_waits_for_the_device_process(evaluating: Callable[..., Any]) -> None:
    server = evaluating()
    server.speech.is_up = False
    started = server.http.post("/v1/evaluations", json=ASKED).json()
    time.sleep(0.2)
    assert server.http.get(f"/v1/evaluations/{started['id']}").json()["status"] in ("waiting", "running")
    assert server.http.get(f"/v1/evaluations/{started['id']}/report").status_code == 409
    server.speech.is_up = True
    assert finished(server, started)["status"] == "finished"


def test_deleted_it_is_gone(evaluating: Callable[..., Any], tmp_path: Path) -> None:
    server = evaluating()
    ended = finished(server, server.http.post("/v1/evaluations", json=ASKED).json())
    path = f"/v1/evaluations/{ended['id']}"
    assert server.http.delete(path).json() == {
        "id": ended["id"],
        "object": "evaluation.deleted",
        "deleted": True,
    }
    for gone in (path, f"{path}/result", f"{path}/report"):
        response = server.http.get(gone)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "evaluation_not_found"
    assert not list((tmp_path / "home" / "evaluations").rglob("*.flac"))


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        pytest.param({"submissions": ["nobody"]}, 404, "'nobody'", id="unknown-submission"),
        pytest.param({"submissions": []}, 422, "submissions", id="no-submission"),
        pytest.param({"submissions": ["anna", "anna"]}, 422, "each of them once", id="twice"),
        pytest.param({"voice": "nobody"}, 404, "'nobody'", id="unknown-voice"),
        pytest.param({"seeds": [1, 1]}, 422, "each of them once", id="seed-twice"),
        pytest.param({"seeds": [-1]}, 422, "greater than or equal to 0", id="negative-seed"),
        pytest.param({"texts": None, "language": "tlh"}, 422, "expected one that has texts", id="language"),
        pytest.param({"texts": {"short": []}}, 422, "found 0 texts", id="no-texts"),
        pytest.param({"texts": {"short": ["!"]}}, 422, "expected words", id="no-words"),
        pytest.param({"recogniser": "siri"}, 422, "expected one of auto", id="recogniser"),
        pytest.param({"recogniser": "azure"}, 422, "VOICECORE_AZURE_SPEECH_KEY", id="azure-without-key"),
        pytest.param({"speed": 2}, 422, "`speed`", id="unknown-field"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    evaluating: Callable[..., Any], changes: dict[str, Any], status: int, told: str
) -> None:
    response = evaluating().http.post("/v1/evaluations", json=ASKED | changes)
    assert response.status_code == status
    assert told in response.json()["error"]["message"]


def test_without_its_packages_it_says_how_to_get_them(
    evaluating: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = evaluating()
    monkeypatch.setattr(extra, "PACKAGES", ("rapidfuzz", "no_such_package"))
    response = server.http.post("/v1/evaluations", json=ASKED)
    assert response.status_code == 503
    assert "pip install 'voicecore[evaluate]'" in response.json()["error"]["message"]
    assert "no_such_package" in server.http.get("/v1/evaluations/options").json()["missing"]


def test_options_say_what_each_recogniser_lacks(evaluating: Callable[..., Any]) -> None:
    options = evaluating(azure_speech_key="k", azure_speech_region="koreacentral").http
    told = options.get("/v1/evaluations/options").json()
    rows = {row["name"]: row for row in told["recognisers"]}
    assert rows["azure"]["missing"] is None
    assert rows["azure"]["sends_audio"] is True
    assert "pip install faster-whisper" in rows["faster-whisper"]["missing"]
    assert told["chosen"]["en"] == told["chosen"]["ko"] == "azure"
    assert "k" not in json.dumps(rows["azure"]["missing"])


@pytest.fixture
def short_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two pinned texts instead of the language's many."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "en.json").write_text(json.dumps({"language": "en", "sentences": {"short": ["hm", "yes"]}}))
    monkeypatch.setattr(texts, "FOLDER", folder)
    texts.pinned.cache_clear()
    yield
    texts.pinned.cache_clear()


def gated(server: Any, folder: Path, name: str = "carol") -> Any:
    files = [("file", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    return server.http.post("/v1/submissions", params={"wait": True, "name": name}, files=files, timeout=60)


@pytest.mark.usefixtures("short_texts")
def test_the_gate_lets_in_what_keeps_its_bounds(evaluating: Callable[..., Any], golden_folder: Path) -> None:
    server = evaluating(cer=0.2, gate=("cer<=0.25",), recogniser="none")
    response = gated(server, golden_folder)
    assert response.status_code == 201, response.text
    assert server.store.names()["carol"] == response.json()["submission_id"]
    (evaluation,) = server.http.get("/v1/evaluations").json()["data"]
    assert evaluation["systems"][0]["submission_id"] == response.json()["submission_id"]
    assert (evaluation["num_texts"], evaluation["seeds"]) == (2, [1, 2, 3])
    # It may have other names, too; what nobody has evaluated may not.
    assert server.http.put("/v1/submissions/dora", json={"submission": "carol"}).status_code == 200
    refused = server.http.put("/v1/submissions/dora", json={"submission": "anna"})
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "not_evaluated"
    assert server.store.names()["dora"] == response.json()["submission_id"]


@pytest.mark.usefixtures("short_texts")
def test_the_gate_refuses_what_misses_one_and_says_which(
    evaluating: Callable[..., Any], golden_folder: Path
) -> None:
    server = evaluating(cer=0.4, gate=("cer<=0.25", "failed<=0", "dnsmos>=3"), recogniser="none")
    response = gated(server, golden_folder)
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["code"] == "gate_refused"
    assert "character error 0.4 (expected at most 0.25)" in error["message"]
    assert "no dnsmos overall (nothing to measure it on; expected at least 3)" in error["message"]
    assert "not spoken" not in error["message"]
    assert list(server.store.names()) == ["anna"]
    assert [submission.id for submission in server.store.submissions()] == [server.store.resolve("anna").id]
    (evaluation,) = server.http.get("/v1/evaluations").json()["data"]
    assert f"/v1/evaluations/{evaluation['id']}/report" in error["message"]
    assert server.http.get(f"/v1/evaluations/{evaluation['id']}/report").status_code == 200
