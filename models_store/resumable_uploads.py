"""Files that arrive in pieces, over connections that drop and to servers that die.

<root>/uploads/<id>/about.json   what it is to be: written last when an upload is made, then never changed
<root>/uploads/<id>/content      what has arrived

How far an upload has come is the size of its content and stands nowhere else, so no crash can make the two
differ. A piece is appended only where the content ends, under a lock that is held for this piece alone: when
a sender comes back while its dead connection is still open here, the new one goes on and the old one finds
that it is late.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from models_store.collection import unsafe_name
from models_store.durable import READ_BYTES, flocked, storage_errors, sync, write_atomically
from models_store.errors import BadUpload, NotFound, Problem, StorageError, UploadConflict, UploadTooLarge

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
GROUP = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAX_UPLOADS = 5_000  # at once, of all senders together


@dataclass(frozen=True, slots=True)
class Announced:
    """What a sender says about a file before its first byte. Raises BadUpload."""

    file_name: str  # a relative path with "/" between its parts
    length_bytes: int
    purpose: str
    group: str = ""  # of files that will be handed in together; "" for a file alone
    metadata: str = ""  # as it was sent, for the sender to read again

    def __post_init__(self) -> None:
        parts = self.file_name.split("/")
        if unsafe_name(self.file_name, parts) or not all(map(_is_plain, parts)):
            raise BadUpload(
                f"found a file called {self.file_name[:80]!r}; expected a plain name, or a relative path of "
                "them. Rename the file."
            )
        if self.group and not GROUP.fullmatch(self.group):
            raise BadUpload(
                f"found the group {self.group[:80]!r}; expected 1 to 64 letters, digits, dots, hyphens or "
                "underscores. Leave it out for a file alone."
            )


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """A file that is arriving, or has arrived and waits to be handed in."""

    id: str
    announced: Announced
    offset_bytes: int  # these are on the disk
    expires_at: float  # Unix time

    @property
    def is_complete(self) -> bool:
        return self.offset_bytes == self.announced.length_bytes


class StagedPiece:
    """Bytes beside an upload's content. A file without a name, so neither a kill nor an error leaves it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)

    def __enter__(self) -> StagedPiece:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Raises StorageError."""
        with storage_errors(self._folder):
            self._file.write(data)

    def read_back(self) -> Iterator[bytes]:
        """From its beginning."""
        with storage_errors(self._folder):
            self._file.seek(0)
            while block := self._file.read(READ_BYTES):
                yield block


class ResumableUploads:
    """The uploads in a folder, for any number of processes and threads. Methods may raise StorageError.

    One that nobody goes on with for `expiry_s` is removed.
    """

    def __init__(self, folder: Path, expiry_s: float) -> None:
        self._folder = folder
        self._expiry_s = expiry_s

    def create(self, announced: Announced, max_bytes: int) -> ResumableUpload:
        """Begin an upload of a group of at most `max_bytes`.

        Raises UploadTooLarge, and StorageError where the disk hasn't room for it.
        """
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            # What one is promised, the next must not be promised as well.
            with flocked(self._folder, fcntl.LOCK_EX):
                self.expire()
                self._check_room(announced, max_bytes)
                folder = self._folder / secrets.token_hex(16)
                folder.mkdir()
                (folder / "content").touch()
                write_atomically(folder / "about.json", json.dumps(asdict(announced)).encode(), folder)
                sync(self._folder)
        return self.get(folder.name)

    def get(self, upload_id: str) -> ResumableUpload:
        """How far it is: what it says is on the disk. Raises NotFound."""
        with self._errors(upload_id):
            upload = self._read(upload_id)
            sync(self._path(upload_id) / "content")
        return upload

    def append(self, upload: ResumableUpload, offset_bytes: int, piece: bytes) -> int:
        """Add what belongs at the offset; returns the next one. Not on the disk before `get` says so.

        Raises NotFound, UploadConflict where the content ends elsewhere, UploadTooLarge beyond its length.
        """
        with self._errors(upload.id), (self._path(upload.id) / "content").open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file
            end = file.seek(0, os.SEEK_END)
            if end != offset_bytes:
                raise UploadConflict(
                    f"found the offset {offset_bytes}; expected {end}, where this upload ends. Ask for its "
                    "offset and go on from there."
                )
            length = upload.announced.length_bytes
            if end + len(piece) > length:
                raise _too_large(f"more than the {length} bytes that were announced", f"{length} bytes")
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
        return offset_bytes + len(piece)

    def stage(self, upload: ResumableUpload) -> StagedPiece:
        """For a piece that may yet turn out not to be what was sent. Raises NotFound."""
        with self._errors(upload.id):
            return StagedPiece(self._path(upload.id))

    def remove(self, upload_id: str) -> None:
        """Raises NotFound."""
        with self._errors(upload_id):
            (self._path(upload_id) / "about.json").unlink()  # from here on nobody can go on with it
            shutil.rmtree(self._path(upload_id), ignore_errors=True)

    def discard(self, *upload_ids: str) -> None:
        """Remove those that are there."""
        for upload_id in upload_ids:
            with suppress(NotFound):
                self.remove(upload_id)

    def gather(self, upload_ids: Sequence[str], purpose: str, folder: Path) -> tuple[Path, ...]:
        """The complete files, under their names, in a folder of the same file system; copies nothing.

        They stay uploads as well: what fails with them can be tried again. Raises NotFound, BadUpload,
        UploadConflict where one isn't complete.
        """
        return tuple(self._link(self.get(upload_id), purpose, folder) for upload_id in upload_ids)

    def expire(self) -> None:
        """Remove what nobody goes on with, and what a killed `create` or `remove` has left."""
        oldest = time.time() - self._expiry_s
        with storage_errors(self._folder), suppress(FileNotFoundError):
            for folder in [*self._folder.iterdir()]:
                with suppress(FileNotFoundError):
                    content = folder / "content"
                    if (content if content.exists() else folder).stat().st_mtime < oldest:
                        shutil.rmtree(folder, ignore_errors=True)

    def _link(self, upload: ResumableUpload, purpose: str, folder: Path) -> Path:
        announced = upload.announced
        if announced.purpose != purpose:
            raise BadUpload(
                f"{announced.file_name}: found an upload for {announced.purpose}; expected one for {purpose}."
            )
        if not upload.is_complete:
            raise UploadConflict(
                f"{announced.file_name}: found {upload.offset_bytes} of {announced.length_bytes} bytes; "
                "expected all of them. Send the rest first."
            )
        path = folder.joinpath(*announced.file_name.split("/"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._path(upload.id) / "content", path)
        except (FileExistsError, NotADirectoryError):
            message = f"found two files called {announced.file_name!r}; expected one. Leave one of them out."
            raise BadUpload(message) from None
        return path

    def _check_room(self, announced: Announced, max_bytes: int) -> None:
        others = [*self._all()]
        if len(others) >= MAX_UPLOADS:
            raise StorageError(
                f"found {MAX_UPLOADS} unfinished uploads; expected fewer. Finish or delete some, or wait "
                "until they expire."
            )
        in_group = [other.announced for other in others if other.announced.group == announced.group]
        total = sum(other.length_bytes for other in in_group if announced.group) + announced.length_bytes
        if total > max_bytes:
            raise _too_large(f"{total} bytes together", f"at most {max_bytes} bytes")
        promised = sum(other.announced.length_bytes - other.offset_bytes for other in others)
        free = shutil.disk_usage(self._folder).free - promised
        if free < 2 * announced.length_bytes:
            raise StorageError(
                f"found {max(0, free)} bytes free; expected {2 * announced.length_bytes}: room for the "
                "upload and once more for what it is converted to. Free space on the server's disk."
            )

    def _all(self) -> Iterator[ResumableUpload]:
        for folder in self._folder.iterdir():
            with suppress(NotFound, FileNotFoundError):
                yield self._read(folder.name)

    def _read(self, upload_id: str) -> ResumableUpload:
        """As it is now, on the disk or on the way there. Raises FileNotFoundError."""
        folder = self._path(upload_id)
        announced = Announced(**json.loads((folder / "about.json").read_bytes()))
        found = (folder / "content").stat()
        return ResumableUpload(upload_id, announced, found.st_size, found.st_mtime + self._expiry_s)

    def _path(self, upload_id: str) -> Path:
        if not UPLOAD_ID.fullmatch(upload_id):
            raise NotFound("upload", upload_id[:80])
        return self._folder / upload_id

    @contextmanager
    def _errors(self, upload_id: str) -> Iterator[None]:
        try:
            with storage_errors(self._folder):
                yield
        except FileNotFoundError:
            raise NotFound("upload", upload_id) from None


def _is_plain(part: str) -> bool:
    return part not in ("", ".") and "\\" not in part and part.isprintable()


def _too_large(found: str, expected: str) -> UploadTooLarge:
    remedy = "Leave out what is not part of it; save checkpoints without their optimizer."
    return UploadTooLarge([Problem("UploadTooLarge", "", found, expected, remedy)])
