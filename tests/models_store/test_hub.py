"""Downloads that are interrupted, lied to and resumed."""

from __future__ import annotations

import fcntl
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models_store.base_roles import ROLES
from models_store.errors import HubError, InUse, StorageError
from models_store.hub import ATTEMPTS, Hub
from models_store.published import PUBLISHED, HubFile
from models_store.report import Progress

REPOSITORY, REVISION = "someone/model", "0123456789abcdef0123456789abcdef01234567"
CONTENT = np.random.default_rng(0).bytes(5_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PINNED = HubFile(REPOSITORY, REVISION, "weights/model.bin", len(CONTENT), SHA256)
UNPINNED = HubFile(REPOSITORY, REVISION, "weights/model.bin")


@pytest.fixture
def client(hub: Any) -> Hub:
    hub.publish(REPOSITORY, REVISION, {PINNED.path: CONTENT, "LICENSE.txt": b"Be kind."})
    return Hub(hub.endpoint, timeout_s=5.0, retry_s=0.001)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.bin"


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def assert_arrived(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()


@pytest.mark.parametrize("file", [PINNED, UNPINNED])
def test_a_file_arrives_and_is_not_fetched_twice(hub: Any, client: Hub, target: Path, file: HubFile):
    told: list[Progress] = []
    blob = client.download(file, target, told.append)
    assert_arrived(target)
    assert blob.digest == f"sha256:{SHA256}"
    assert told[-1] == Progress(file.path, len(CONTENT), len(CONTENT))
    assert client.download(file, target) == blob
    assert hub.ranges == [None]


def test_a_small_file_comes_without_a_redirect(client: Hub, tmp_path: Path):
    licence = HubFile(REPOSITORY, REVISION, "LICENSE.txt")
    client.download(licence, tmp_path / "licence")
    assert (tmp_path / "licence").read_text() == "Be kind."


def test_a_cut_connection_goes_on_from_where_it_was(hub: Any, client: Hub, target: Path):
    hub.misbehaviour.cuts = 3
    told: list[int] = []
    client.download(PINNED, target, lambda progress: told.append(progress.done_bytes))
    assert_arrived(target)
    assert hub.ranges == [None, "bytes=500-", "bytes=1000-", "bytes=1500-"]
    assert told == sorted(told)


def test_cuts_that_bring_something_are_never_too_many(hub: Any, client: Hub, target: Path):
    hub.misbehaviour.cuts = ATTEMPTS + 3
    client.download(PINNED, target)
    assert_arrived(target)


def test_another_process_goes_on_from_what_is_there(hub: Any, client: Hub, target: Path):
    part_of(target).write_bytes(CONTENT[:1_234])
    told: list[Progress] = []
    client.download(PINNED, target, told.append)
    assert_arrived(target)
    assert hub.ranges == ["bytes=1234-"]
    assert told[-1].done_bytes == told[-1].total_bytes == len(CONTENT)


def test_what_interrupts_the_caller_keeps_what_has_come(hub: Any, client: Hub, target: Path):
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    hub.misbehaviour.cuts = 1
    with pytest.raises(KeyboardInterrupt):
        client.download(PINNED, target, interrupt)
    assert part_of(target).read_bytes() == CONTENT[:500]
    client.download(PINNED, target)
    assert_arrived(target)
    assert hub.ranges == [None, "bytes=500-"]


@pytest.mark.parametrize("file", [PINNED, UNPINNED])
def test_a_download_that_was_complete_is_taken_as_it_is(hub: Any, client: Hub, target: Path, file: HubFile):
    part_of(target).write_bytes(CONTENT)
    client.download(file, target)
    assert_arrived(target)
    assert hub.ranges == ["bytes=5000-"]


@pytest.mark.parametrize("file", [PINNED, UNPINNED])
@pytest.mark.parametrize("left", [b"something else", b"x" * 5_000, b"x" * 6_000])
def test_leavings_of_something_else_are_fetched_anew(client: Hub, target: Path, file: HubFile, left: bytes):
    part_of(target).write_bytes(left)
    client.download(file, target)
    assert_arrived(target)


def test_a_damaged_file_is_fetched_anew(client: Hub, target: Path):
    target.write_bytes(CONTENT[:-1] + b"?")
    client.download(PINNED, target)
    assert_arrived(target)


def test_a_server_without_ranges_sends_all_of_it_again(hub: Any, client: Hub, target: Path):
    hub.misbehaviour.without_ranges = True
    part_of(target).write_bytes(CONTENT[:100])
    client.download(PINNED, target)
    assert_arrived(target)


def test_a_busy_hub_is_asked_again(hub: Any, client: Hub, target: Path, monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []
    monkeypatch.setattr("models_store.hub.time.sleep", waits.append)
    hub.misbehaviour.failures, hub.misbehaviour.retry_after = 2, "7"
    client.download(PINNED, target)
    hub.misbehaviour.failures, hub.misbehaviour.retry_after = 3, None
    target.unlink()
    client.download(PINNED, target)
    assert waits == [7.0, 7.0, 0.001, 0.002, 0.004]
    assert_arrived(target)


def test_a_hub_that_stays_busy_is_given_up(hub: Any, client: Hub, target: Path):
    hub.misbehaviour.failures = ATTEMPTS
    with pytest.raises(HubError, match=r"503 Service Unavailable, 6 times.*HF_ENDPOINT"):
        client.download(PINNED, target)
    assert len(hub.ranges) == ATTEMPTS


def test_nobody_at_the_endpoint(target: Path, hub: Any):
    with pytest.raises(HubError, match=r"http://127.0.0.1:1/someone/model/resolve/.*Connection refused"):
        Hub("http://127.0.0.1:1/", retry_s=0.001).download(PINNED, target)


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "HF_TOKEN"), (403, "terms"), (404, "endpoint"), (410, "page")]
)
def test_a_refusal_is_told_at_once(hub: Any, client: Hub, target: Path, status: int, remedy: str):
    hub.misbehaviour.refusal = status
    with pytest.raises(HubError, match=rf"found {status}.*{remedy}"):
        client.download(PINNED, target)
    assert len(hub.seen) == 1


