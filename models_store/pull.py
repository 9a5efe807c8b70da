"""Published submissions and base models, fetched from a hub and then taken in like anybody's.

Their files wait in <root>/downloads/<name>/ until that is done: a fetch that was interrupted goes on there,
and so does one that found no room to convert what it had fetched.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from models_store.base_models import AddedBaseModel, find_role
from models_store.durable import storage_errors
from models_store.errors import NotFound
from models_store.hub import Hub
from models_store.published import PUBLISHED, PublishedSubmission
from models_store.report import ProgressCallback
from models_store.store import ModelsStore, Published

LICENCE_FILE = "LICENSE.txt"


def find_published(name: str) -> PublishedSubmission:
    """Raises NotFound."""
    if name not in PUBLISHED:
        raise NotFound("published model", name)
    return PUBLISHED[name]


def licence_text(store: ModelsStore, model: PublishedSubmission, hub: Hub) -> str:
    """What is to be accepted before the submission is fetched. Raises HubError, InUse, StorageError."""
    path = _folder(store, model.name) / LICENCE_FILE
    hub.download(model.licence_file, path)
    return path.read_text(encoding="utf-8", errors="replace")


def pull_submission(
    store: ModelsStore,
    model: PublishedSubmission,
    name: str,
    hub: Hub,
    progress: ProgressCallback | None = None,
) -> Published:
    """Raises HubError, InUse, and what `ModelsStore.submit` raises."""
    folder = _folder(store, model.name)
    with storage_errors(store.root):
        for file_name, file in model.files.items():
            hub.download(file, folder / file_name, progress)
    submitted = store.submit(folder, name, progress)
    shutil.rmtree(folder, ignore_errors=True)
    return submitted


def pull_base_model(
    store: ModelsStore, role_name: str, hub: Hub, progress: ProgressCallback | None = None
) -> AddedBaseModel:
    """Raises HubError, InUse, and what `ModelsStore.add_base_model` raises."""
    role = find_role(role_name)
    folder = _folder(store, f"base-{role.name}")
    paths = [folder / PurePosixPath(file.path).name for file in role.downloads]
    with storage_errors(store.root):
        for file, path in zip(role.downloads, paths, strict=True):
            hub.download(file, path, progress)
    # A single one is an archive, or the only file that the role has.
    added = store.add_base_model(folder if len(paths) > 1 else paths[0], role.name, progress)
    shutil.rmtree(folder, ignore_errors=True)
    return added


def _folder(store: ModelsStore, name: str) -> Path:
    folder = store.layout.downloads / name
    with storage_errors(store.root):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
