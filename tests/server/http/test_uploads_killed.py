"""Resumable uploads to a real server process that is killed in the middle, and what they cost its memory."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

MIB = 2**20
TUS = {"Tus-Resumable": "1.0.0"}
PROGRAM = """
    import json, socket, sys
    import uvicorn
    from models_store.store import ModelsStore
    from server.http.app import create_app
    from server.scheduling.client import SpeechClient
    from server.settings import Settings

    settings = Settings(**json.loads(sys.argv[1]))
    client = SpeechClient(settings.home_path / "worker.sock")
    app = create_app(settings, ModelsStore(settings.store_path), client, text=object())
    listening = socket.socket(fileno=int(sys.argv[2]))
    uvicorn.Server(uvicorn.Config(app, log_config=None)).run(sockets=[listening])
"""


class KillableServer:
    """A process with the application alone. Its socket outlives it, as with the supervisor."""

    def __init__(self, home: Path) -> None:
        self._settings = {"home": str(home), "demo": False, "log_level": "error"}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.start()

    def start(self) -> None:
        descriptor = self._listening.fileno()
        program = [
            sys.executable,
            "-c",
            textwrap.dedent(PROGRAM),
            json.dumps(self._settings),
            str(descriptor),
        ]
        self.process = subprocess.Popen(program, pass_fds=[descriptor])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self._listening.close()

    @property
    def resident_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def killable(home: Path) -> Iterator[KillableServer]:
    server = KillableServer(home)
    yield server
    server.close()


@pytest.fixture
def http(killable: KillableServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=killable.url, timeout=120, trust_env=False, headers=TUS) as client:
        yield client


def create(http: httpx.Client, length: int) -> str:
    headers = {"Upload-Length": str(length), "Upload-Metadata": "filename bW9kZWwucHRo"}
    created = http.post("/v1/uploads", headers=headers)
    assert created.status_code == 201, created.text
    return created.headers["Location"]


def patch(http: httpx.Client, location: str, offset: int, body) -> httpx.Response:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return http.patch(location, headers=headers, content=body)


def offset_of(http: httpx.Client, location: str) -> int:
    head = http.head(location)
    assert head.status_code == 200
    return int(head.headers["Upload-Offset"])


def test_an_upload_goes_on_after_its_server_was_killed(killable, http, home):
    content = random.Random(7).randbytes(12 * MIB)
    location = create(http, len(content))
    stored = home / "store" / "uploads" / location.rpartition("/")[2] / "content"
    acknowledged = int(patch(http, location, 0, content[:MIB]).headers["Upload-Offset"])
    assert acknowledged == MIB
    for killed_at in (4 * MIB, 8 * MIB + 12_345):

        def until_killed(start: int, stop: int) -> Iterator[bytes]:
            for position in range(start, stop, 100_000):
                yield content[position : min(position + 100_000, stop)]
            until = time.monotonic() + 60
            while stored.stat().st_size < stop - 2 * MIB:  # most of it has come
                assert time.monotonic() < until
                time.sleep(0.01)
            killable.kill()
            yield content[stop:]

        with pytest.raises(httpx.TransportError):
            patch(http, location, acknowledged, until_killed(acknowledged, killed_at))
        killable.start()
        offset = offset_of(http, location)
        assert max(acknowledged, killed_at - 2 * MIB) <= offset <= killed_at
        assert stored.read_bytes() == content[:offset]
        acknowledged = offset
    ended = patch(http, location, acknowledged, content[acknowledged:])
    assert (ended.status_code, ended.headers["Upload-Offset"]) == (204, str(len(content)))
    assert stored.read_bytes() == content


def test_a_large_file_takes_no_memory(killable, http):
    length = 96 * MIB
    location = create(http, length)
    before = killable.resident_bytes
    most = 0

    def body() -> Iterator[bytes]:
        nonlocal most
        for _ in range(length // MIB):
            yield bytes(MIB)
            most = max(most, killable.resident_bytes - before)

    assert patch(http, location, 0, body()).status_code == 204
    assert most < 24 * MIB
