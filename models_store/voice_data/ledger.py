"""An append-only list of records, each holding the digest of the one before it: whoever edits one shows.

One line of canonical JSON per record, written whole and waited for. A line without its end is what a killed
process left: nobody was told of it, and the next record takes its place.

The chain can't show that its newest records were cut off; a receipt can, which is a record's digest that
somebody else has kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from models_store.durable import storage_errors, sync

GENESIS = "sha256:" + 64 * "0"  # what the first record names as the one before it


@dataclass(frozen=True, slots=True)
class Record:
    sequence: int
    at: str  # ISO 8601, UTC
    kind: str
    subject: str  # the id that it is about
    content: Mapping[str, Any]
    previous: str  # the digest of the record before
    digest: str  # of all the other fields


@dataclass(frozen=True, slots=True)
class Verification:
    """`problems` is empty where every record is as it was written and every receipt is there."""

    num_records: int
    head: str  # digest of the last record: a receipt for the whole ledger
    problems: tuple[str, ...]


class Ledger:
    """The records in a file, for any number of processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, kind: str, subject: str, content: Mapping[str, Any]) -> Record:
        """On the disk when it returns. Raises StorageError."""
        with storage_errors(self._path.parent), self._locked() as descriptor:
            lines = _whole_lines(descriptor)
            last: dict[str, Any] = json.loads(lines[-1]) if lines else {"sequence": 0, "digest": GENESIS}
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            fields: dict[str, Any] = {
                "sequence": last["sequence"] + 1,
                "at": now,
                "kind": kind,
                "subject": subject,
                "content": dict(content),
                "previous": last["digest"],
            }
            record = Record(**fields, digest=digest_of(fields))
            _write(descriptor, sum(len(line) + 1 for line in lines), asdict(record))
        sync(self._path.parent)
        return record

    def records(self) -> list[Record]:
        """Oldest first, as they stand there: `verify` says whether they are what was written."""
        return [Record(**fields) for fields in map(json.loads, self._lines())]

    def lines(self) -> Iterator[bytes]:
        """The file as it is, to be given to whoever wants to verify it."""
        return (line + b"\n" for line in self._lines())

    def verify(self, *receipts: str) -> Verification:
        """Go through the whole chain. `receipts` are digests of records that must be in it."""
        lines, problems, previous, seen = self._lines(), [], GENESIS, set()
        for number, line in enumerate(lines, start=1):
            try:
                fields = json.loads(line)
                digest = fields.pop("digest")
            except (ValueError, KeyError, AttributeError, TypeError):
                problems.append(f"record {number}: found a line that is no record; it was edited.")
                continue
            if digest_of(fields) != digest:
                problems.append(f"record {number}: found content that doesn't fit its digest; it was edited.")
            if fields.get("previous") != previous:
                problems.append(
                    f"record {number}: found another record before it than when it was written; one was "
                    "edited, removed, added or moved."
                )
            if fields.get("sequence") != number:
                problems.append(f"record {number}: found the number {fields.get('sequence')}.")
            previous = digest
            seen.add(digest)
        missing = [receipt for receipt in receipts if receipt not in seen]
        problems += [
            f"receipt {receipt}: found no record of this digest; it was removed." for receipt in missing
        ]
        return Verification(len(lines), previous, tuple(problems))

    def _lines(self) -> list[bytes]:
        with storage_errors(self._path.parent):
            try:
                descriptor = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return []
            try:
                return _whole_lines(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def digest_of(fields: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of everything but the digest itself."""
    return "sha256:" + hashlib.sha256(_canonical(fields)).hexdigest()


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _whole_lines(descriptor: int) -> list[bytes]:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).split(b"\n")[:-1]


def _write(descriptor: int, end: int, fields: Mapping[str, Any]) -> None:
    os.ftruncate(descriptor, end)
    line = memoryview(_canonical(fields) + b"\n")
    while line:
        written = os.pwrite(descriptor, line, end)
        line, end = line[written:], end + written
    os.fsync(descriptor)
