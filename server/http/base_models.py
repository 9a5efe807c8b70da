"""Base models that are missing: for what is in the store, and for what a request says."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from models_store.base_models import Missing, require_base_models
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers.interface import Prompt
from server.http.schemas import MissingBaseModel
from server.settings import Settings


def find_missing(store: ModelsStore, dispensable: Collection[str]) -> list[MissingBaseModel]:
    """What submissions lack, but for what the operator does without. Reads files: call it in a thread."""
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


def require_languages(files: SubmissionFiles, prompts: Iterable[Prompt], settings: Settings) -> None:
    """Raises MissingBaseModels where a language of these can't be spoken for want of one."""
    languages = frozenset[str]().union(*(prompt.languages for prompt in prompts))
    require_base_models(files, languages, settings.dispensable_base_models)
