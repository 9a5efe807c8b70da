"""Accepted recordings as they came, and what is known of them. What was contributed stands in the ledger.

<root>/ledger.jsonl             every contribution and withdrawal: their only list
<root>/recordings/<hex digits>  files as they came
<root>/reports/<hex>.json       what was measured
<root>/fingerprints/<hex>.npy   to find the same recording again
<root>/scratch/                 what is being looked at

A record is the commit point of a contribution: killed before it, there are only files that nothing names.
Of a withdrawal too: killed after it, the next one finishes what is left.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models_store.durable import (
    flocked,
    hex_of,
    is_flocked,
    publish_file,
    storage_errors,
    write_atomically,
)
from models_store.errors import NotFound
from models_store.voice_data.declaration import Declaration, text_digest
from models_store.voice_data.ledger import Ledger, Record, Verification

CONTRIBUTED, WITHDRAWN = "contributed", "withdrawn"


@dataclass(frozen=True, slots=True)
class Recording:
    """One accepted file."""

    file: str  # as its contributor called it
    digest: str
    size_bytes: int
    duration_s: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A file that was looked at, with what was found, on its way into the library."""

    recording: Recording
    path: Path
    report: dict[str, Any]
    fingerprint: Path


@dataclass(frozen=True, slots=True)
class Contribution:
    id: str
    contributed_at: str
    language: str | None  # BCP-47, as declared
    declaration: Declaration
    recordings: tuple[Recording, ...]
    receipt: str  # digest of its record
    withdrawn_at: str | None = None


class VoiceData:
    """The library under `root`, for any number of processes. Every method may raise StorageError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = Ledger(root / "ledger.jsonl")
        self._recordings, self._reports = root / "recordings", root / "reports"
        self.fingerprints = root / "fingerprints"

    def contributions(self) -> list[Contribution]:
        """Oldest first, withdrawn ones too."""
        found: dict[str, Contribution] = {}
        for record in self.ledger.records():
            if record.kind == CONTRIBUTED:
                found[record.subject] = _contribution(record)
            elif record.kind == WITHDRAWN and record.subject in found:
                found[record.subject] = replace(found[record.subject], withdrawn_at=record.at)
        return list(found.values())

    def get(self, contribution_id: str) -> Contribution:
        """By its id or its first digits. Raises NotFound."""
        found = [each for each in self.contributions() if each.id.startswith(contribution_id)]
        if len(found) != 1 or not contribution_id:
            raise NotFound("contribution", contribution_id)
        return found[0]

    def path(self, recording: Recording) -> Path:
        """The file as it came. Raises NotFound where it was withdrawn."""
        path = self._recordings / hex_of(recording.digest)
        if not path.is_file():
            raise NotFound("recording", recording.file)
        return path

    def report(self, recording: Recording) -> dict[str, Any]:
        """Raises NotFound."""
        try:
            return dict(json.loads((self._reports / f"{hex_of(recording.digest)}.json").read_bytes()))
        except FileNotFoundError:
            raise NotFound("recording", recording.file) from None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the library's file system, removed at the end or, after a kill, by the next one."""
        scratch = self.root / "scratch"
        folder = scratch / secrets.token_hex(8)
        with storage_errors(self.root), ExitStack() as held:
            scratch.mkdir(parents=True, exist_ok=True)
            with flocked(scratch, fcntl.LOCK_EX):  # nobody takes a folder for abandoned before it is locked
                for abandoned in (each for each in scratch.iterdir() if not is_flocked(each)):
                    shutil.rmtree(abandoned, ignore_errors=True)
                folder.mkdir()
                held.enter_context(flocked(folder, fcntl.LOCK_SH))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder

    def contribute(
        self, accepted: Sequence[Accepted], declaration: Declaration, language: str | None, scratch: Path
    ) -> Contribution:
        """Move files in from a `scratch()` folder and write the record of it."""
        with storage_errors(self.root):
            for folder in (self._recordings, self._reports, self.fingerprints):
                folder.mkdir(parents=True, exist_ok=True)
            for each in accepted:
                name = hex_of(each.recording.digest)
                publish_file(each.fingerprint, self.fingerprints / f"{name}.npy")
                report = json.dumps(each.report, ensure_ascii=False).encode()
                write_atomically(self._reports / f"{name}.json", report, scratch)
                each.path.chmod(0o444)
                publish_file(each.path, self._recordings / name)
        content = {
            "declaration": asdict(declaration) | {"text_digest": text_digest()},
            "language": language,
            "recordings": [asdict(each.recording) for each in accepted],
        }
        return _contribution(self.ledger.append(CONTRIBUTED, secrets.token_hex(8), content))

    def withdraw(self, contribution_id: str, reason: str = "") -> Contribution:
        """Delete a contribution's audio and keep the record that it was here. Raises NotFound."""
        contribution = self.get(contribution_id)
        if contribution.withdrawn_at is None:
            self.ledger.append(WITHDRAWN, contribution.id, {"reason": reason})
        self._delete_withdrawn()
        return self.get(contribution.id)

    def verify(self, *receipts: str) -> Verification:
        """The chain, and that every recording is the one that was contributed."""
        verified = self.ledger.verify(*receipts)
        if verified.problems:
            return verified
        kept = {each.digest: each for given in self._present() for each in given.recordings}
        stored = set(os.listdir(self._recordings)) if self._recordings.is_dir() else set()
        missing = [each.file for digest, each in kept.items() if hex_of(digest) not in stored]
        problems = [f"{file}: found no audio; expected what was contributed." for file in missing]
        for name in sorted(stored - set(map(hex_of, kept))):
            problems.append(f"recordings/{name}: found audio that no record names.")
        return Verification(verified.num_records, verified.head, tuple(problems))

    def find(self, digest: str) -> Contribution | None:
        """The contribution that brought these very bytes, if it is still there."""
        return next(
            (given for given in self._present() if digest in {each.digest for each in given.recordings}), None
        )

    def _present(self) -> list[Contribution]:
        return [given for given in self.contributions() if given.withdrawn_at is None]

    def _delete_withdrawn(self) -> None:
        kept = {each.digest for given in self._present() for each in given.recordings}
        gone = {each.digest for given in self.contributions() for each in given.recordings} - kept
        with storage_errors(self.root):
            for name in map(hex_of, gone):
                (self._recordings / name).unlink(missing_ok=True)
                (self._reports / f"{name}.json").unlink(missing_ok=True)
                (self.fingerprints / f"{name}.npy").unlink(missing_ok=True)


def _contribution(record: Record) -> Contribution:
    declared = {name: value for name, value in record.content["declaration"].items() if name != "text_digest"}
    return Contribution(
        id=record.subject,
        contributed_at=record.at,
        language=record.content["language"],
        declaration=Declaration(**declared),
        recordings=tuple(Recording(**each) for each in record.content["recordings"]),
        receipt=record.digest,
    )
