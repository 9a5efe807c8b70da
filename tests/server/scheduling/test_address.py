from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.scheduling.address import MAX_SOCKET_PATH_BYTES, worker_socket


def test_the_socket_lies_in_the_data_folder_for_its_owner_only(tmp_path, monkeypatch):
    home = tmp_path / "h"
    path = worker_socket(home)
    assert path.parent == home / "run"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert worker_socket(home) == path


@pytest.fixture
def short_path() -> Iterator[Path]:
    """As a system's temporary folder is; `tmp_path` may be too long for a socket itself."""
    with tempfile.TemporaryDirectory(prefix="v") as folder:
        yield Path(folder)


@pytest.mark.parametrize("letter", ["x", "ö"])
def test_a_long_path_gets_a_short_folder_that_everybody_finds(tmp_path, short_path, monkeypatch, letter):
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))
    home = tmp_path / (letter * 100)
    path = worker_socket(home)
    assert len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
    assert path == worker_socket(home)
    assert path != worker_socket(tmp_path / (letter * 101))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_a_folder_that_is_not_ours_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / ("x" * 100)
    folder = worker_socket(home).parent
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="expected our own"):
        worker_socket(home)
