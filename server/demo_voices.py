"""The voices that come with the project, put into a store that has none."""

from __future__ import annotations

import structlog

from models_store.demo import demo_submissions
from models_store.errors import ModelsStoreError
from models_store.store import ModelsStore

log = structlog.get_logger()


def submit_demo_voices(store: ModelsStore) -> None:
    """Through intake like any upload. A server without them serves too: problems are logged."""
    if store.names():
        return
    for name, folder in demo_submissions().items():
        try:
            store.submit(folder, name)
        except (ModelsStoreError, OSError) as error:
            log.error("could not submit a demo voice", name=name, error=str(error))
        else:
            log.info("submitted a demo voice", name=name)
