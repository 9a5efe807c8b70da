"""Where everything lies in the store's folder, and the lock that writers and the collector share.

<root>/blobs/<hex digits>            immutable files
<root>/submissions/, voices/         a catalogue each: manifests by id, names
<root>/conditionings/<hex digits>/   what a submission derived from voices: a cache
<root>/trials/                       submissions that somebody is deciding about (see trials.py)
<root>/base_models/                  what families need beside their submissions (see base_models.py)
<root>/downloads/                    published submissions being fetched (see pull.py)
<root>/uploads/                      files that arrive in pieces (see resumable_uploads.py)
<root>/scratch/                      files being written, each folder locked by its writer
<root>/lock                          shared: writing; exclusive: deleting, collecting
"""

from __future__ import annotations

import fcntl
from contextlib import AbstractContextManager
from pathlib import Path

from models_store.catalogue import Catalogue
from models_store.durable import flocked, hex_of
from models_store.submission import (
    Blob,
    Submission,
    Voice,
    submission_from_manifest,
    submission_to_manifest,
    voice_from_manifest,
    voice_to_manifest,
)
from models_store.trials import Trials


class Layout:
    """The store's folder. Making one writes nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.conditionings = root / "conditionings"
        self.base_models = root / "base_models"
        self.downloads = root / "downloads"
        self.uploads = root / "uploads"
        self.scratch = root / "scratch"
        self.lock = root / "lock"
        self.trials = Trials(root / "trials")
        self.submissions = Catalogue[Submission](
            "submission", root / "submissions", self.scratch, submission_to_manifest, submission_from_manifest
        )
        self.voices = Catalogue[Voice](
            "voice", root / "voices", self.scratch, voice_to_manifest, voice_from_manifest
        )

    def create_folders(self) -> None:
        for folder in (self.blobs, self.conditionings, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        self.submissions.create_folders()
        self.voices.create_folders()
        self.trials.create_folder()
        if not self.lock.exists():  # else nothing is written, so that a read-only store can be read
            self.lock.touch()

    def blob(self, blob: Blob) -> Path:
        return self.blobs / hex_of(blob.digest)

    def writing(self) -> AbstractContextManager[None]:
        """Hold from the first blob to the manifest that names it."""
        return flocked(self.lock, fcntl.LOCK_SH)

    def deleting(self, wait: bool = True) -> AbstractContextManager[None]:
        """Hold while taking anything away. Raises BlockingIOError if `wait` is False and someone writes."""
        return flocked(self.lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
