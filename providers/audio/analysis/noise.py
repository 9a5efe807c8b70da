"""What is to be heard while nobody speaks: noise floor and signal-to-noise ratio."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.audio.analysis.activity import Activity
from providers.audio.analysis.levels import merged
from providers.audio.analysis.measurements import Moment, Value

Samples = NDArray[np.float32]

FRAME_S = 0.01
FLOOR_POWER = 1e-10  # -100 dBFS, below any converter
# Around speech there are breaths, releases and the room's answer: they aren't the background.
PAD_S = 0.15
MIN_FRAMES = 15
QUIETEST = 0.05  # of the frames, where nobody ever stops speaking
LOUD_NOISE_S = 0.2
MAX_MOMENTS = 20


class Noise(NamedTuple):
    floor_power: float
    background_power: float
    speech_power: float

    def measurements(self) -> dict[str, Value]:
        clean = max(self.speech_power - self.background_power, FLOOR_POWER)
        return {"noise_floor_dbfs": db(self.floor_power), "snr_db": db(clean) - db(self.background_power)}


def frame_power(samples: Samples, sample_rate_hz: int) -> Samples:
    """Mean power of each whole 10 ms [n // hop]."""
    hop = round(sample_rate_hz * FRAME_S)
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    return np.asarray(np.square(frames, dtype=np.float32).mean(axis=1), np.float32)


def measure_noise(power: Samples, activity: Activity) -> Noise | None:
    """`power` of each 10 ms of the whole recording. None where nobody speaks."""
    speaking = activity.mask(len(power), FRAME_S)
    if not speaking.any():
        return None
    background = power[~activity.mask(len(power), FRAME_S, PAD_S)]
    if len(background) < MIN_FRAMES:
        background = np.sort(power)[: max(1, int(len(power) * QUIETEST))]
    background = np.maximum(background, FLOOR_POWER)
    return Noise(float(np.median(background)), float(background.mean()), float(power[speaking].mean()))


def noisy_moments(power: Samples, activity: Activity, noise: Noise, snr_db: float) -> tuple[Moment, ...]:
    """Stretches outside speech that are louder than `snr_db` below it."""
    width = round(LOUD_NOISE_S / FRAME_S)
    smooth = np.convolve(power, np.full(width, 1 / width), "same")
    loud = (smooth > noise.speech_power / 10 ** (snr_db / 10)) & ~activity.mask(len(power), FRAME_S, PAD_S)
    edges = np.flatnonzero(np.diff(loud.astype(np.int8), prepend=0, append=0)).reshape(-1, 2) * FRAME_S
    stretches = [
        each
        for each in merged([(s, e) for s, e in edges.tolist()], 0.1)
        if each[1] - each[0] > LOUD_NOISE_S / 2
    ]
    return tuple(Moment("snr_db", start, end) for start, end in stretches[:MAX_MOMENTS])


def db(power: float) -> float:
    return 10 * float(np.log10(max(power, FLOOR_POWER)))
