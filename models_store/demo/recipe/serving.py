"""A server of some submissions, for as long as they are judged."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

START_S = 180.0


@contextmanager
def serving(submissions: Mapping[str, Path]) -> Iterator[str]:
    """Its address on loopback. Raises CalledProcessError where a submission is refused, TimeoutError."""
    with tempfile.TemporaryDirectory(prefix="voicecore-demo-") as home:
        settings = {"HOME": home, "PORT": "0", "DEMO": "false", "LOG_LEVEL": "warning"}
        environment = os.environ | {f"VOICECORE_{name}": value for name, value in settings.items()}
        voicecore = [sys.executable, "-m", "server"]
        for name, folder in submissions.items():
            subprocess.run([*voicecore, "submit", str(folder), "--name", name], env=environment, check=True)
        process = subprocess.Popen(
            [*voicecore, "serve"], env=environment, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        with process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().split()[-1]
                _wait_until_ready(url)
                yield url
            finally:
                process.terminate()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"the server at {url} was not ready within {START_S:.0f} s")
