"""pocketsphinx with the English model that its package brings: weak, but everywhere and always the same.

Its errors say more about differences between voices than about what people would understand: a clean
synthesiser of 16 kHz has a character error of 0.2 or so.
"""

from __future__ import annotations

import numpy as np
from pocketsphinx import Config, Decoder

from server.evaluation.recognition.table import RATE_HZ, Samples
from server.evaluation.recognition.transcript import Transcript, Word
from server.settings import Settings

# It expects speech to begin and to end.
PADDING_S = 0.2


class Pocketsphinx:
    def __init__(self) -> None:
        self._config = Config(samprate=RATE_HZ, loglevel="FATAL")
        self._decoder = Decoder(self._config)

    def __call__(self, samples: Samples) -> Transcript:
        padded = np.pad(samples, round(PADDING_S * RATE_HZ))
        decoder = self._decoder
        # What it learnt of one recording's level must not colour the next: measured again, it is the same.
        decoder.reinit_feat(self._config)
        decoder.start_utt()
        decoder.process_raw((np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        if hypothesis is None:
            return Transcript("")
        frame_s = 1 / self._config["frate"]
        words = tuple(
            Word(
                _spelled(segment.word),
                _time(segment.start_frame, frame_s),
                _time(segment.end_frame + 1, frame_s),
            )
            for segment in decoder.seg()
            if not segment.word.startswith(("<", "["))
        )
        return Transcript(str(hypothesis.hypstr), words)


def _spelled(word: str) -> str:
    """Without the number of the pronunciation: "the(2)"."""
    return word.partition("(")[0]


def _time(frame: int, frame_s: float) -> float:
    return max(0.0, frame * frame_s - PADDING_S)


def open_recogniser(settings: Settings, language: str) -> Pocketsphinx:
    """English only: `language` is always en-us."""
    return Pocketsphinx()
