"""A person's recordings → a `Voice`: read, checked and written as the wav files that the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models_store.errors import Problem, SubmissionError
from models_store.recordings import check_recording, read_recording, write_recording


@dataclass(frozen=True, slots=True)
class ConvertedRecordings:
    """Accepted recordings as files in the scratch directory, ready to be digested and moved."""

    files: tuple[Path, ...]  # mono float32 wav
    duration_s: float  # of all
    warnings: tuple[Problem, ...]


def convert_recordings(recordings: Sequence[Path], scratch: Path) -> ConvertedRecordings:
    """Raises SubmissionError with every problem of every recording."""
    files, problems, warnings, duration_s = [], list[Problem](), list[Problem](), 0.0
    for index, recording in enumerate(recordings):
        try:
            samples, sample_rate_hz = read_recording(recording)
        except SubmissionError as error:
            problems += error.problems
            continue
        findings = check_recording(samples, sample_rate_hz, recording.name)
        problems += findings.problems
        warnings += findings.warnings
        files.append(scratch / f"recording-{index}.wav")
        write_recording(files[-1], samples, sample_rate_hz)
        duration_s += len(samples) / sample_rate_hz
    if problems:
        raise SubmissionError(problems)
    return ConvertedRecordings(tuple(files), duration_s, tuple(warnings))
