"""Base models that submissions in the store lack. Reads the store's files: call it in a thread."""

from __future__ import annotations

from collections.abc import Collection

from models_store.base_models import Missing
from models_store.store import ModelsStore
from server.http.schemas import MissingBaseModel


def find_missing(store: ModelsStore, dispensable: Collection[str]) -> list[MissingBaseModel]:
    """All but those that the operator does without."""
    names: dict[str, list[str]] = {}
    for name, submission_id in store.names().items():
        names.setdefault(submission_id, []).append(name)
    wanting: dict[Missing, list[str]] = {}
    for submission in store.submissions():
        for missing in store.base_models.missing(submission):
            if missing.role not in dispensable:
                wanting.setdefault(missing, []).extend(names.get(submission.id, [submission.id]))
    return [
        MissingBaseModel(
            role=missing.role,
            needed_by=needed_by,
            consequence=missing.consequence,
            remedy=f"voicecore base pull {missing.role}",
        )
        for missing, needed_by in wanting.items()
    ]
