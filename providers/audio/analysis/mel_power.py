"""Mel power spectrograms in numpy, as librosa computes them: what the packaged models were trained on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.
LINEAR_HZ_PER_MEL = 200 / 3
BREAK_HZ, BREAK_MEL = 1_000.0, 15.0
LOG_STEP = np.log(6.4) / 27


def mel_power(samples: Samples, rate_hz: int, fft_length: int, hop: int, num_mels: int) -> Samples:
    """Samples [n] → power [1 + n // hop, num_mels]: periodic Hann windows, centred, zeros beyond the ends."""
    padded = np.pad(samples, fft_length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft_length)[::hop]
    window = np.hanning(fft_length + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mels: Samples = power @ _filters(rate_hz, fft_length, num_mels)
    return mels


@lru_cache(maxsize=4)
def _filters(rate_hz: int, fft_length: int, num_mels: int) -> Samples:
    """Triangles of equal area [bins, num_mels]."""
    frequencies = np.arange(fft_length // 2 + 1) * (rate_hz / fft_length)
    corners = _hz(np.linspace(0, _mel(rate_hz / 2), num_mels + 2))
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequencies[:, None] - lower) / (centre - lower)
    falling = (upper - frequencies[:, None]) / (upper - centre)
    filters = np.minimum(rising, falling).clip(min=0) * 2 / (upper - lower)
    return filters.astype(np.float32)


def _mel(frequency_hz: float) -> float:
    if frequency_hz < BREAK_HZ:
        return frequency_hz / LINEAR_HZ_PER_MEL
    return float(BREAK_MEL + np.log(frequency_hz / BREAK_HZ) / LOG_STEP)


def _hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HZ_PER_MEL, logarithmic)
