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
│   ├── Undeclared             recordings without what their contributor has to declare
│   └── UploadTooLarge         HTTP 413
├── NotFound                   the caller acts: HTTP 404
├── InUse                      the caller acts: HTTP 409
├── BadName                    the caller acts: HTTP 422
├── BadUpload                  the caller acts: HTTP 422; a file name, group or purpose that can't be
├── UploadConflict             the caller acts: HTTP 409; an upload is not as far as the caller thinks
├── MissingBaseModels          the operator acts: HTTP 503; a family needs more than the submission brings
├── HubError                   the operator acts: HTTP 502; the hub is out of reach, or has other files
└── StorageError               the operator acts: HTTP 507; the disk is full, read-only or not ours
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


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


class Undeclared(SubmissionError):
    """Recordings were handed in without what their contributor has to declare."""


class UploadTooLarge(SubmissionError):
    """More bytes than the configured limit."""


class NotFound(ModelsStoreError):
    """No submission, voice, role or upload of that name or id."""

    REMEDIES: ClassVar = {
        "voice": "list them with `voicecore voice list`",
        "base model": "list them with `voicecore base list`",
        "published model": "list them with `voicecore pull --help`",
        "contribution": "list them with `voicecore voice-data list`",
        "recording": "it was withdrawn; list what is here with `voicecore voice-data list`",
        "upload": "it was handed in, given up, or waited too long for its rest. Send the file again",
    }

    def __init__(self, kind: str, name: str) -> None:
        remedy = self.REMEDIES.get(kind, "list them with `voicecore list`")
        super().__init__(f"no {kind} is called {name!r}; {remedy}")
        self.kind = kind
        self.name = name


class InUse(ModelsStoreError):
    """The submission is resident on a device, or a name still points to it."""


class BadName(ModelsStoreError):
    """A name is not one: it would be ambiguous with an id, or unsafe in a path or a URL."""


class BadUpload(ModelsStoreError):
    """A file that can't be taken under this name or for this purpose."""


class UploadConflict(ModelsStoreError):
    """An upload ends elsewhere than its sender thinks, or isn't complete yet."""


class MissingBaseModels(ModelsStoreError):
    """What a family needs beside its submissions is not in the store."""

    retry_after_s = 60.0  # once someone has fetched it

    def __init__(self, subject: str, roles: Sequence[str]) -> None:
        names, many = ", ".join(roles), len(roles) > 1
        super().__init__(
            f"{subject} needs the base model{'s' * many} {names}; expected {'them' if many else 'it'} in the "
            f"store. Get {'them' if many else 'it'} with `voicecore base pull {' '.join(roles)}`."
        )
        self.roles = tuple(roles)


class HubError(ModelsStoreError):
    """A hub doesn't answer, doesn't have the file, or sends something else than is pinned."""


class StorageError(ModelsStoreError):
    """The data folder cannot be written or read. What was in the store before is still there."""
