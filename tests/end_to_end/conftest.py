"""The whole server as a user starts it: `voicecore serve`, in processes of its own, with real models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

START_S = 120.0
STOP_S = 30.0

Serve = Callable[..., "contextmanager[str]"]


@contextmanager
def running_server(home: Path, **settings: str) -> Iterator[str]:
    """Serve `home` on a free port of loopback; gives the base URL."""
    environment = {"VOICECORE_HOME": str(home), "VOICECORE_PORT": "0", "VOICECORE_LOG_FORMAT": "json"}
    environment |= {f"VOICECORE_{name.upper()}": value for name, value in settings.items()}
    log_path = home / "server.log"
    with log_path.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "server", "serve"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        first_line = process.stdout.readline()
        assert first_line, log_path.read_text()
        url = first_line.split()[-1]
        wait_until_ready(url, process, log_path)
        yield url
    finally:
        with process:  # closes its output
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def wait_until_ready(url: str, process: subprocess.Popen[str], log_path: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log_path.read_text()
        assert time.monotonic() < deadline, log_path.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="session")
def serve() -> Serve:
    return running_server
