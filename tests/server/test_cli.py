"""The command as people use it: what it prints, what it leaves in the store, its exit status."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from models_store.recordings import wav_bytes
from models_store.store import ModelsStore
from server.cli import app

Run = Callable[..., Result]
COMMANDS = tuple("serve check submit pull list remove alias speak doctor base voice".split())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the data folder `tmp_path`."""
    monkeypatch.setenv("VOICECORE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path, status: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def store(tmp_path: Path) -> ModelsStore:
    return ModelsStore(tmp_path / "store")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    path = tmp_path / "noise.wav"
    path.write_bytes(wav_bytes(noise, 24_000))
    return path


def assert_one_red_line(result: Result, *parts: str) -> None:
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts)
    assert result.stdout == ""


def test_help_names_every_command_and_is_quick(tmp_path: Path):
    look = "import sys; from server.cli import main\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    arguments = [sys.executable, "-c", look, "--help"]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command}  ", told, re.MULTILINE)
    # What takes long to import; all of it together is most of the time of any other command.
    assert not {"torch", "numpy", "av", "httpx", "pydantic_settings", "fastapi"} & set(told.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str):
    assert "--help" in run(command, "--help").stdout


def test_nonsense_is_a_usage_error(run: Run):
    run("fly", status=2)
    run("list", "--sideways", status=2)
    run("submit", "/nowhere", "--name", "anna", status=2)
    run("alias", "anna", status=2)
    run("alias", "anna", "berta", "--remove", status=2)


# Uploads


def test_check_accepts_a_good_folder(run: Run, golden_folder: Path):
    told = run("check", golden_folder).stdout
    assert told.startswith("xtts v2, speaks en es")
    assert "It can be submitted." in told


def test_check_tells_everything_that_is_wrong(run: Run, golden_folder: Path, tmp_path: Path):
    folder = shutil.copytree(golden_folder, tmp_path / "bad")
    (folder / "vocab.json").unlink()
    (folder / "audio.wav").write_bytes(b"no sound")
    told = run("check", folder, status=1).stdout
    for part in ("vocab.json MissingFile", "audio.wav BadReference", "found:", "expected:", "remedy:"):
        assert part in told
    assert "can be submitted" not in told


def test_check_json_has_the_same(run: Run, golden_folder: Path, tmp_path: Path):
    good = json.loads(run("check", golden_folder, "--json").stdout)
    assert good["ok"] is True
    assert good["problems"] == []
    assert set(good) == {"ok", "family", "variant", "languages", "problems", "warnings", "facts"}
    folder = shutil.copytree(golden_folder, tmp_path / "bad")
    (folder / "vocab.json").unlink()
    bad = json.loads(run("check", "--json", folder, status=1).stdout)
    assert bad["ok"] is False
    (problem,) = bad["problems"]
    assert set(problem) == {"code", "file", "found", "expected", "remedy"}
    assert (problem["code"], problem["file"]) == ("MissingFile", "vocab.json")


def test_check_leaves_nothing_behind(run: Run, golden_folder: Path, tmp_path: Path):
    run("check", golden_folder)
    assert list(tmp_path.iterdir()) == []


def test_submit_puts_an_upload_into_the_store(run: Run, golden_folder: Path, store: ModelsStore):
    told = run("submit", golden_folder, "--name", "anna").stdout
    submission = store.resolve("anna")
    assert f"anna is {submission.id}" in told
    assert "stored" in told
    again = json.loads(run("submit", golden_folder, "--name", "berta", "--json").stdout)
    assert again["ok"] is True
    assert (again["id"], again["name"]) == (submission.id, "berta")
    assert again["is_new"] is False
    assert again["replaced_id"] is None
    assert store.submissions() == [submission]
    assert store.names() == {"anna": submission.id, "berta": submission.id}


def test_submit_refuses_with_every_problem(run: Run, tmp_path: Path, store: ModelsStore):
    (tmp_path / "empty").mkdir()
    refused = run("submit", tmp_path / "empty", "--name", "anna", status=1)
    assert "found:" in refused.stderr
    told = json.loads(run("submit", tmp_path / "empty", "--name", "anna", "--json", status=1).stdout)
    assert told["ok"] is False
    assert told["problems"]
    assert store.submissions() == []


def test_submit_says_whose_name_it_took(
    run: Run, golden_folder: Path, store: ModelsStore, fake_family: ModuleType
):
    before = fake_family.publish(store, "anna")
    assert f"anna was {before.id} until now" in run("submit", golden_folder, "--name", "anna").stdout


def test_a_bad_name_is_one_red_line(run: Run, golden_folder: Path):
    assert_one_red_line(run("submit", golden_folder, "--name", "a/b", status=1), "found the name 'a/b'")


# The store


