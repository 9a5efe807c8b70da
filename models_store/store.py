"""`ModelsStore`: submissions and voices on disk, addressed by content (the folders are in layout.py).

A manifest's rename is the commit point: killed before it there is no submission, only files that nothing
points to. Writers hold the store's lock shared from their first blob to their manifest; whoever deletes or
collects garbage holds it exclusive, so a concurrent writer's blobs are never taken for garbage. Nothing is
cached: each process sees at once what the others did.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from models_store import garbage
from models_store.base_models import AddedBaseModel, BaseModels, wanted_by
from models_store.catalogue import OWN_VOICE, check_name
from models_store.durable import digest_file, flocked, hex_of, publish_file, storage_errors
from models_store.errors import InUse, NotFound, Problem, StorageError
from models_store.layout import Layout
from models_store.report import Checked, Converted, Limits, Progress, ProgressCallback, Report
from models_store.submission import Blob, Submission, SubmissionFiles, Voice
from models_store.voices import convert_recordings


class Published(NamedTuple):
    submission: Submission
    report: Report
    is_new: bool  # False: the same content had been submitted before
    replaced_id: str | None  # the other submission that the name pointed to until now


class AddedVoice(NamedTuple):
    voice: Voice
    warnings: tuple[Problem, ...]
    replaced_id: str | None  # the other voice that the name pointed to until now


class Lease:
    """Keeps a submission from being deleted while it is resident. It ends with the process at the latest."""

    def __init__(self, descriptor: int) -> None:
        self.release = weakref.finalize(self, os.close, descriptor)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class ModelsStore:
    """Submissions, voices and their names under `root`, for any number of processes and threads.

    Ids are "sha256:…"; a `name_or_id` is a name, an id, or 8 and more of an id's first digits. Every method
    may raise StorageError, which leaves the store as it was.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = Layout(root)
        self.base_models = BaseModels(self.layout.base_models)
        with storage_errors(root):
            self.layout.create_folders()

    # Submissions: reading

    def submissions(self) -> list[Submission]:
        """Oldest first."""
        with storage_errors(self.root):
            return sorted(self.layout.submissions, key=lambda found: (found.submitted_at, found.id))

    def names(self) -> dict[str, str]:
        """Name → id of a submission."""
        with storage_errors(self.root):
            return self.layout.submissions.names()

    def resolve(self, name_or_id: str) -> Submission:
        """Raises NotFound, or BadName where these digits begin several ids."""
        with storage_errors(self.root):
            return self.layout.submissions.resolve(name_or_id)

    def files(self, submission_id: str) -> SubmissionFiles:
        """Raises NotFound."""
        with storage_errors(self.root):
            submission = self.layout.submissions.get(submission_id)
        return SubmissionFiles(
            submission,
            {role: self.layout.blob(blob) for role, blob in submission.blobs.items()},
            self.recordings(submission.voice),
            self.base_models.folders(submission),
        )

    def conditioning_dir(self, submission_id: str) -> Path:
        """Where to keep what the submission derived from voices, in files `<hex digits of the voice id>.*`.

        A cache: anything in it may be gone at any time.
        """
        folder = self.layout.conditionings / hex_of(submission_id)
        with storage_errors(self.root):
            folder.mkdir(exist_ok=True)
        return folder

    # Submissions: changing

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder on the store's file system, removed at the end or, after a kill, by someone else."""
        folder = self.layout.scratch / secrets.token_hex(8)
        with storage_errors(self.root), ExitStack() as held:
            with self.layout.writing():  # no collector between the folder and its lock
                folder.mkdir()
                held.enter_context(flocked(folder, fcntl.LOCK_SH))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder

    def submit(
        self,
        path: Path,
        name: str,
        progress: ProgressCallback | None = None,
        limits: Limits | None = None,
    ) -> Published:
        """Check, convert and publish an upload: a folder, .zip, .tar or .tar.gz.

        Raises SubmissionError with every problem of a refused upload, BadName, NotFound.
        """
        from models_store.intake import read_submission

        check_name(name)  # before minutes of reading
        with self.scratch() as scratch:
            return self.publish(read_submission(path, scratch, progress, limits), name, progress)

    @contextmanager
    def on_trial(
        self, path: Path, progress: ProgressCallback | None = None, limits: Limits | None = None
    ) -> Iterator[Published]:
        """Check, convert and publish an upload without a name, for as long as it takes to decide about it.

        Unless it has a name by then, or had been here before, it goes at the end; where that is a kill, with
        the next garbage. Raises SubmissionError with every problem of a refused upload.
        """
        from models_store.intake import read_submission

        try:
            with ExitStack() as trial:
                with self.scratch() as scratch:
                    checked = read_submission(path, scratch, progress, limits)
                    published = self._publish(checked, None, progress, trial)
                yield published
        finally:
            with storage_errors(self.root), self.layout.deleting():
                self._collect_what_it_can()

    def publish(self, checked: Checked, name: str, progress: ProgressCallback | None = None) -> Published:
        """Move converted files from a `scratch()` folder into the store and point the name to them.

        Raises SubmissionError with every problem of a refused upload, BadName.
        """
        check_name(name)
        return self._publish(checked, name, progress)

    def _publish(
        self,
        checked: Checked,
        name: str | None,
        progress: ProgressCallback | None,
        trial: ExitStack | None = None,
    ) -> Published:
        """`trial` is closed once it is decided about; what was here before goes on being what it was."""
        converted = checked.accepted()
        with storage_errors(self.root):
            files = _digest([*converted.files.values(), converted.recording], progress)
            submission = _submission(converted, files)
            with self.layout.writing():
                self._publish_blobs(files)
                if trial is not None and self._may_be_tried(submission.id):
                    trial.enter_context(self.layout.trials.held(submission.id))
                is_new = self.layout.submissions.add(submission)
                if not is_new:
                    submission = self.layout.submissions.get(submission.id)
                replaced_id = None if name is None else self.layout.submissions.set_name(name, submission.id)
            self._collect_what_it_can_now()
        report = self.base_models.completed(checked.report)
        return Published(submission, report, is_new, replaced_id)

    def alias(self, name: str, name_or_id: str) -> str | None:
        """Point a name to a submission; returns the id of the other one that it pointed to until now."""
        with storage_errors(self.root), self.layout.writing():
            submission_id = self.resolve(name_or_id).id
            return self.layout.submissions.set_name(name, submission_id)

    def unalias(self, name: str) -> None:
        """Forget a name; its submission stays. Raises NotFound."""
        with storage_errors(self.root), self.layout.writing():
            self.layout.submissions.remove_name(name)

    def delete(self, name_or_id: str, force: bool = False) -> Submission:
        """Remove a submission, its name and what was derived from it; returns what it was.

        Raises InUse while it is resident, or while a name other than the one it is called by here points to
        it; `force` removes it all the same (processes that have its files open keep them until they close).
        """
        with storage_errors(self.root), self.layout.deleting(), ExitStack() as held:
            submission = self.resolve(name_or_id)
            names = self.layout.submissions.names_of(submission.id)
            if not force:
                _check_unnamed(submission, [name for name in names if name != name_or_id])
                held.enter_context(self._refusing_leases(submission))
            for name in names:
                self.layout.submissions.remove_name(name)
            self.layout.submissions.remove(submission.id)
            self._collect_what_it_can()
        return submission

    def lease(self, submission_id: str) -> Lease:
        """Announce to every process that a submission is resident here. Raises NotFound."""
        with storage_errors(self.root):
            try:
                descriptor = os.open(self.layout.submissions.manifest_path(submission_id), os.O_RDONLY)
            except FileNotFoundError:
                raise NotFound("submission", submission_id) from None
            lease = Lease(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink == 0:  # deleted between open and flock
                lease.release()
                raise NotFound("submission", submission_id)
            return lease

    def is_resident(self, submission_id: str) -> bool:
        """Whether any process has a lease on it."""
        with storage_errors(self.root):
            return self.layout.submissions.is_locked(submission_id)

    # Voices

    def voices(self) -> dict[str, Voice]:
        """Name → registered voice."""
        with storage_errors(self.root):
            found = {voice.id: voice for voice in self.layout.voices}
            named = self.layout.voices.names()
            return {name: found[voice_id] for name, voice_id in named.items() if voice_id in found}

    def resolve_voice(self, name_or_id: str, submission: Submission | None = None) -> Voice:
        """A registered voice, or the given submission's own as "default" or by its id. Raises NotFound."""
        if submission is not None and name_or_id in (OWN_VOICE, submission.voice.id):
            return submission.voice
        with storage_errors(self.root):
            return self.layout.voices.resolve(name_or_id)

    def recordings(self, voice: Voice) -> tuple[Path, ...]:
        """A voice's wav files: mono float32."""
        return tuple(self.layout.blob(blob) for blob in voice.recordings)

    def add_voice(
        self,
        name: str,
        recordings: Sequence[Path],
        language: str | None = None,
        transcript: str | None = None,
    ) -> AddedVoice:
        """Check, convert and register recordings of one speaker, in any common audio container.

        A voice that had the name until now is forgotten, unless it has another name. Raises SubmissionError
        with every problem of every recording, BadName.
        """
        check_name(name)
        with self.scratch() as scratch:
            converted = convert_recordings(recordings, scratch)
            files = _digest(converted.files)
            voice = Voice(tuple(files.values()), converted.duration_s, language, transcript)
            with self.layout.writing():
                self._publish_blobs(files)
                self.layout.voices.add(voice)
                replaced_id = self.layout.voices.set_name(name, voice.id)
            self._collect_what_it_can_now()
        return AddedVoice(voice, converted.warnings, replaced_id)

    def delete_voice(self, name: str) -> Voice:
        """Forget a name; a voice's last one takes its recordings and conditionings along. Raises NotFound."""
        with storage_errors(self.root), self.layout.deleting():
            voice = self.layout.voices.resolve(name)
            self.layout.voices.remove_name(name)
            self._collect_what_it_can()
        return voice

    # Base models

    def add_base_model(
        self, path: Path, role: str, progress: ProgressCallback | None = None
    ) -> AddedBaseModel:
        """Take in any build of a role: a folder of its published layout, an archive of one, or its only file.

        Raises SubmissionError with every problem, NotFound for an unknown role.
        """
        with storage_errors(self.root), self.scratch() as scratch:
            added = self.base_models.add(path, role, scratch, progress)
            if added.is_new:
                self._forget_conditionings(role)
        return added

    # Upkeep

    def collect_garbage(self) -> int:
        """Remove what killed processes left; returns how many bytes that freed."""
        with storage_errors(self.root), self.layout.deleting():
            return garbage.collect(self.layout)

    def _may_be_tried(self, submission_id: str) -> bool:
        """What was here before, somebody wants."""
        return self.layout.trials.is_on(submission_id) or submission_id not in self.layout.submissions.ids()

    def _collect_what_it_can(self) -> None:
        # After a change that is already committed: what cannot go now goes another time.
        with suppress(OSError, StorageError):
            garbage.collect(self.layout)

    def _collect_what_it_can_now(self) -> None:
        with suppress(BlockingIOError), self.layout.deleting(wait=False):
            self._collect_what_it_can()

    def _forget_conditionings(self, role: str) -> None:
        """Those that were derived with another build of a base model, or without it."""
        for submission in self.submissions():
            if any(wanted.name == role for wanted in wanted_by(submission)):
                shutil.rmtree(self.layout.conditionings / hex_of(submission.id), ignore_errors=True)

    def _publish_blobs(self, files: Mapping[Path, Blob]) -> None:
        for path, blob in files.items():
            path.chmod(0o444)
            # Also over one that is there: the same content, and it mends a damaged one.
            publish_file(path, self.layout.blob(blob))

    @contextmanager
    def _refusing_leases(self, submission: Submission) -> Iterator[None]:
        with ExitStack() as held:
            try:
                manifest = self.layout.submissions.manifest_path(submission.id)
                held.enter_context(flocked(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError:
                raise InUse(
                    f"{submission.id} is resident in a running server; expected one that nobody uses. "
                    "Wait until it is evicted, stop the server, or force the removal."
                ) from None
            yield


def _check_unnamed(submission: Submission, names: Sequence[str]) -> None:
    if names:
        raise InUse(
            f"{submission.id} is still called {', '.join(names)}; expected one without another name. "
            "Remove these names or point them elsewhere first, or force the removal."
        )


def _digest(files: Sequence[Path], progress: ProgressCallback | None = None) -> dict[Path, Blob]:
    total_bytes = sum(path.stat().st_size for path in files)
    done_bytes = 0

    def on_bytes(count: int) -> None:
        nonlocal done_bytes
        done_bytes += count
        if progress is not None:
            progress(Progress("digest", done_bytes, total_bytes))

    return {path: digest_file(path, on_bytes) for path in files}


def _submission(converted: Converted, blobs: Mapping[Path, Blob]) -> Submission:
    return Submission(
        family=converted.family,
        variant=converted.variant,
        languages=converted.languages,
        blobs={role: blobs[path] for role, path in converted.files.items()},
        voice=Voice(
            (blobs[converted.recording],), converted.duration_s, converted.language, converted.transcript
        ),
        submitted_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
