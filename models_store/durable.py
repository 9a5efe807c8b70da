"""Files that survive kill -9 and power loss, and locks that do not: digests, atomic writes, flock.

Every lock is an flock, which the kernel drops with the process that held it: none is ever stale.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models_store.errors import StorageError
from models_store.submission import DIGEST_PREFIX, Blob

READ_BYTES = 4 * 2**20

_REMEDIES = {
    errno.ENOSPC: "Free space on this disk",
    errno.EDQUOT: "Free space or raise the quota",
    errno.EROFS: "Mount it for writing",
    errno.EIO: "Check the disk",
    errno.EACCES: "Give this user the right to write there",
    errno.EPERM: "Give this user the right to write there",
    errno.ENOTDIR: "Move the file away that is where a folder is due",
    errno.EEXIST: "Move the file away that is where a folder is due",
}
# What writing to an open file raises, without a file name. Other errors without one are about other things.
_NAMELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


@contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Turn what the operating system says about the data folder into a StorageError with its remedy."""
    try:
        yield
    except OSError as error:
        named = error.filename is not None
        place = Path(os.fsdecode(error.filename)) if named else root
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None or not (named or error.errno in _NAMELESS) or not _concerns(place, root):
            raise
        raise StorageError(
            f"{place}: found {(error.strerror or '').lower()}; expected to write the data folder {root}. "
            f"{remedy}, or choose another data folder with VOICECORE_HOME."
        ) from error


def _concerns(place: Path, root: Path) -> bool:
    """Also the parents, where the data folder itself is to be made."""
    return place.is_relative_to(root) or root.is_relative_to(place)


def digest_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> Blob:
    """A file's digest and size. `on_bytes` is told how many bytes were read since it was last called."""
    sha256 = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(READ_BYTES):
            sha256.update(block)
            size += len(block)
            if on_bytes is not None:
                on_bytes(len(block))
    return Blob(DIGEST_PREFIX + sha256.hexdigest(), size)


def hex_of(digest: str) -> str:
    """The 64 hex digits of "sha256:…": what files are called after."""
    return digest.removeprefix(DIGEST_PREFIX)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_file(source: Path, target: Path) -> None:
    """Move a finished file to its place, whole or not at all, and make both it and its name last."""
    sync(source)
    source.rename(target)
    sync(target.parent)


def write_atomically(target: Path, content: bytes, scratch: Path) -> None:
    """Write a small file, whole or not at all; `scratch` is a folder of the same file system."""
    draft = scratch / f"draft-{secrets.token_hex(8)}"
    try:
        draft.write_bytes(content)
        publish_file(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def flocked(path: Path, operation: int) -> Iterator[None]:
    """Hold an flock on a file or folder that exists. Raises BlockingIOError with LOCK_NB if it's taken."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def is_flocked(path: Path) -> bool:
    """Whether it's there and any process holds a lock on it. Two callers at once may see each other."""
    try:
        with flocked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
