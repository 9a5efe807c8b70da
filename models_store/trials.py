"""Submissions that are in the store for as long as it takes to decide about them.

A trial is a file called by the submission's digits, locked by everybody who is deciding. Once nobody is, by
then or by a kill, the collector ends it: without a name the submission goes, with one it stays.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from models_store.durable import flocked, hex_of, is_flocked
from models_store.submission import DIGEST_PREFIX


class Trials:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create_folder(self) -> None:
        self._folder.mkdir(exist_ok=True)

    def held(self, submission_id: str) -> AbstractContextManager[None]:
        """Decide about it, beside others who do. Enter while no collector may run."""
        path = self._path(submission_id)
        path.touch()
        return flocked(path, fcntl.LOCK_SH)

    def is_on(self, submission_id: str) -> bool:
        return self._path(submission_id).exists()

    def undecided(self) -> Iterator[str]:
        """Ids that nobody decides about any more."""
        for path in [*self._folder.iterdir()]:
            if not is_flocked(path):
                yield DIGEST_PREFIX + path.name

    def end(self, submission_id: str) -> None:
        self._path(submission_id).unlink(missing_ok=True)

    def _path(self, submission_id: str) -> Path:
        return self._folder / hex_of(submission_id)