def test_list_shows_what_is_there(run: Run, store: ModelsStore, fake_family: ModuleType):
    assert "The store is empty" in run("list").stdout
    submission = fake_family.publish(store, "anna")
    store.alias("best", "anna")
    header, row = run("list").stdout.splitlines()
    assert header.split()[:3] == ["names", "family", "languages"]
    assert row.startswith("anna, best  fake tiny  en de")
    assert row.endswith(submission.id[7:19])
    with store.lease(submission.id):
        (told,) = json.loads(run("list", "--json").stdout)
    assert told == {
        "id": submission.id,
        "names": ["anna", "best"],
        "family": "fake",
        "variant": "tiny",
        "languages": ["en", "de"],
        "size_bytes": submission.size_bytes,
        "submitted_at": submission.submitted_at,
        "resident": True,
    }


def test_alias_gives_moves_and_forgets_names(run: Run, store: ModelsStore, fake_family: ModuleType):
    first, second = (fake_family.publish(store, name) for name in ("first", "second"))
    assert f"best is {first.id}" in run("alias", "best", "first").stdout
    assert f"(was {first.id[7:19]})" in run("alias", "best", second.id[7:17]).stdout
    assert store.resolve("best") == second
    run("alias", "best", "--remove")
    assert "best" not in store.names()
    assert_one_red_line(run("alias", "best", "third", status=1), "no submission is called 'third'")


def test_remove_refuses_what_is_in_use(run: Run, store: ModelsStore, fake_family: ModuleType):
    submission = fake_family.publish(store, "anna")
    store.alias("best", "anna")
    assert_one_red_line(run("remove", "anna", status=1), "still called best", "force")
    store.unalias("best")
    with store.lease(submission.id):
        assert_one_red_line(run("remove", "anna", status=1), "resident")
    assert submission.id in run("remove", "anna").stdout
    assert_one_red_line(run("remove", "anna", status=1), "no submission is called 'anna'")
    again = fake_family.publish(store, "anna")
    with store.lease(again.id):
        run("remove", again.id[7:20], "--force")
    assert store.submissions() == []


def test_voices_are_added_listed_and_removed(run: Run, store: ModelsStore, recording: Path):
    assert "No voice is registered" in run("voice", "list").stdout
    added = run("voice", "add", "me", recording, "--language", "en", "--transcript", "Hello.")
    voice = store.voices()["me"]
    assert voice.id in added.stdout
    _, row = run("voice", "list").stdout.splitlines()
    assert re.match(r"me +2\.0 s +1 +en +Hello\. +[0-9a-f]{12}$", row)
    (told,) = json.loads(run("voice", "list", "--json").stdout)
    assert told == {
        "name": "me",
        "id": voice.id,
        "duration_s": pytest.approx(2.0),
        "recordings": 1,
        "language": "en",
        "transcript": "Hello.",
    }
    replaced = json.loads(run("voice", "add", "me", recording, recording, "--json").stdout)
    assert replaced["replaced_id"] == voice.id
    assert replaced["recordings"] == 2
    assert replaced["warnings"] == []
    run("voice", "remove", "me")
    assert store.voices() == {}
    assert_one_red_line(run("voice", "remove", "me", status=1), "voicecore voice list")


def test_a_recording_that_is_none_is_told(run: Run, tmp_path: Path):
    (tmp_path / "notes.wav").write_text("la la la")
    told = run("voice", "add", "me", tmp_path / "notes.wav", status=1).stderr
    assert "notes.wav BadReference" in told
    assert "remedy:" in told


# Errors


def test_a_data_folder_that_is_a_file_is_one_red_line(run: Run, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    told = run("list", "--home", tmp_path / "file", status=1)
    assert_one_red_line(told, "not a directory", "VOICECORE_HOME")


def test_our_own_mistakes_are_one_red_line_too(run: Run, monkeypatch: pytest.MonkeyPatch):
    def broken(self: ModelsStore) -> None:
        raise ZeroDivisionError("it\nbroke")

    monkeypatch.setattr(ModelsStore, "submissions", broken)
    assert_one_red_line(run("list", status=1), "ZeroDivisionError (it broke)", "VOICECORE_LOG_LEVEL=debug")
    monkeypatch.setenv("VOICECORE_LOG_LEVEL", "debug")
    result = CliRunner().invoke(app, ["list"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_strangers_words_do_not_reach_the_terminal(run: Run, tmp_path: Path):
    folder = tmp_path / "upload"
    folder.mkdir()
    (folder / "\x1b[2J\u202e[red]evil.pth").write_bytes(b"x")
    told = run("check", folder, status=1)
    assert "[red]evil.pth" in told.output
    assert "\x1b" not in told.output
    assert "\u202e" not in told.output


# Serve


def test_serve_hands_every_flag_to_the_supervisor(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    served = []
    monkeypatch.setattr("server.supervisor.run", served.append)
    monkeypatch.setenv("VOICECORE_SLOTS", "3")
    run("serve", "--port", "0", "--preload", "anna", "--preload", "berta", "--device", "cpu")
    (settings,) = served
    assert (settings.port, settings.slots, settings.device) == (0, 3, "cpu")
    assert settings.preload == ("anna", "berta")
    assert settings.home == tmp_path
    told = run("serve", "--port", "70000", status=2).stderr
    assert "--port: found 70000; expected less than or equal to 65535" in told
    monkeypatch.setenv("VOICECORE_SLOTS", "-1")
    assert "VOICECORE_SLOTS: found '-1'" in run("serve", status=2).stderr
