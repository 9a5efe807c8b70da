"""A person's recordings → the wav files that the store keeps, decoded and checked in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from models_store.errors import Problem, SubmissionError
from models_store.report import RecordingLength
from models_store.sandbox import ResourceLimits, SandboxFailure, run_confined

# Ten minutes of 48 kHz stereo, decoded and again as mono, beside the interpreter and FFmpeg's libraries.
LIMITS = ResourceLimits(memory_bytes=3 << 30, cpu_s=120, file_bytes=512 << 20, timeout_s=180.0)


@dataclass(frozen=True, slots=True)
class ConvertedRecording:
    duration_s: float
    problems: tuple[Problem, ...]  # reasons to refuse it; then the wav is empty
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ConvertedRecordings:
    """Accepted recordings of one speaker, in a scratch directory."""

    files: tuple[Path, ...]  # mono float32 wav
    duration_s: float  # of all
    warnings: tuple[Problem, ...]


def convert_recording(
    source: Path, target: Path, file: str, length: RecordingLength | None = None
) -> ConvertedRecording:
    """Write any common audio file as mono float32 wav at its own sample rate; `target` must not exist.

    `file` is the name to put into problems, `length` what the family takes. Whatever is wrong with the
    recording is a problem, not an error.
    """
    length = length or RecordingLength()
    try:
        outcome = run_confined(
            "models_store.uploaded_audio:convert",
            inputs={"recording": source},
            outputs={"wav": target},
            arguments={"file": file, "length": asdict(length)},
            limits=LIMITS,
        )
    except SandboxFailure as failure:
        found = f"a file whose decoder {failure.found}"
        remedy = f"Export the recording again, best as wav, {length.best} long."
        return ConvertedRecording(0.0, (Problem("BadReference", file, found, "audio", remedy),), ())
    return msgspec.convert(outcome.result, ConvertedRecording)


def convert_recordings(recordings: Sequence[Path], scratch: Path) -> ConvertedRecordings:
    """Raises SubmissionError with every problem of every recording."""
    targets = tuple(scratch / f"recording-{index}.wav" for index in range(len(recordings)))
    converted = [
        convert_recording(source, target, source.name)
        for source, target in zip(recordings, targets, strict=True)
    ]
    if problems := [problem for each in converted for problem in each.problems]:
        raise SubmissionError(problems)
    warnings = tuple(warning for each in converted for warning in each.warnings)
    return ConvertedRecordings(targets, sum(each.duration_s for each in converted), warnings)
