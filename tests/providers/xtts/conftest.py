from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from models_store.checkpoints.architecture import XttsConfig
from providers.interface import Recording, ReferenceVoice
from providers.xtts.latent_vocoder import LatentVocoder, prepare_vocoder


@pytest.fixture(scope="session")
def golden_vocoder(golden_config: XttsConfig, golden_weights: Mapping[str, Tensor]) -> LatentVocoder:
    """The golden submission's, in float32."""
    architecture = golden_config.architecture
    return LatentVocoder(architecture, prepare_vocoder(golden_weights, architecture, torch.float32))


@pytest.fixture(scope="session")
def golden_voice(golden_folder: Path) -> ReferenceVoice:
    """The golden submission's own recording, 7 s at 16 kHz."""
    samples, rate = soundfile.read(golden_folder / "audio.wav", dtype="float32")
    return ReferenceVoice((Recording(samples, rate),))
