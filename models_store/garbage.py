"""Takes away what nothing points to: the leavings of killed writers and of deleted or refused submissions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from models_store.durable import hex_of, is_flocked
from models_store.layout import Layout


def collect(layout: Layout) -> int:
    """Remove garbage; returns how many bytes that freed. The caller holds `layout.deleting()`.

    Raises StorageError where a manifest is damaged, for then nobody knows which blobs are needed.
    """
    _end_trials(layout)
    _remove_nameless_voices(layout)
    return sum(_remove(path) for path in [*_garbage(layout)])


def _garbage(layout: Layout) -> Iterator[Path]:
    # Scratch folders are locked by their writers; whatever else is there, a killed writer left.
    yield from (path for path in layout.scratch.iterdir() if not is_flocked(path))

    submissions = [layout.submissions.get(submission_id) for submission_id in layout.submissions.ids()]
    voices = [submission.voice for submission in submissions]
    voices += [layout.voices.get(voice_id) for voice_id in layout.voices.ids()]
    blobs = [blob for submission in submissions for blob in submission.blobs.values()]
    blobs += [blob for voice in voices for blob in voice.recordings]

    needed = {hex_of(blob.digest) for blob in blobs}
    yield from (path for path in layout.blobs.iterdir() if path.name not in needed)

    submission_digits = {hex_of(submission.id) for submission in submissions}
    voice_digits = {hex_of(voice.id) for voice in voices}
    for folder in layout.conditionings.iterdir():
        if folder.name not in submission_digits:
            yield folder
        else:
            yield from (path for path in folder.iterdir() if path.name.split(".")[0] not in voice_digits)


def _end_trials(layout: Layout) -> None:
    # Whoever was to decide about these refused them, or was killed before it could.
    for submission_id in layout.trials.undecided():
        if not layout.submissions.names_of(submission_id):
            layout.submissions.remove(submission_id)
        layout.trials.end(submission_id)


def _remove_nameless_voices(layout: Layout) -> None:
    # A voice is its owner's: it lives as long as a name points to it, and not as a leftover under an id.
    for voice_id in layout.voices.ids() - set(layout.voices.names().values()):
        layout.voices.remove(voice_id)


def _remove(path: Path) -> int:
    """Remove a file or folder, which may be vanishing by itself; returns how many bytes it had."""
    if path.is_dir():
        size = sum(_remove(entry) for entry in [*path.iterdir()])
        shutil.rmtree(path, ignore_errors=True)
        return size
    try:
        size = path.lstat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size
