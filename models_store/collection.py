"""The files taken from an upload: by safe names only, and no more of them than a submission needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from models_store.errors import Problem
from models_store.report import Limits

COPY_BYTES = 1 << 20
MAX_DEPTH = 8
MAX_PART_BYTES = 200
MAX_NAMED = 5  # members quoted in one problem

# What systems and editors leave behind; nobody submits it on purpose.
JUNK = frozenset(
    "__MACOSX .DS_Store Thumbs.db desktop.ini .git .gitattributes .gitignore .svn __pycache__ "
    ".ipynb_checkpoints .cache @eaDir".split()
)
JUNK_PREFIX = "._"  # macOS's resource forks


class Refused(Exception):
    """Reading on would be dangerous or pointless."""

    def __init__(self, code: str, found: str, expected: str, remedy: str) -> None:
        super().__init__(found)
        self.problem = Problem(code, "", found, expected, remedy)


class Member(NamedTuple):
    name: str
    kind: str  # "file", "folder", or what is never accepted: "symbolic link" ...


class Collection:
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

    def wants(self, member: Member) -> str | None:
        """The plain name under which to take the member, or None."""
        self._members += 1
        if self._members > self._limits.max_files:
            raise Refused(
                "BadArchive",
                f"more than {self._limits.max_files} files and folders",
                "a submission's few files",
                "Pack the submission's files alone.",
            )
        parts = [part for part in member.name.replace("\\", "/").split("/") if part not in ("", ".")]
        is_top = not parts and member.kind == "folder"  # "./", as `tar -C folder .` writes it
        if is_top or any(part in JUNK or part.startswith(JUNK_PREFIX) for part in parts):
            return None
        if unsafe := unsafe_name(member.name, parts):
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
            raise Refused(
                "UploadTooLarge",
                f"more than {self._limits.max_upload_bytes} bytes unpacked",
                f"at most {self._limits.max_upload_bytes} bytes",
                "Leave out what is not part of the submission; save the checkpoint without its optimizer.",
            )
        if self._total_bytes > self._allowed_bytes:
            raise Refused(
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


def unsafe_name(name: str, parts: list[str]) -> str | None:
    """Why a file must not be called that: in words, or None."""
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
