"""Disks that are full, read-only, broken or somebody else's."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from models_store import durable
from models_store.errors import StorageError
from models_store.store import ModelsStore
from models_store.submission import Submission


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        pytest.param(errno.ENOSPC, "Free space", id="full"),
        pytest.param(errno.EROFS, "for writing", id="read-only"),
        pytest.param(errno.EIO, "Check the disk", id="broken"),
    ],
)
def test_a_failing_disk_leaves_the_store_as_it_was(
    store: ModelsStore, submitting: ModuleType, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
):
    submission = submitting.publish(store, "anna", "a").submission
    before = sorted(store.root.rglob("*"))
    for number in itertools.count(1):  # the disk fails at the n-th write that must last
        with monkeypatch.context() as patched:
            patched.setattr(durable, "sync", _failing_at(number, code))
            error = _error_of(lambda: submitting.publish(store, "anna", "b"))
        if error is None:
            break
        assert isinstance(error, StorageError)
        assert remedy in str(error)
        assert "VOICECORE_HOME" in str(error)
        assert store.resolve("anna") in store.submissions()
        _undo(store, submission)
        assert sorted(store.root.rglob("*")) == before
    assert number == 13  # four blobs, a manifest and a name before it, each with its folder


def _failing_at(number: int, code: int) -> Callable[[Path], None]:
    real, left = durable.sync, number

    def sync(path: Path) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(code, os.strerror(code))
        real(path)

    return sync


def _undo(store: ModelsStore, kept: Submission) -> None:
    """Whatever was published was published whole, so it can be taken back."""
    store.alias("anna", kept.id)
    for submission in store.submissions():
        if submission != kept:
            store.delete(submission.id)
    store.collect_garbage()


def _error_of(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


FULL_DISK = """
import sys
from collections.abc import Callable
from pathlib import Path
sys.path.insert(0, {tests!r})
from submitting import publish
from models_store.errors import StorageError
from models_store.store import ModelsStore
from models_store.submission import Submission
store = ModelsStore(Path({root!r}))
kept = publish(store, "kept", "k", 20_000)
try:
    publish(store, "large", "l", 2_000_000)
except StorageError as error:
    print(error)
assert store.submissions() == [kept.submission]
publish(store, "small", "s", 20_000)
assert len(store.submissions()) == 2
"""


def test_a_disk_that_is_really_full(tmp_path: Path):
    root = tmp_path / "disk"
    root.mkdir()
    script = FULL_DISK.format(tests=str(Path(__file__).parent), root=str(root))
    in_own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o size=1m none {root} || exit 77; exec {sys.executable} -c "$0"'
    try:
        ended = subprocess.run([*in_own_mounts, mount, script], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here")
    if ended.returncode in (1, 77) and "Traceback" not in ended.stderr:
        pytest.skip(f"this kernel lets nobody mount: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert "no space left on device" in ended.stdout
    assert "Free space" in ended.stdout


def test_a_file_where_the_folder_is_due(tmp_path: Path):
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StorageError, match="Move the file away"):
        ModelsStore(tmp_path / "store")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(tmp_path: Path):
    tmp_path.chmod(0o555)
    with pytest.raises(StorageError, match=r"permission denied.*Give this user the right"):
        ModelsStore(tmp_path / "store")


def test_errors_about_other_places_pass_through(store: ModelsStore, tmp_path: Path):
    with pytest.raises(PermissionError), durable.storage_errors(store.root):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "upload"))


def test_a_read_only_store_can_be_read(tmp_path: Path, submitting: ModuleType):
    store = ModelsStore(tmp_path / "store")
    submission = submitting.publish(store, "anna", "a").submission
    script = (
        "import sys; from pathlib import Path; from models_store.store import ModelsStore;"
        "store = ModelsStore(Path(sys.argv[1])); print(store.resolve('anna').id);"
        "store.alias('best', 'anna')"
    )
    in_own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 77; exec "$1" -c "$2" "$0"'
    arguments = [str(store.root), sys.executable, script]
    try:
        ended = subprocess.run(
            [*in_own_mounts, mount, *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here")
    if not ended.stdout and "Traceback" not in ended.stderr:
        pytest.skip(f"this kernel lets nobody mount: {ended.stderr.strip()}")
    assert ended.stdout.strip() == submission.id
    assert "read-only file system" in ended.stderr
    assert "StorageError" in ended.stderr
    assert store.names() == {"anna": submission.id}
