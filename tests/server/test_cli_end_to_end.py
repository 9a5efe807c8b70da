"""The commands of the README on a real submission: submit, speak, serve, speak again, remove."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models_store import integrity
from models_store.errors import NotFound
from models_store.store import ModelsStore
from models_store.submission import Submission

VOICECORE = (sys.executable, "-c", "from server.cli import main; main()")
TEXT = "Yes."

Command = Callable[..., str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"VOICECORE_HOME": str(tmp_path / "home"), "VOICECORE_THREADS": "1"}


@pytest.fixture
def voicecore(environment: dict[str, str]) -> Command:
    """Runs the command in a process of its own; returns what it says on standard output."""

    def voicecore(*arguments: str | Path, status: int = 0) -> str:
        command = [*VOICECORE, *map(str, arguments)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return voicecore


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """A server on a free port, which is what this yields."""
    command = [*VOICECORE, "serve", "--port", "0", "--log-level", "error"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = re.search(r":(\d+)$", server.stdout.readline().strip())
            assert address is not None
            yield address[1]
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
    assert server.returncode == 0


def read(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == 24_000
    assert len(samples) > 2_400
    return samples


@pytest.mark.slow
def test_submit_speak_serve_remove(
    voicecore: Command, environment: dict[str, str], golden_folder: Path, tmp_path: Path
):
    voicecore("submit", golden_folder, "--name", "anna")
    speak = ("speak", TEXT, "--language", "en", "--seed", "7", "-o")
    voicecore(*speak, tmp_path / "alone.wav")
    alone = read(tmp_path / "alone.wav")
    with serving(environment) as port:
        told = voicecore(*speak, tmp_path / "served.wav", "--port", port)
        assert "anna spoke" in told
        # The same speech; one 16-bit step for windows of other sizes.
        np.testing.assert_allclose(read(tmp_path / "served.wav"), alone, atol=1.5 / 32768)

        voicecore("alias", "best", "anna")  # which the running server has at once
        voicecore("speak", TEXT, "-o", tmp_path / "best.mp3", "--model", "best", "--port", port)
        (listed,) = json.loads(voicecore("list", "--json"))
        assert listed["resident"]
        assert listed["names"] == ["anna", "best"]
        voicecore("alias", "best", "--remove")
        assert "resident in a running server" in voicecore("remove", "anna", status=1)
        voicecore("voice", "add", "me", golden_folder / "audio.wav", "--language", "en")
        voicecore("speak", TEXT, "-o", tmp_path / "me.wav", "--voice", "me", "--port", port)
        read(tmp_path / "me.wav")
    voicecore("remove", "anna")
    assert "The store is empty" in voicecore("list")


@pytest.mark.slow
def test_a_real_submit_killed_at_any_moment_leaves_all_or_nothing(
    voicecore: Command, environment: dict[str, str], golden_folder: Path, tmp_path: Path
):
    store = ModelsStore(tmp_path / "home" / "store")
    command = [*VOICECORE, "submit", str(golden_folder), "--name", "anna"]
    start = time.monotonic()
    voicecore(*command[len(VOICECORE) :])
    whole_s = time.monotonic() - start
    submission = store.delete("anna")
    for part in np.linspace(0.2, 1.0, 8):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as submitter:
            with suppress(subprocess.TimeoutExpired):
                submitter.wait(part * whole_s)
            submitter.kill()
        assert list(integrity.verify(store.layout, deep=True)) == []
        assert store.submissions() in ([], [submission_now(store, submission.id)])
    voicecore(*command[len(VOICECORE) :])
    assert store.resolve("anna").id == submission.id
    assert list(store.layout.scratch.iterdir()) == []
    assert len(list(store.layout.blobs.iterdir())) == len(submission.blobs) + 1


def submission_now(store: ModelsStore, submission_id: str) -> Submission | None:
    try:
        return store.resolve(submission_id)
    except NotFound:
        return None
