"""An uploaded folder, .zip, .tar or .tar.gz → its regular files by name, where they can be read.

Files of an archive are copied out under numbers of our own, so no name in it decides where anything is
written; what is copied is counted, whatever sizes it declares. A folder's files stay where they are.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias

from models_store.collection import JUNK, MAX_DEPTH, Collection, Member, Refused
from models_store.errors import Problem
from models_store.report import Limits, Progress, ProgressCallback

# Most that a library may read at once to find its way: a zip's directory, a tar's extended header.
STRUCTURE_BYTES = 4 << 20
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
GZIP_MAGIC = b"\x1f\x8b"
TAR_MAGIC_OFFSET, TAR_MAGIC = 257, b"ustar"


class Files(NamedTuple):
    """What an upload holds: names relative to its only top folder, and why it must be refused."""

    paths: Mapping[str, Path]
    problems: tuple[Problem, ...]


class _Interrupted(Exception):
    """The caller's progress callback raised: not to be taken for damage of the archive."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


def read_files(path: Path, scratch: Path, progress: ProgressCallback | None, limits: Limits) -> Files:
    """Take an upload apart; `scratch` receives the files of an archive. Raises OSError of our own disk."""
    collection = Collection(scratch, limits)
    try:
        if path.is_dir():
            _collect_folder(path, collection)
        else:
            _collect_archive(path, collection, progress)
    except Refused as refused:
        return Files({}, (*collection.problems(), refused.problem))
    except _Interrupted as interrupted:
        raise interrupted.reason from None
    if problems := collection.problems():
        return Files({}, problems)
    return Files(_without_top_folder(collection.paths), ())


def _without_top_folder(paths: Mapping[str, Path]) -> Mapping[str, Path]:
    """An archive of a folder holds that folder; its files are the submission's."""
    tops = {name.partition("/")[0] for name in paths}
    if len(tops) != 1 or not all("/" in name for name in paths):
        return paths
    return {name.partition("/")[2]: path for name, path in paths.items()}


# A folder


def _collect_folder(folder: Path, collection: Collection) -> None:
    for name, entry in _walk(folder, ""):
        kind = _kind_of_mode(entry.stat(follow_symlinks=False).st_mode)
        if (wanted := collection.wants(Member(name, kind))) is not None:
            collection.count(entry.stat(follow_symlinks=False).st_size)
            collection.paths[wanted] = Path(entry.path)


def _walk(folder: Path | str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            yield name, entry
            ignored = entry.name in JUNK or name.count("/") > MAX_DEPTH
            if entry.is_dir(follow_symlinks=False) and not ignored:
                yield from _walk(entry.path, f"{name}/")


KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def _kind_of_mode(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), "special file")


# Archives


Source: TypeAlias = IO[bytes] | gzip.GzipFile


class _Metered(io.RawIOBase):
    """A seekable source that refuses to be read or skipped by more than a submission needs.

    Archive libraries read what a header tells them to, into memory; only the content is asked for in pieces.
    """

    def __init__(self, source: Source, collection: Collection) -> None:
        self._source = source
        self._collection = collection
        self._structure_bytes: int | None = None

    def expect_structure(self) -> None:
        """Until `expect_content`, what is read is held in memory by the library."""
        self._structure_bytes = STRUCTURE_BYTES

    def expect_content(self) -> None:
        self._structure_bytes = None

    def read(self, size: int = -1) -> bytes:
        limit = STRUCTURE_BYTES if self._structure_bytes is None else self._structure_bytes
        data = self._source.read(limit + 1 if size is None or size < 0 else min(size, limit + 1))
        if len(data) > limit:
            raise Refused(
                "BadArchive",
                "an archive whose directory is larger than any submission's",
                "a submission's few files",
                "Pack the submission's files alone.",
            )
        if self._structure_bytes is not None:
            self._structure_bytes -= len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            if offset < 0:
                raise ValueError("a negative position")
            if self._structure_bytes is not None:  # what is skipped has to be unpacked as well
                self._collection.count(max(0, offset - self._source.tell()))
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


# What the libraries raise on bytes that are no archive. OSError of our own disk is not among them.
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
)


def _collect_archive(path: Path, collection: Collection, progress: ProgressCallback | None) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _not_an_archive(f"a {_kind_of_mode(status.st_mode)}")
    collection.limit_ratio(status.st_size)
    with path.open("rb") as file:
        start = file.read(TAR_MAGIC_OFFSET + len(TAR_MAGIC))
        file.seek(0)

        def report() -> None:
            try:
                if progress:
                    progress(Progress("unpack", file.tell(), status.st_size))
            except BaseException as error:
                raise _Interrupted(error) from error

        try:
            if start.startswith(ZIP_MAGICS):
                _collect_zip(file, collection, report)
            elif start.startswith(GZIP_MAGIC):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    _collect_tar(unpacked, collection, report)
            elif start[TAR_MAGIC_OFFSET:] == TAR_MAGIC:
                _collect_tar(file, collection, report)
            else:
                raise _not_an_archive("a file that is neither a .zip nor a .tar nor a .tar.gz")
        except DAMAGE as error:
            raise Refused(
                "BadArchive",
                f"a damaged archive ({error})"[:200],
                "a whole .zip, .tar or .tar.gz",
                "Pack and upload it again.",
            ) from error


def _not_an_archive(found: str) -> Refused:
    remedy = "Pack the submission's folder as .zip or .tar.gz."
    return Refused("BadArchive", found, "a folder, or an archive of one", remedy)


def _collect_zip(file: IO[bytes], collection: Collection, report: Callable[[], None]) -> None:
    with zipfile.ZipFile(_Metered(file, collection)) as archive:
        for info in archive.infolist():
            if (name := collection.wants(Member(info.filename, _kind_of_zip_member(info)))) is None:
                continue
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused(
                    "BadArchive",
                    "files that are encrypted or compressed in an unusual way",
                    "stored or deflated files",
                    "Pack the folder with an ordinary zip program, without a password.",
                )
            with archive.open(info) as source:
                collection.copy(name, source, report)


def _kind_of_zip_member(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return "folder"
    mode = info.external_attr >> 16  # Unix's, where the packer knew it
    return _kind_of_mode(mode) if stat.S_IFMT(mode) else "file"


def _collect_tar(source: Source, collection: Collection, report: Callable[[], None]) -> None:
    file = _Metered(source, collection)
    file.expect_structure()
    with tarfile.TarFile(fileobj=file, mode="r") as archive:
        while (info := archive.next()) is not None:
            if (name := collection.wants(Member(info.name, _kind_of_tar_member(info)))) is not None:
                content = archive.extractfile(info)
                if content is not None:
                    file.expect_content()
                    collection.copy(name, content, report)
            file.expect_structure()


def _kind_of_tar_member(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "symbolic link"
    if info.islnk():
        return "hard link"
    if info.isdir():
        return "folder"
    if info.isfifo():
        return "named pipe"
    if info.isdev():
        return "device"
    return "file" if info.isreg() else "special file"
