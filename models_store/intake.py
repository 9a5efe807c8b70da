"""An upload, from untrusted folder or archive to files that can't execute anything.

    take apart (archives) → recognise the family's layout → judge and convert in the sandbox → report

Every stage goes on where the next can still say something, so one report has all there is to mend.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from models_store.archives import read_files
from models_store.errors import Problem
from models_store.families import (
    Layout,
    ignored_files,
    missing_files,
    recognise,
    unknown_family,
)
from models_store.report import Checked, Converted, Limits, Progress, ProgressCallback, Report
from models_store.sandbox import Outcome, ResourceLimits, SandboxFailure, run_confined
from models_store.voices import ConvertedRecording, convert_recording

LONGEST_HEADER_BYTES = 64 << 20
WAV_MAGICS = (b"RIFF", b"RIFX", b"RF64")


class Reference(msgspec.Struct, frozen=True):
    """The recording that a submission names, and what it says about it."""

    file: str
    transcript: str
    language: str  # BCP-47


class Judgement(msgspec.Struct, frozen=True):
    """What a family's task returns."""

    variant: str | None
    languages: tuple[str, ...]
    problems: tuple[Problem, ...]
    num_problems: int  # also those beyond the listed ones
    warnings: tuple[Problem, ...]
    facts: dict[str, str]
    reference: Reference | None = None  # where the layout has no name for the recording


def read_submission(
    path: Path,
    scratch: Path,
    progress: ProgressCallback | None = None,
    limits: Limits | None = None,
) -> Checked:
    """Unpack, recognise, check and convert an upload: a folder, .zip, .tar or .tar.gz.

    `scratch` is an existing directory of the caller's, on the store's file system, into which archives are
    unpacked and converted files are written; the caller removes it. Nothing that is wrong with the upload
    raises: it is in the report. `progress` is called on this thread; what it raises ends the intake.
    """
    limits = limits or Limits()
    if not path.exists():
        return _refused(
            _problem("MissingFile", "", f"nothing at {path}", "a folder or an archive", "Check the path.")
        )
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    paths, problems = read_files(path, unpacked, progress, limits)
    if problems:
        return _refused(*problems)
    layout = recognise(paths)
    if layout is None:
        return _refused(unknown_family(paths))
    return _read_layout(layout, paths, scratch, progress, limits)


def check(path: Path, progress: ProgressCallback | None = None, limits: Limits | None = None) -> Report:
    """The report that `read_submission` would give, leaving nothing behind."""
    with tempfile.TemporaryDirectory(prefix="voicecore-check-") as scratch:
        return read_submission(path, Path(scratch), progress, limits).report


def _read_layout(
    layout: Layout,
    paths: Mapping[str, Path],
    scratch: Path,
    progress: ProgressCallback | None,
    limits: Limits,
) -> Checked:
    outputs = {role: scratch / role for role in layout.outputs}
    try:
        outcome = _run(layout, paths, outputs, progress, limits)
    except SandboxFailure as failure:
        judgement, warnings = _nothing_but(_unreadable(layout, failure)), []
    else:
        judgement, warnings = msgspec.convert(outcome.result, Judgement), _unconfined(outcome)
    name = _recording_name(layout, judgement, paths)
    recording = scratch / "recording.wav"
    reference = _read_recording(layout, name, paths, recording)
    report = Report(
        layout.family,
        judgement.variant,
        judgement.languages,
        (
            *missing_files(layout, name, paths),
            *reference.problems,
            *judgement.problems,
            *_beyond_listed(judgement),
        ),
        (*ignored_files(layout, name, paths), *reference.warnings, *judgement.warnings, *warnings),
        judgement.facts | ({"reference": f"{reference.duration_s:.1f} s"} if reference.duration_s else {}),
    )
    if not report.ok or not judgement.variant:
        return Checked(report, None)
    said = judgement.reference
    converted = Converted(
        layout.family,
        judgement.variant,
        judgement.languages,
        outputs,
        recording,
        reference.duration_s,
        said.transcript if said else None,
        said.language if said else None,
    )
    return Checked(report, converted)


def _nothing_but(problem: Problem) -> Judgement:
    return Judgement(None, (), (problem,), 1, (), {})


def _run(
    layout: Layout,
    paths: Mapping[str, Path],
    outputs: Mapping[str, Path],
    progress: ProgressCallback | None,
    limits: Limits,
) -> Outcome:
    def report(done: int, total: int) -> None:
        if progress:
            progress(Progress("convert", done, total))

    return run_confined(
        layout.task,
        inputs={file.input: paths[file.name] for file in layout.files if file.name in paths},
        outputs={descriptor: outputs[role] for role, descriptor in layout.outputs.items()},
        arguments={"max_weights_bytes": limits.max_weights_bytes},
        limits=ResourceLimits(
            memory_bytes=limits.max_memory_bytes,
            cpu_s=limits.max_cpu_s,
            file_bytes=limits.max_weights_bytes + LONGEST_HEADER_BYTES,
            timeout_s=limits.timeout_s,
        ),
        progress=report,
    )


def _recording_name(layout: Layout, judgement: Judgement, paths: Mapping[str, Path]) -> str | None:
    """None where the submission should name it and doesn't."""
    if layout.recording or not judgement.reference:
        return layout.recording
    named = judgement.reference.file
    # Archivers of some systems take letters with accents, and syllables, apart.
    same = (
        path for path in paths if unicodedata.normalize("NFC", path) == unicodedata.normalize("NFC", named)
    )
    return next(same, named) or None


def _read_recording(
    layout: Layout, name: str | None, paths: Mapping[str, Path], target: Path
) -> ConvertedRecording:
    if name is None or name not in paths:
        return ConvertedRecording(0.0, (), ())
    converted = convert_recording(paths[name], target, name, layout.recording_length)
    if converted.problems:
        return converted
    return replace(converted, warnings=(*converted.warnings, *_disguised_recording(name, paths)))


def _disguised_recording(name: str, paths: Mapping[str, Path]) -> list[Problem]:
    """It was decoded by its content; other programs may go by its name."""
    with paths[name].open("rb") as file:
        if file.read(4) in WAV_MAGICS:
            return []
    remedy = "It was read all the same; export it as wav to be safe elsewhere."
    return [_problem("BadReference", name, "audio in another format", "a wav file", remedy)]


# What the stages say


def _unreadable(layout: Layout, failure: SandboxFailure) -> Problem:
    file = layout.files[0].name
    remedy = "Save the checkpoint again from the trained model, without optimizer and trainer state."
    return _problem(
        "BadCheckpoint", file, f"a submission whose reader {failure.found}", "readable files", remedy
    )


def _beyond_listed(judgement: Judgement) -> list[Problem]:
    more = judgement.num_problems - len(judgement.problems)
    if not more:
        return []
    return [_problem("BadCheckpoint", "", f"{more} more problems", "none", "Mend the ones above first.")]


def _unconfined(outcome: Outcome) -> list[Problem]:
    remedy = "The upload was read as data all the same. Allow it in the container's or the system's settings."
    return [
        _problem("Sandbox", "", f"a kernel that grants {missing}", "both, to read uploads behind", remedy)
        for missing in outcome.missing
    ]


def _problem(code: str, file: str, found: str, expected: str, remedy: str) -> Problem:
    return Problem(code, file, found, expected, remedy)


def _refused(*problems: Problem) -> Checked:
    return Checked(Report(None, problems=problems), None)
