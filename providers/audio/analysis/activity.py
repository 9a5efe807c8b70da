"""Where somebody speaks: Silero's voice activity detector, block by block at 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.audio.analysis.measurements import Moment, Value
from providers.audio.analysis.models import session

Samples = NDArray[np.float32]

RATE_HZ = 16_000
FRAME = 512  # samples per probability: 32 ms
FRAME_S = FRAME / RATE_HZ
CONTEXT = 64  # of the frame before, in front of each
BLOCK_FRAMES = 512  # 16.4 s

# Silero's own defaults for turning probabilities into stretches.
ENTER, LEAVE = 0.5, 0.35
SHORTEST_SPEECH_S, SHORTEST_SILENCE_S, PAD_S = 0.25, 0.1, 0.03
TOLD_SILENCES = 5


class Stretch(NamedTuple):
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class VoiceActivity:
    """Fed with consecutive blocks of whole frames; the model's state is carried on."""

    def __init__(self) -> None:
        self._model = session("silero_vad", "data/silero_vad_16k_sequence.onnx")
        self._hidden = self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def feed(self, block: Samples) -> Samples:
        """Samples [frames * 512] at 16 kHz → probability of speech [frames]."""
        frames = block.reshape(-1, FRAME)
        contexts = np.concatenate([self._context[None], frames[:-1, -CONTEXT:]])
        self._context = frames[-1, -CONTEXT:]
        inputs = {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = self._model.run(["speech_probs", "hn", "cn"], inputs)
        return np.asarray(probabilities, np.float32).reshape(-1)


@dataclass(frozen=True, slots=True)
class Activity:
    speech: tuple[Stretch, ...]
    duration_s: float

    def measurements(self) -> dict[str, Value]:
        total_s = sum(stretch.length_s for stretch in self.speech)
        return {
            "speech_s": total_s,
            "speech_share": total_s / self.duration_s if self.duration_s else 0.0,
            "longest_silence_s": max((each.length_s for each in self.silences()), default=0.0),
        }

    def silences(self) -> list[Stretch]:
        edges = [0.0, *(edge for stretch in self.speech for edge in stretch), self.duration_s]
        return [
            Stretch(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start
        ]

    def moments(self) -> tuple[Moment, ...]:
        longest = sorted(self.silences(), key=lambda each: -each.length_s)[:TOLD_SILENCES]
        return tuple(Moment("longest_silence_s", *each) for each in longest)

    def mask(self, frames: int, frame_s: float, pad_s: float = 0.0) -> NDArray[np.bool_]:
        """Frame by frame [frames]: whether any of it is speech, or within `pad_s` of speech."""
        inside = np.zeros(frames, bool)
        for start, end in self.speech:
            inside[max(0, int((start - pad_s) / frame_s)) : int(np.ceil((end + pad_s) / frame_s))] = True
        return inside


def speech_stretches(probabilities: Samples, duration_s: float) -> Activity:
    """Probabilities [frames] → stretches: entered above 0.5, left below 0.35 for a tenth of a second."""
    stretches: list[list[float]] = []
    for start, stop in _runs(_with_hysteresis(probabilities)):
        start_s, end_s = start * FRAME_S, stop * FRAME_S
        if stretches and start_s - stretches[-1][1] < SHORTEST_SILENCE_S:
            stretches[-1][1] = end_s
        else:
            stretches.append([start_s, end_s])
    kept = [each for each in stretches if each[1] - each[0] >= SHORTEST_SPEECH_S]
    padded = [Stretch(max(0.0, start - PAD_S), min(duration_s, end + PAD_S)) for start, end in kept]
    return Activity(tuple(padded), duration_s)


def _with_hysteresis(probabilities: Samples) -> NDArray[np.bool_]:
    """True from each frame above ENTER to the next below LEAVE."""
    decided = np.where(probabilities >= ENTER, 1, np.where(probabilities < LEAVE, 0, -1))
    last_decided = np.maximum.accumulate(np.where(decided >= 0, np.arange(len(decided)), -1))
    return np.asarray((last_decided >= 0) & (decided[last_decided] == 1))


def _runs(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Start and stop of every run of True."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [[int(start), int(stop)] for start, stop in edges.reshape(-1, 2)]
