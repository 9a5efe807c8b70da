"""Submissions and voices as the device process reads them. Any thread may."""

from __future__ import annotations

from collections.abc import Callable

from models_store.recordings import read_recording
from models_store.store import ModelsStore
from providers.interface import EngineSettings, Provider, Recording, ReferenceVoice
from server.scheduling.residency import EngineKey, HostCopy


class Library:
    """The store's submissions in the form that the engines take."""

    def __init__(
        self, store: ModelsStore, provider_of: Callable[[str], Provider], engine: EngineSettings
    ) -> None:
        """`provider_of` maps a family to its provider."""
        self._store = store
        self._provider_of = provider_of
        self._engine = engine

    def weights(self, submission_id: str) -> HostCopy:
        """From disk to host memory, with a lease on the submission. Raises NotFound."""
        lease = self._store.lease(submission_id)
        try:
            files = self._store.files(submission_id)
            family = files.submission.family
            provider = self._provider_of(family)
            key = EngineKey(family, provider.architecture(files))
            return HostCopy(key, provider.read_weights(files, self._engine), lease, files.edition)
        except BaseException:
            lease.release()
            raise

    def voice(self, submission_id: str, voice_id: str) -> ReferenceVoice:
        """A registered voice or the submission's own. Raises NotFound."""
        voice = self._store.resolve_voice(voice_id, self._store.files(submission_id).submission)
        recordings = tuple(Recording(*read_recording(path)) for path in self._store.recordings(voice))
        return ReferenceVoice(recordings, voice.language, voice.transcript)
