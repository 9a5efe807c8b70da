"""Submissions over HTTP: handed in as archive or files, refused with a report, moved and taken away."""

from __future__ import annotations

import io
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from server.http.intakes import Intakes
from server.http.schemas import Intake


def zipped(folder: Path) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"anna-v2/{path.name}")
    return data.getvalue()


def tarred(folder: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(folder, "anna-v2")
    return data.getvalue()


def finished(server, location: str) -> dict:
    until = time.monotonic() + 60
    while (intake := server.http.get(location).json())["status"] in ("waiting", "running"):
        assert time.monotonic() < until
        time.sleep(0.05)
    return intake


def test_an_archive_becomes_a_submission(server, golden_folder):
    response = server.http.post(
        "/v1/submissions?name=gold",
        content=zipped(golden_folder),
        headers={"content-type": "application/zip"},
    )
    assert response.status_code == 202, response.text
    intake = response.json()
    assert (intake["name"], intake["object"]) == ("gold", "intake")
    assert intake["status"] in ("waiting", "running")
    location = response.headers["location"]
    assert location == f"/v1/submissions/{intake['id']}"

    intake = finished(server, location)
    assert intake["status"] == "published", intake["error"]
    assert intake["is_new"]
    assert intake["report"]["ok"]
    submission = server.http.get("/v1/submissions/gold").json()
    assert submission["id"] == intake["submission_id"] == server.store.resolve("gold").id
    assert (submission["family"], submission["names"]) == ("xtts", ["gold"])
    assert {found["id"] for found in server.http.get("/v1/submissions").json()["data"]} >= {submission["id"]}
    assert "gold" in {model["id"] for model in server.http.get("/v1/models").json()["data"]}
    assert not list(server.store.layout.scratch.iterdir()), "the upload is gone"

    # The same content again, in two other ways, is the same submission.
    files = [("file", (path.name, path.read_bytes())) for path in sorted(golden_folder.iterdir())]
    again = server.http.post("/v1/submissions?wait=true", files=files, data={"name": "gold-2"}, timeout=60)
    assert again.status_code == 201, again.text
    assert (again.json()["is_new"], again.json()["submission_id"]) == (False, submission["id"])
    tar = ("anna.tar.gz", tarred(golden_folder), "application/gzip")
    again = server.http.post("/v1/submissions?wait=true&name=gold-3", files={"file": tar}, timeout=60)
    assert again.json()["submission_id"] == submission["id"]
    assert server.http.get("/v1/submissions/gold").json()["names"] == ["gold", "gold-2", "gold-3"]


def test_a_bad_submission_is_refused_with_everything_to_mend(server, golden_folder):
    files = {"model.pth": b"no checkpoint", "vocab.json": (golden_folder / "vocab.json").read_bytes()}
    response = server.http.post(
        "/v1/submissions?wait=true",
        files=[("file", item) for item in files.items()],
        data={"name": "broken"},
        timeout=60,
    )
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["problems"]) >= 2
    assert {"config.json", "model.pth"} <= {problem["file"] for problem in error["problems"]}
    for problem in error["problems"]:
        assert set(problem) == {"code", "file", "found", "expected", "remedy"}
    intake = server.http.get(response.headers["location"]).json()
    assert (intake["status"], intake["error"]["problems"]) == ("refused", error["problems"])
    assert "broken" not in server.store.names()
    assert not list(server.store.layout.scratch.iterdir())


def test_what_unpacks_to_more_than_the_limit_is_a_413(serve):
    server = serve(max_upload_gib=0.01)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth", bytes(30 * 2**20))
    response = server.http.post(
        "/v1/submissions?wait=true&name=bomb",
        content=data.getvalue(),
        headers={"content-type": "application/zip"},
        timeout=60,
    )
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "upload_too_large"


@pytest.mark.parametrize(
    ("query", "files", "data", "status", "code", "said"),
    [
        ("", {"file": ("a.zip", b"x")}, {}, 422, "invalid_value", "found no `name`"),
        ("?name=../x", {"file": ("a.zip", b"x")}, {}, 422, "bad_name", "'../x'"),
        ("", {"file": ("a.zip", b"x")}, {"name": "default"}, 422, "bad_name", "'default'"),
        ("?name=x", {"other": (None, b"x")}, {}, 422, "invalid_value", "found no file"),
        ("?name=x&wait=perhaps", {"file": ("a.zip", b"x")}, {}, 422, "invalid_value", "`wait`"),
    ],
)
def test_a_request_that_cannot_become_an_intake_is_refused(server, query, files, data, status, code, said):
    response = server.http.post(f"/v1/submissions{query}", files=files, data=data)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert said in response.json()["error"]["message"]
    assert not list(server.store.layout.scratch.iterdir())


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"x", "text/plain", 415, "unsupported_media_type"),
        (b"x", "multipart/form-data", 415, "unsupported_media_type"),
        (
            b"--b\r\nContent-Disposition: form-data; name=f",
            "multipart/form-data; boundary=b",
            400,
            "invalid_multipart",
        ),
        (b"nonsense", "multipart/form-data; boundary=b", 400, "invalid_multipart"),
    ],
)
def test_a_body_of_another_kind_is_refused(server, content, content_type, status, code):
    response = server.http.post(
        "/v1/submissions?name=x", content=content, headers={"content-type": content_type}
    )
    assert response.status_code == status
    assert response.json()["error"]["code"] == code


