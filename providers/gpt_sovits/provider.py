"""GPT-SoVITS as a family: what `providers.registry` points to."""

from __future__ import annotations

from collections.abc import Hashable

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from models_store.submission import SubmissionFiles
from providers.gpt_sovits.engine import GptSovitsEngine
from providers.gpt_sovits.weights import GptSovitsHostWeights, read_config, read_host_weights
from providers.interface import EngineSettings


class GptSovitsProvider:
    """Implements `Provider`: see providers/interface.py."""

    def architecture(self, files: SubmissionFiles) -> GptSovitsArchitecture:
        return read_config(files).architecture

    def read_weights(self, files: SubmissionFiles, settings: EngineSettings) -> GptSovitsHostWeights:
        return read_host_weights(files, settings)

    def create_engine(self, architecture: Hashable, settings: EngineSettings) -> GptSovitsEngine:
        assert isinstance(architecture, GptSovitsArchitecture)
        return GptSovitsEngine(architecture, settings)
