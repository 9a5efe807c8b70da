"""An upload → its recordings, looked at; and those that passed → a contribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models_store.archives import ZIP_MAGICS, read_files
from models_store.errors import Problem, SubmissionError
from models_store.report import GIB, Limits, ProgressCallback, refusal
from models_store.voice_data.declaration import Declaration
from models_store.voice_data.library import Accepted, Contribution, Recording, VoiceData
from providers.audio.analysis.verdict import Inspection
from server.voice_data.inspection import inspect

MAX_FILES = 1_000


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, and what became of it: no contribution where nothing passed, or it was only a check."""

    inspections: tuple[Inspection, ...]
    contribution: Contribution | None = None


def limits(max_bytes: int = 8 * GIB) -> Limits:
    return Limits(max_upload_bytes=max_bytes, max_files=MAX_FILES)


def look(
    uploads: Mapping[str, Path],
    library: VoiceData,
    scratch: Path,
    progress: ProgressCallback | None = None,
    declaration: Declaration | None = None,
    language: str | None = None,
    allowed: Limits | None = None,
) -> Looked:
    """Look at files, and folders and zips of them; with a declaration, take in what isn't refused.

    `scratch` is one of the library's, `uploads` are moved from it. Raises SubmissionError for an upload that
    can't be taken apart, InspectionFailed, StorageError.
    """
    files = take_apart(uploads, scratch, progress, allowed or limits())
    present = {
        each.digest
        for given in library.contributions()
        if not given.withdrawn_at
        for each in given.recordings
    }
    inspections = inspect(
        files, scratch, progress, fingerprints=library.fingerprints, digests=sorted(present)
    )
    if declaration is None:
        return Looked(inspections)
    accepted = [
        _accepted(inspection, path, scratch / f"{place}.npy")
        for place, (inspection, path) in enumerate(zip(inspections, files.values(), strict=True))
        if inspection.verdict != "refused"
    ]
    if not accepted:
        return Looked(inspections)
    return Looked(inspections, library.contribute(accepted, declaration, language, scratch))


def take_apart(
    uploads: Mapping[str, Path], scratch: Path, progress: ProgressCallback | None, allowed: Limits
) -> dict[str, Path]:
    """Name → file, of everything that was uploaded. Raises SubmissionError."""
    files: dict[str, Path] = {}
    for place, (name, path) in enumerate(uploads.items()):
        if not path.is_dir() and not _is_zip(path):
            files[name] = path
            continue
        unpacked = scratch / f"unpacked-{place}"
        unpacked.mkdir()
        found = read_files(path, unpacked, progress, allowed)
        if found.problems:
            raise refusal(found.problems)
        prefix = f"{name}/" if len(uploads) > 1 else ""
        files |= {f"{prefix}{inner}": where for inner, where in sorted(found.paths.items())}
    if not files:
        raise SubmissionError([_nothing()])
    return files


def describe(inspection: Inspection) -> dict[str, Any]:
    """As JSON, without what is only for pictures."""
    described = asdict(inspection)
    analysis = described.pop("analysis")
    return described | {"measurements": analysis["measurements"], "not_wav": analysis["not_wav"]}


def _accepted(inspection: Inspection, path: Path, fingerprint: Path) -> Accepted:
    duration_s = inspection.analysis.measurements["duration_s"]
    assert isinstance(duration_s, (int, float))
    recording = Recording(
        inspection.file, inspection.digest, inspection.size_bytes, float(duration_s), inspection.verdict
    )
    return Accepted(recording, path, asdict(inspection), fingerprint)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() == ".zip" and file.read(4) in ZIP_MAGICS


def _nothing() -> Problem:
    return Problem(
        "MissingFile", "", "no file", "one or more .wav", "Hand in a wav, several, or a zip of them."
    )
