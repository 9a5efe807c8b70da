"""XTTS as a family: what `providers.registry` points to."""

from __future__ import annotations

from collections.abc import Hashable

from models_store.checkpoints.architecture import XttsArchitecture
from models_store.submission import SubmissionFiles
from providers.interface import EngineSettings
from providers.xtts.engine import XttsEngine
from providers.xtts.weights import XttsHostWeights, read_config, read_host_weights


class XttsProvider:
    """Implements `Provider`: see providers/interface.py."""

    def architecture(self, files: SubmissionFiles) -> XttsArchitecture:
        return read_config(files).architecture

    def read_weights(self, files: SubmissionFiles, settings: EngineSettings) -> XttsHostWeights:
        return read_host_weights(files, settings)

    def create_engine(self, architecture: Hashable, settings: EngineSettings) -> XttsEngine:
        assert isinstance(architecture, XttsArchitecture)
        return XttsEngine(architecture, settings)
