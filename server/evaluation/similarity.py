"""Whether an utterance has the voice of its reference: embeddings by speaker encoders, compared by cosine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models_store.recordings import read_recording
from models_store.submission import SubmissionFiles
from server.evaluation.ears import for_listening

Samples = NDArray[np.float32]
Embed = Callable[[Samples], NDArray[np.float32]]  # samples [n] at RATE_HZ → [channels]


class Similarity:
    """One encoder, one reference voice."""

    def __init__(self, embed: Embed, recordings: Sequence[Path]) -> None:
        self._embed = embed
        embeddings = [_unit(embed(for_listening(*read_recording(path)))) for path in recordings]
        self._reference = _unit(np.mean(embeddings, axis=0))

    def __call__(self, samples: Samples) -> float:
        """Samples [n] at RATE_HZ → cosine in [-1, 1]."""
        return float(_unit(self._embed(samples)) @ self._reference)


# Family → where its encoder is made, imported when a submission of it is evaluated.
OWN_ENCODERS = {"xtts": "server.evaluation.own_encoders:xtts"}


def own_encoder(files: SubmissionFiles) -> Embed | None:
    """The encoder that the submission itself was conditioned with; None for a family without one."""
    if (maker := OWN_ENCODERS.get(files.submission.family)) is None:
        return None
    module, _, function = maker.partition(":")
    encoder: Embed = getattr(import_module(module), function)(files)
    return encoder


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit
