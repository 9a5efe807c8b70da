"""Recordings from the command line: checked, taken in, exported for training, verified, withdrawn."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from server.cli import app

DECLARED = (
    *("--licence", "CC-BY-4.0", "--source", "two synthesisers"),
    *("--right-to-share", "--speaker-consent", "--authentic-source", "--language", "en"),
)


@pytest.fixture(scope="module")
def recordings(
    tmp_path_factory: pytest.TempPathFactory,
    speak: Callable[[str], np.ndarray],
    to_wav: Callable[..., bytes],
) -> Path:
    """A good wav, an MP3 that says it is one, and a zip of the good one."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "good.wav").write_bytes(to_wav(speak("slt")))
    mp3 = to_wav(speak("slt"), subtype="MPEG_LAYER_III", container="MP3")
    (folder / "renamed.wav").write_bytes(mp3)
    with zipfile.ZipFile(folder / "both.zip", "w") as archive:
        archive.write(folder / "good.wav", "voice/good.wav")
        archive.write(folder / "renamed.wav", "voice/renamed.wav")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """A data folder with one contribution: of the zip, what wasn't refused."""
    home = tmp_path_factory.mktemp("home")
    submitted = run(home, "submit", str(recordings / "both.zip"), *DECLARED)
    assert submitted.exit_code == 0, submitted.output
    assert "accepted good.wav" in submitted.output
    assert "refused renamed.wav" in submitted.output
    assert "an MP3 recording" in submitted.output
    assert "receipt sha256:" in submitted.output
    return home


def run(home: Path, *arguments: str):
    return CliRunner().invoke(app, ["voice-data", *arguments, "--home", str(home)])


def contributions(home: Path) -> list[dict]:
    return json.loads(run(home, "list", "--json").output)


def test_a_contribution_is_listed_and_the_files_stay_the_contributors(home: Path, recordings: Path) -> None:
    (contribution,) = contributions(home)
    assert [each["file"] for each in contribution["recordings"]] == ["good.wav"]
    assert contribution["declaration"]["licence"] == "CC-BY-4.0"
    assert (recordings / "both.zip").is_file()
    stored = home / "voice_data" / "recordings" / contribution["recordings"][0]["digest"][7:]
    assert stored.read_bytes() == (recordings / "good.wav").read_bytes()


def test_the_same_again_is_refused_and_nothing_is_taken(home: Path, recordings: Path) -> None:
    again = run(home, "submit", str(recordings / "good.wav"), *DECLARED)
    assert again.exit_code == 1
    assert "duplicate" in again.output
    assert len(contributions(home)) == 1


def test_a_check_keeps_nothing(tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recordings)
    checked = run(tmp_path, "check", "renamed.wav", "--json")
    assert checked.exit_code == 1
    (found,) = json.loads(checked.output)["recordings"]
    assert (found["verdict"], found["not_wav"]) == ("refused", "an MP3 recording")
    assert contributions(tmp_path) == []
    assert not [*(tmp_path / "voice_data" / "scratch").iterdir()]


def test_without_a_declaration_nothing_is_looked_at(home: Path, recordings: Path) -> None:
    arguments = ("submit", str(recordings / "good.wav"), "--licence", "CC-BY-4.0", "--source", "here")
    refused = run(home, *arguments)
    assert refused.exit_code == 1
    assert "speaker_consent" in refused.output


@pytest.mark.parametrize(
    ("format_name", "rate_hz", "lists"),
    [
        ("ljspeech", 22_050, {"metadata.csv"}),
        ("gpt-sovits-list", 32_000, {"voice.list"}),
        ("xtts", 22_050, {"metadata_train.csv", "metadata_eval.csv"}),
    ],
)
def test_exports_are_what_trainers_read(
    home: Path, tmp_path: Path, format_name: str, rate_hz: int, lists: set[str]
) -> None:
    exported = run(home, "export", str(tmp_path / "out"), "--format", format_name)
    assert exported.exit_code == 0, exported.output
    wavs = sorted((tmp_path / "out" / "wavs").iterdir())
    assert wavs
    for wav in wavs:
        told = soundfile.info(wav)
        assert (told.samplerate, told.channels, told.subtype) == (rate_hz, 1, "PCM_16")
        assert 3.0 <= told.duration <= 10.01
    written = {path.name for path in (tmp_path / "out").iterdir()} - {"wavs", "manifest.json"}
    assert written == lists
    named = {
        line.split("|")[0].removeprefix("wavs/").removesuffix(".wav")
        for name in lists
        for line in (tmp_path / "out" / name).read_text().splitlines()
    } - {"audio_file"}
    assert named == {wav.stem for wav in wavs}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert {segment["name"] for segment in manifest["segments"]} == named
    assert manifest["contributions"][0]["declaration"]["source"] == "two synthesisers"


def test_a_recogniser_fills_the_transcripts(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    exported = run(home, "export", str(tmp_path / "out"), "--recogniser", "pocketsphinx")
    assert exported.exit_code == 0, exported.output
    assert "fox" in (tmp_path / "out" / "metadata.csv").read_text()


def test_an_export_does_not_write_over_anything(home: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    refused = run(home, "export", str(tmp_path))
    assert refused.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_withdrawn_contribution_is_verified_until_somebody_edits_it(
    tmp_path: Path, recordings: Path
) -> None:
    assert run(tmp_path, "submit", str(recordings / "good.wav"), *DECLARED).exit_code == 0
    (contribution,) = contributions(tmp_path)
    withdrawn = run(tmp_path, "remove", contribution["id"], "--reason", "asked to")
    assert withdrawn.exit_code == 0, withdrawn.output
    assert not [*(tmp_path / "voice_data" / "recordings").iterdir()]
    assert run(tmp_path, "verify", "--receipt", contribution["receipt"]).exit_code == 0
    ledger = tmp_path / "voice_data" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("two synthesisers", "somewhere else"))
    edited = run(tmp_path, "verify")
    assert edited.exit_code == 1
    assert "record 1" in edited.output
