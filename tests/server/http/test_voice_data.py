"""Recordings over HTTP: checked, declared, listened to, spoken with, withdrawn, verified."""

from __future__ import annotations

import base64
import io
import json

import pytest
import soundfile

STATEMENTS = ("right_to_share", "speaker_consent", "authentic_source")
DECLARED = {"licence": "CC-BY-4.0", "source": "a synthesiser", **dict.fromkeys(STATEMENTS, "true")}


@pytest.fixture(scope="session")
def good_wav(speak, to_wav) -> bytes:
    return to_wav(speak("slt"))


def test_a_recording_goes_the_whole_way(server, good_wav: bytes) -> None:
    files = [("file", ("good.wav", good_wav)), ("file", ("notes.wav", b"no recording at all " * 9))]
    answer = server.http.post(
        "/v1/voice-data?wait=true", files=files, data=DECLARED | {"language": "en"}, timeout=300
    )
    assert answer.status_code == 201, answer.text
    intake = answer.json()
    assert intake["status"] == "published"
    verdicts = {each["file"]: each for each in intake["recordings"]}
    assert verdicts["good.wav"]["verdict"] == "accepted"
    assert verdicts["good.wav"]["measurements"]["snr_db"] > 32
    assert verdicts["good.wav"]["speech"]
    assert verdicts["notes.wav"]["findings"][0]["message"].startswith("found text; expected a .wav.")
    assert server.http.get(answer.headers["location"]).json()["status"] == "published"

    contribution = intake["contribution"]
    address = f"/v1/voice-data/{contribution['id']}"
    assert server.http.get(address).json() == contribution
    assert server.http.get("/v1/voice-data").json()["data"] == [contribution]
    assert server.http.get(f"{address}/recordings/0").json() == verdicts["good.wav"]
    assert server.http.get(f"{address}/recordings/1").status_code == 404

    heard = server.http.get(f"{address}/recordings/0/audio")
    assert heard.content == good_wav
    part = server.http.get(f"{address}/recordings/0/audio", headers={"Range": "bytes=0-43"})
    assert (part.status_code, part.content) == (206, good_wav[:44])

    voice = server.http.post(f"{address}/recordings/0/voice", json={"name": "me"})
    assert voice.status_code == 201, voice.text
    assert 3 < voice.json()["duration_s"] <= 20.4
    assert server.speak(voice="me", response_format="wav").status_code == 200

    records = server.http.get("/v1/voice-data/records").text.splitlines()
    assert json.loads(records[0])["digest"] == contribution["receipt"]
    verified = server.http.get(
        "/v1/voice-data/verification", params={"receipt": contribution["receipt"]}
    ).json()
    assert (verified["ok"], verified["num_records"]) == (True, 1)

    withdrawn = server.http.delete(address, params={"reason": "enough"}).json()
    assert withdrawn["withdrawn_at"]
    assert server.http.get(f"{address}/recordings/0/audio").status_code == 404
    assert server.http.get("/v1/voice-data/verification").json()["ok"]
    ledger = server.store.root.parent / "voice_data" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("CC-BY-4.0", "CC0-1.0"))
    verified = server.http.get("/v1/voice-data/verification").json()
    assert (verified["ok"], len(verified["problems"])) == (False, 1)


def test_resumable_uploads_are_checked_first_and_then_contributed(server, good_wav: bytes) -> None:
    metadata = {"filename": "good.wav", "purpose": "voice_data"}
    encoded = ",".join(
        f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in metadata.items()
    )
    created = server.http.post(
        "/v1/uploads",
        content=good_wav,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(good_wav)),
            "Upload-Metadata": encoded,
            "Content-Type": "application/offset+octet-stream",
        },
    )
    assert created.status_code == 201, created.text
    uploads = {"uploads": [created.headers["location"]]}
    refused = server.http.post("/v1/voice-data", json=uploads)
    assert refused.status_code == 422
    assert {each["file"] for each in refused.json()["error"]["problems"]} >= set(STATEMENTS)

    checked = server.http.post("/v1/voice-data?wait=true", json=uploads | {"check": True}, timeout=300)
    assert (checked.status_code, checked.json()["status"]) == (200, "checked")
    assert server.http.get("/v1/voice-data").json()["data"] == []

    declared = uploads | DECLARED | dict.fromkeys(STATEMENTS, True)
    taken = server.http.post("/v1/voice-data?wait=true", json=declared, timeout=300)
    assert taken.json()["status"] == "published", taken.text
    assert (
        server.http.head(created.headers["location"], headers={"Tus-Resumable": "1.0.0"}).status_code == 404
    )


def test_refused_recordings_leave_nothing(server) -> None:
    silence = io.BytesIO()
    soundfile.write(silence, [0.0] * 24_000, 24_000, format="WAV")
    answer = server.http.post(
        "/v1/voice-data?wait=true",
        files={"file": ("silence.wav", silence.getvalue())},
        data=DECLARED,
        timeout=300,
    )
    assert answer.status_code == 422
    assert answer.json()["status"] == "refused"
    assert answer.json()["recordings"][0]["findings"][0]["rule"] == "speech"
    assert server.http.get("/v1/voice-data").json()["data"] == []
    assert not (server.store.root.parent / "voice_data" / "recordings").exists()


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"data": DECLARED}, 415, "content type"),
        ({"data": DECLARED, "files": {"other": (None, b"x")}}, 422, "found no file"),
        ({"files": {"file": ("a.wav", b"x")}}, 422, "licence"),
        ({"json": {"uploads": []}}, 422, "uploads"),
        ({"json": {"uploads": ["0" * 32], "check": True}}, 404, "upload"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(server, sent: dict, status: int, said: str) -> None:
    answer = server.http.post("/v1/voice-data", **sent)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


def test_the_rules_are_told_with_their_sources(server) -> None:
    told = server.http.get("/v1/voice-data/rules").json()
    assert set(told["statements"]) == set(STATEMENTS)
    assert {"CC0-1.0", "CC-BY-4.0"} <= {each["id"] for each in told["licences"]}
    assert all(rule["source"] and rule["measurement"] in told["measurements"] for rule in told["rules"])


def test_unknown_contributions_are_not_found(server) -> None:
    for address in ("/v1/voice-data/nobody", "/v1/voice-data/intake-0000000000000000"):
        assert server.http.get(address).status_code == 404
    assert server.http.delete("/v1/voice-data/nobody").status_code == 404
