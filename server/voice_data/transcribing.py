"""Who writes down what contributed recordings say: the recognisers that evaluations use."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from server.evaluation.recognition.table import NOBODY, RATE_HZ, Recogniser, choose, open_chosen
from server.flags import read_settings
from server.voice_data.export import Samples, Transcribe

DEFAULT_LANGUAGE = "en"


def transcriber(name: str, home: Path | None) -> Transcribe | None:
    """None for "none". Raises BadEvaluation where the recogniser isn't there or lacks the language."""
    if name == NOBODY:
        return None
    settings = read_settings(home=home)

    @lru_cache(maxsize=4)
    def recogniser(language: str) -> Recogniser | None:
        return open_chosen(choose(name, language, settings), language, settings)

    def transcribe(samples: Samples, rate_hz: int, language: str | None) -> str:
        heard = recogniser((language or DEFAULT_LANGUAGE).partition("-")[0])
        if heard is None:
            return ""
        at_rate = np.asarray(soxr.resample(samples, rate_hz, RATE_HZ), np.float32)
        return heard(at_rate).text

    return transcribe
