"""What can go wrong with something that was submitted.

ModelsStoreError
├── SubmissionError            the submitter acts: HTTP 422
│   ├── UnknownFamily          the folder is neither of the layouts
│   ├── MissingFile            a file of the layout is not there
│   ├── BadArchive             links, paths outside the folder, bombs, damaged archives
│   ├── BadConfig              config.json is not what the family needs
│   ├── BadVocabulary          vocab.json is not a tokenizer, or does not fit the weights
│   ├── BadReference           the reference recording is unreadable, short, silent …
│   ├── BadCheckpoint          the checkpoint is truncated, not a checkpoint, or holds NaN
│   ├── UnsafeCheckpoint       the checkpoint names code
│   ├── MissingTensor
│   ├── UnexpectedTensor
│   ├── WrongShape
│   ├── WrongDtype
│   └── UploadTooLarge         HTTP 413
├── NotFound                   the caller acts: HTTP 404
├── InUse                      the caller acts: HTTP 409
├── BadName                    the caller acts: HTTP 422
└── StorageError               the operator acts: HTTP 507; the disk is full, read-only or not ours
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a submission, in the words of the person who can mend it."""

    code: str  # the name of the SubmissionError class: "MissingTensor"
    file: str  # path inside the submission, or "" for the submission as a whole
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return f"{where}found {self.found}; expected {self.expected}. {self.remedy}"


class ModelsStoreError(Exception):
    """Base of everything this package raises on purpose."""


class SubmissionError(ModelsStoreError):
    """A submission is not acceptable; carries every problem that was found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class UploadTooLarge(SubmissionError):
    """More bytes than the configured limit."""


class NotFound(ModelsStoreError):
    """No submission or voice of that name or id."""

    def __init__(self, kind: str, name: str) -> None:
        command = "voicecore voice list" if kind == "voice" else "voicecore list"
        super().__init__(f"no {kind} is called {name!r}; list them with `{command}`")
        self.kind = kind
        self.name = name


class InUse(ModelsStoreError):
    """The submission is resident on a device, or a name still points to it."""


class BadName(ModelsStoreError):
    """A name is not one: it would be ambiguous with an id, or unsafe in a path or a URL."""


class StorageError(ModelsStoreError):
    """The data folder cannot be written or read. What was in the store before is still there."""
