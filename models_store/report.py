"""What the intake says about an upload, and what it hands to the store: frozen values, no tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models_store.errors import Problem, SubmissionError, UploadTooLarge

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one upload may cost us. The defaults fit a 5.4 GB trainer checkpoint with room to spare."""

    max_upload_bytes: int = 8 * GIB  # unpacked, all files together
    max_files: int = 1_000  # members of an archive, files of a folder
    max_ratio: int = 100  # unpacked over packed size of an archive ...
    min_ratio_bytes: int = 64 * MIB  # ... that unpacks to more than this
    max_weights_bytes: int = 8 * GIB  # converted
    max_memory_bytes: int = 2 * GIB  # address space of the process that reads
    max_cpu_s: int = 900
    timeout_s: float = 1_800.0


@dataclass(frozen=True, slots=True)
class RecordingLength:
    """How long a reference recording may be. The defaults fit every family that doesn't say otherwise."""

    min_s: float = 1.0
    # Ten times what any family looks at, and 115 MB in memory at 48 kHz.
    max_s: float = 600.0
    best: str = "6 to 30 s"  # for the one who records it again


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one phase of the intake is."""

    phase: str  # "unpack", "recording", "convert"; then, of what is stored, "digest"
    done_bytes: int
    total_bytes: int


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is wrong or odd with an upload, at once, and what it is."""

    family: str | None  # None: neither of the layouts
    variant: str | None = None
    languages: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()  # reasons to refuse it
    warnings: tuple[Problem, ...] = ()  # reasons to look again
    facts: Mapping[str, str] = field(default_factory=dict)  # "layers" → "30", for people to read

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, with `ok`."""
        return {
            "ok": self.ok,
            "family": self.family,
            "variant": self.variant,
            "languages": list(self.languages),
            "problems": [asdict(problem) for problem in self.problems],
            "warnings": [asdict(warning) for warning in self.warnings],
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True)
class Converted:
    """An accepted upload as files in the scratch directory, ready to be digested and moved."""

    family: str
    variant: str
    languages: tuple[str, ...]  # BCP-47
    files: Mapping[str, Path]  # role → file, the roles of `Submission.blobs`
    recording: Path  # the submission's own voice: mono float32 wav
    duration_s: float  # of the recording
    transcript: str | None = None  # of the recording, where the family wants one
    language: str | None = None  # BCP-47, of the transcript


@dataclass(frozen=True, slots=True)
class Checked:
    report: Report
    converted: Converted | None  # None exactly when the report has problems

    def accepted(self) -> Converted:
        """What was converted. Raises SubmissionError with every problem of a refused upload."""
        if self.converted is None:
            raise refusal(self.report.problems)
        return self.converted


def refusal(problems: tuple[Problem, ...]) -> SubmissionError:
    """The error to raise for these problems: UploadTooLarge has a status of its own."""
    kind = (
        UploadTooLarge if any(problem.code == "UploadTooLarge" for problem in problems) else SubmissionError
    )
    return kind(problems)
