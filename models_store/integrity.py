"""Is the store what it says it is? Every manifest, name and blob, and with `deep` every byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models_store.base_models import BaseModels
from models_store.catalogue import Catalogue
from models_store.durable import digest_file
from models_store.errors import NotFound, Problem, StorageError
from models_store.layout import Layout
from models_store.submission import Blob

SUBMIT_AGAIN = "Check the disk, then submit it again: the same content mends it."


def verify(layout: Layout, deep: bool = False) -> Iterator[Problem]:
    """Every problem, found while iterating."""
    yield from _catalogue_problems(layout.submissions, "submissions")
    yield from _catalogue_problems(layout.voices, "voices")
    for blob in sorted(_blobs(layout), key=lambda blob: blob.digest):
        yield from _blob_problems(layout, blob, deep)
    yield from BaseModels(layout.base_models).verify(deep)


def _blobs(layout: Layout) -> set[Blob]:
    blobs = {blob for submission in layout.submissions for blob in submission.blobs.values()}
    blobs |= {blob for submission in layout.submissions for blob in submission.voice.recordings}
    return blobs | {blob for voice in layout.voices for blob in voice.recordings}


def _catalogue_problems(catalogue: Catalogue[Any], kind: str) -> Iterator[Problem]:
    ids = catalogue.ids()
    for item_id in sorted(ids):
        place = f"{kind}/manifests/{catalogue.manifest_path(item_id).name}"
        try:
            found_id = catalogue.get(item_id).id
        except NotFound:  # deleted while we looked
            continue
        except StorageError:
            yield _problem(
                place, "a damaged manifest", "the one that was written", "Remove it and submit again."
            )
            continue
        if found_id != item_id:
            yield _problem(place, f"content with the id {found_id}", item_id, "Remove it and submit again.")
    for name, item_id in catalogue.names().items():
        if item_id not in ids and catalogue.names().get(name) == item_id:
            yield _problem(f"{kind}/names/{name}", f"nothing under {item_id}", "a manifest", SUBMIT_AGAIN)


def _blob_problems(layout: Layout, blob: Blob, deep: bool) -> Iterator[Problem]:
    path = layout.blob(blob)
    place = f"blobs/{path.name}"
    try:
        size_bytes = path.stat().st_size
        if size_bytes != blob.size_bytes:
            yield _problem(place, f"{size_bytes} bytes", f"{blob.size_bytes} bytes", SUBMIT_AGAIN)
        elif deep and digest_file(path) != blob:
            yield _problem(place, "other content than was written", blob.digest, SUBMIT_AGAIN)
    except FileNotFoundError:
        if blob in _blobs(layout):  # else deleted while we looked
            yield _problem(place, "no such file", f"{blob.size_bytes} bytes", SUBMIT_AGAIN)


def _problem(place: str, found: str, expected: str, remedy: str) -> Problem:
    return Problem("DamagedStore", place, found, expected, remedy)