@pytest.mark.parametrize(("file", "whose"), [(PINNED, "is pinned here"), (UNPINNED, "the hub declares")])
def test_other_content_is_refused_and_not_kept(
    hub: Any, client: Hub, target: Path, file: HubFile, whose: str
):
    hub.misbehaviour.corrupted = True
    with pytest.raises(HubError, match=rf"expected sha256:{SHA256}, which {whose}"):
        client.download(file, target)
    assert not target.exists()
    assert part_of(target).read_bytes() == b""
    assert hub.ranges == [None]


def test_a_file_of_another_size_is_refused_before_it_is_fetched(hub: Any, client: Hub, target: Path):
    other = HubFile(REPOSITORY, REVISION, PINNED.path, len(CONTENT) - 1, SHA256)
    with pytest.raises(HubError, match=r"a file of 5000 bytes; expected 4999"):
        client.download(other, target)
    assert part_of(target).read_bytes() == b""


def test_a_disk_that_is_too_small_is_told_before(client: Hub, target: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 4_999}))
    with pytest.raises(StorageError, match="found 4999 bytes free; expected 5000"):
        client.download(PINNED, target)


def test_two_downloads_of_one_file_do_not_mix(hub: Any, client: Hub, target: Path):
    with part_of(target).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InUse, match="written by another process"):
            client.download(PINNED, target)
    assert hub.seen == []


def test_the_token_goes_to_the_hub_alone(hub: Any, target: Path, monkeypatch: pytest.MonkeyPatch):
    hub.publish(REPOSITORY, REVISION, {PINNED.path: CONTENT})
    Hub(hub.endpoint, token="secret").download(PINNED, target)
    assert [request.authorization for request in hub.seen] == ["Bearer secret"] * 2
    # The redirect of the real hub leads to another host.
    elsewhere = httpx.Client(headers={"Authorization": "Bearer secret"})
    request = elsewhere.build_request("GET", "https://hub.example/file")
    moved = httpx.Response(302, headers={"Location": "https://cdn.example/file"}, request=request)
    with elsewhere:
        assert "Authorization" not in elsewhere._build_redirect_request(request, moved).headers


# What the project pins


def pinned_files() -> list[HubFile]:
    files = [file for role in ROLES.values() for file in role.downloads]
    for published in PUBLISHED.values():
        files += [*published.files.values(), published.licence_file]
    return files


@pytest.mark.parametrize("file", pinned_files(), ids=lambda file: f"{file.repository}/{file.path}")
def test_every_pin_is_one(file: HubFile):
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", file.repository)
    assert re.fullmatch(r"[0-9a-f]{40}", file.revision)  # not a branch, whose content changes
    assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert file.sha256 is None or file.size_bytes


def test_no_pin_is_on_two_files():
    pins = [file.sha256 for file in pinned_files() if file.sha256]
    assert len(set(pins)) == len(pins)


def test_weights_are_always_pinned():
    for file in pinned_files():
        assert file.sha256 or Path(file.path).suffix in (".txt", ".wav"), file.path
