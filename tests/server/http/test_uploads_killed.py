"""Resumable uploads to a real server process that is killed in the middle, and what they cost its memory."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

MIB = 2**20
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def killable(killable_server: type[Any], home: Path) -> Iterator[Any]:
    with killable_server(home) as server:
        yield server


@pytest.fixture
def http(killable: Any) -> Iterator[httpx.Client]:
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