@pytest.mark.parametrize("name", ["..", "a\u0000b", "/", "x" * 256])
def test_a_file_name_that_is_none_is_refused(server, name):
    body = (
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'
    ).encode()
    response = server.http.post(
        "/v1/submissions?name=x", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code in (400, 422)
    assert not list(server.store.layout.scratch.iterdir())


def test_paths_in_file_names_lead_nowhere(server, tmp_path):
    names = ["../../escaped", "C:\\temp\\model.pth", "/etc/absolute"]
    server.http.post(
        "/v1/submissions?wait=true",
        files=[("file", (name, b"x")) for name in names],
        data={"name": "x"},
        timeout=60,
    )
    for name in ("escaped", "absolute"):
        assert not list(tmp_path.rglob(name))


def test_two_files_of_one_name_are_refused(server):
    files = [("file", ("a/model.pth", b"x")), ("file", ("b/model.pth", b"y"))]
    response = server.http.post("/v1/submissions?name=x", files=files)
    assert response.json()["error"]["code"] == "duplicate_file"


def test_a_name_moves_to_another_submission(server, publish):
    bob = publish("bob")
    moved = server.http.put("/v1/submissions/anna", json={"submission": "bob"})
    assert moved.status_code == 200
    assert (moved.json()["id"], moved.json()["names"]) == (bob.id, ["anna", "bob"])
    server.speak(model="anna")
    assert server.speech.spoken[0].submission_id == bob.id
    assert server.http.put("/v1/submissions/anna", json={"submission": "nobody"}).status_code == 404
    assert server.http.put("/v1/submissions/default", json={"submission": "bob"}).status_code == 422
    assert server.http.put("/v1/submissions/anna", json={}).json()["error"]["param"] == "submission"


def test_a_submission_is_taken_away(server):
    submission = server.store.resolve("anna")
    gone = server.http.delete("/v1/submissions/anna")
    assert gone.json() == {"id": submission.id, "object": "submission.deleted", "deleted": True}
    assert server.speak().status_code == 404
    assert server.http.delete("/v1/submissions/anna").json()["error"]["code"] == "submission_not_found"


@pytest.mark.parametrize("reason", ["resident", "another name"])
def test_what_is_in_use_stays_unless_forced(server, reason):
    submission = server.store.resolve("anna")
    if reason == "another name":
        server.store.alias("anna-2", "anna")
    with server.store.lease(submission.id):
        if reason == "another name":
            server.store.lease(submission.id).release()
        refused = server.http.delete("/v1/submissions/anna")
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "in_use"
        assert not server.speech.evicted
        assert server.http.delete("/v1/submissions/anna?force=true").status_code == 200
    assert server.speech.evicted == [submission.id]
    assert not server.store.names()


def test_force_works_without_the_device_process(server):
    server.speech.is_up = False
    assert server.http.delete("/v1/submissions/anna?force=true").status_code == 200


def test_an_intake_that_nobody_knows(server):
    response = server.http.get("/v1/submissions/intake-0123456789abcdef")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "intake_not_found"


def test_an_intake_whose_server_was_killed_is_over(store, tmp_path):
    intakes = Intakes(tmp_path / "intakes")
    intake = Intake(id="intake-0123456789abcdef", name="x", status="running")
    intakes._save(intake)
    assert intakes.get(intake.id).status == "running", "by this very process"
    path = tmp_path / "intakes" / f"{intake.id}.json"
    path.write_text(path.read_text().replace('"started_at": ', '"started_at": 1'))
    over = intakes.get(intake.id)
    assert (over.status, over.error["code"]) == ("failed", "interrupted")


def test_a_stopping_server_gives_up_what_it_reads(serve, monkeypatch):
    server = serve()
    reached = []

    def endless(path, name, progress, limits):
        from models_store.report import Progress

        while True:
            reached.append(name)
            progress(Progress("convert", len(reached), 10**9))
            time.sleep(0.01)

    monkeypatch.setattr(server.store, "submit", endless)
    response = server.http.post(
        "/v1/submissions?name=x", content=b"x", headers={"content-type": "application/zip"}
    )
    until = time.monotonic() + 10
    while server.http.get(response.headers["location"]).json()["progress"] is None:
        assert time.monotonic() < until
    assert server.speak().status_code == 200, "others are served meanwhile"
    server.__exit__()
    seen = len(reached)
    time.sleep(0.1)
    assert len(reached) <= seen + 2
