"""The speaker encoders that submissions were conditioned with: all that evaluation needs torch for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models_store.submission import SubmissionFiles
from providers.mapped_weights import MappedWeights
from providers.xtts.conditioning import SPEAKER_ENCODER_PREFIX
from providers.xtts.speaker_encoder import SpeakerEncoder
from providers.xtts.weights import read_config
from server.evaluation.ears import RATE_HZ
from server.evaluation.similarity import Embed, Samples


def xtts(files: SubmissionFiles) -> Embed:
    torch.set_num_threads(1)  # beside a server, one core is enough
    mapped = MappedWeights(files.paths["weights"])
    weights = {
        name.removeprefix(SPEAKER_ENCODER_PREFIX): mapped[name].float()
        for name in mapped
        if name.startswith(SPEAKER_ENCODER_PREFIX)
    }
    encoder = SpeakerEncoder(read_config(files).architecture.speaker_encoder, weights)

    def embed(samples: Samples) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = encoder(torch.from_numpy(samples), RATE_HZ).numpy()
        return embedding

    return embed
