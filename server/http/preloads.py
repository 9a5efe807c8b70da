"""Which submissions an operator wanted loaded before the server is called ready."""

from __future__ import annotations

from collections.abc import Sequence

from models_store.errors import ModelsStoreError
from models_store.store import ModelsStore
from server.scheduling.messages import WorkerState


class Preloads:
    """What has been on the device once need not stay there: making room later is no reason to be unready."""

    def __init__(self, names: Sequence[str], store: ModelsStore) -> None:
        self._names = tuple(names)
        self._store = store
        self._seen: set[str] = set()

    def missing(self, state: WorkerState | None) -> list[str]:
        """Names that this device process has not had on its device yet. None: there is no such process."""
        if state is None:
            self._seen.clear()
        else:
            on_device = {found.submission_id for found in state.residents if found.place == "device"}
            self._seen |= {name for name in self._names if self._id(name) in on_device}
        return [name for name in self._names if name not in self._seen]

    def _id(self, name: str) -> str | None:
        try:
            return self._store.resolve(name).id
        except ModelsStoreError:
            return None
