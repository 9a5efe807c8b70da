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

from models_store.errors import Problem
from models_store.report import Limits, Progress, ProgressCallback

COPY_BYTES = 1 << 20
# Most that a library may read at once to find its way: a zip's directory, a tar's extended header.
STRUCTURE_BYTES = 4 << 20
MAX_DEPTH = 8
MAX_PART_BYTES = 200
MAX_NAMED = 5  # members quoted in one problem

# What systems and editors leave behind; nobody submits it on purpose.
JUNK = frozenset(
    "__MACOSX .DS_Store Thumbs.db desktop.ini .git .gitattributes .gitignore .svn __pycache__ "
    ".ipynb_checkpoints .cache @eaDir".split()
)
JUNK_PREFIX = "._"  # macOS's resource forks

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
GZIP_MAGIC = b"\x1f\x8b"
TAR_MAGIC_OFFSET, TAR_MAGIC = 257, b"ustar"


class Files(NamedTuple):
    """What an upload holds: names relative to its only top folder, and why it must be refused."""

    paths: Mapping[str, Path]
    problems: tuple[Problem, ...]


class _Refused(Exception):
    """Reading on would be dangerous or pointless."""

    def __init__(self, code: str, found: str, expected: str, remedy: str) -> None:
        super().__init__(found)
        self.problem = Problem(code, "", found, expected, remedy)


class _Interrupted(Exception):
    """The caller's progress callback raised: not to be taken for damage of the archive."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Member(NamedTuple):
    name: str
    kind: str  # "file", "folder", or what is never accepted: "symbolic link" ...


def read_files(path: Path, scratch: Path, progress: ProgressCallback | None, limits: Limits) -> Files:
    """Take an upload apart; `scratch` receives the files of an archive. Raises OSError of our own disk."""
    collection = _Collection(scratch, limits)
    try:
        if path.is_dir():
            _collect_folder(path, collection)
        else:
            _collect_archive(path, collection, progress)
    except _Refused as refused:
        return Files({}, (*collection.problems(), refused.problem))
    except _Interrupted as interrupted:
        raise interrupted.reason from None
    if problems := collection.problems():
        return Files({}, problems)
    return Files(_without_top_folder(collection.paths), ())


class _Collection:
    """The files that were taken so far, within the limits."""

    def __init__(self, scratch: Path, limits: Limits) -> None:
        self.paths: dict[str, Path] = {}
        self._limits = limits
        self._scratch = scratch
        self._members = 0
        self._total_bytes = 0
        self._allowed_bytes = limits.max_upload_bytes
        self._refused: dict[str, list[str]] = {}  # kind → names

    def limit_ratio(self, packed_bytes: int) -> None:
        """From here on the files come out of that many bytes."""
        fair = max(self._limits.min_ratio_bytes, packed_bytes * self._limits.max_ratio)
        self._allowed_bytes = min(self._limits.max_upload_bytes, fair)

    def wants(self, member: _Member) -> str | None:
        """The plain name under which to take the member, or None."""
        self._members += 1
        if self._members > self._limits.max_files:
            raise _Refused(
                "BadArchive",
                f"more than {self._limits.max_files} files and folders",
                "a submission's few files",
                "Pack the submission's files alone.",
            )
        parts = [part for part in member.name.replace("\\", "/").split("/") if part not in ("", ".")]
        if any(part in JUNK or part.startswith(JUNK_PREFIX) for part in parts):
            return None
        if unsafe := _unsafe_name(member.name, parts):
            self._refused.setdefault(unsafe, []).append(member.name)
        elif member.kind not in ("file", "folder"):
            self._refused.setdefault(member.kind, []).append(member.name)
        elif member.kind == "file":
            name = "/".join(parts)
            if name not in self.paths:
                return name
            self._refused.setdefault("two files of one name", []).append(member.name)
        return None

    def count(self, size: int) -> None:
        self._total_bytes += size
        if self._total_bytes > self._limits.max_upload_bytes:
            raise _Refused(
                "UploadTooLarge",
                f"more than {self._limits.max_upload_bytes} bytes unpacked",
                f"at most {self._limits.max_upload_bytes} bytes",
                "Leave out what is not part of the submission; save the checkpoint without its optimizer.",
            )
        if self._total_bytes > self._allowed_bytes:
            raise _Refused(
                "BadArchive",
                f"an archive that unpacks to over {self._limits.max_ratio} times its size",
                "audio and weights, which hardly shrink",
                "Pack the submission's files alone.",
            )

    def copy(self, name: str, source: IO[bytes], report: Callable[[], None]) -> None:
        target = self._scratch / f"{len(self.paths):05d}"
        self.paths[name] = target
        with target.open("xb") as file:
            while block := source.read(COPY_BYTES):
                self.count(len(block))
                file.write(block)
                report()

    def problems(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(
                "BadArchive",
                "",
                f"{kind}: {_quoted(names)}",
                "regular files with plain names, inside the submission's folder",
                "Pack the submission's folder again, with copies in place of links.",
            )
            for kind, names in self._refused.items()
        )


def _unsafe_name(name: str, parts: list[str]) -> str | None:
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "an absolute path"
    if ".." in parts:
        return "a path that leaves the folder"
    if not parts or any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "a name that can't be printed"
    if len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > MAX_PART_BYTES for part in parts):
        return "a name too long or too deep"
    return None


def _quoted(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(ascii(name[:100]) for name in names[:MAX_NAMED]) + more


def _without_top_folder(paths: Mapping[str, Path]) -> Mapping[str, Path]:
    """An archive of a folder holds that folder; its files are the submission's."""
    tops = {name.partition("/")[0] for name in paths}
    if len(tops) != 1 or not all("/" in name for name in paths):
        return paths
    return {name.partition("/")[2]: path for name, path in paths.items()}


# A folder


def _collect_folder(folder: Path, collection: _Collection) -> None:
    for name, entry in _walk(folder, ""):
        kind = _kind_of_mode(entry.stat(follow_symlinks=False).st_mode)
        if (wanted := collection.wants(_Member(name, kind))) is not None:
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

    def __init__(self, source: Source, collection: _Collection) -> None:
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
            raise _Refused(
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


def _collect_archive(path: Path, collection: _Collection, progress: ProgressCallback | None) -> None:
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
            raise _Refused(
                "BadArchive",
                f"a damaged archive ({error})"[:200],
                "a whole .zip, .tar or .tar.gz",
                "Pack and upload it again.",
            ) from error


def _not_an_archive(found: str) -> _Refused:
    remedy = "Pack the submission's folder as .zip or .tar.gz."
    return _Refused("BadArchive", found, "a folder, or an archive of one", remedy)


def _collect_zip(file: IO[bytes], collection: _Collection, report: Callable[[], None]) -> None:
    with zipfile.ZipFile(_Metered(file, collection)) as archive:
        for info in archive.infolist():
            if (name := collection.wants(_Member(info.filename, _kind_of_zip_member(info)))) is None:
                continue
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _Refused(
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


def _collect_tar(source: Source, collection: _Collection, report: Callable[[], None]) -> None:
    file = _Metered(source, collection)
    file.expect_structure()
    with tarfile.TarFile(fileobj=file, mode="r") as archive:
        while (info := archive.next()) is not None:
            if (name := collection.wants(_Member(info.name, _kind_of_tar_member(info)))) is not None:
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
