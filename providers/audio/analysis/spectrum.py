"""What the spectrum tells: how far up a voice reaches, and tones that no voice makes.

Bandwidth is the voice's own: a telephone's recording stays one at any sample rate. Tones are looked for
where nobody speaks, and below the speech as what never moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from providers.audio.analysis.activity import FRAME, FRAME_S, Activity
from providers.audio.analysis.levels import merged
from providers.audio.analysis.measurements import Moment

Samples = NDArray[np.float32]

NUM_BANDS = 192
BAND_FRAME_S = 0.04
BANDWIDTH_RANGE_DB = 60.0
LOUDEST_SHARE = 0.05  # of the frames of speech: the hiss of an s counts, though most frames have none
QUIET_DB = -80.0  # relative to full scale, of one bin: softer is nothing

PEAK_DB = 12.0  # over the neighbourhood: noise gets there once in 60,000 bins
NEIGHBOURHOOD = 21  # bins, 330 Hz
LOWEST_BIN = 4  # 60 Hz
STEADY = 0.1  # quantile over time: what is there while everything else pauses
MUSIC_PEAKS = 3
MUSIC_LEVEL_DB = -70.0
MUSIC_RUN = 8  # frames, a quarter of a second
MUSIC_PAD_S = 0.2
MAX_MOMENTS = 20


class BandLevels:
    """The spectrum of the native signal in 192 even bands, fed block by block."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._length = max(
            2 * NUM_BANDS, round(sample_rate_hz * BAND_FRAME_S) // (2 * NUM_BANDS) * 2 * NUM_BANDS
        )
        self._window = np.hanning(self._length).astype(np.float32)
        self._rest = np.zeros(0, np.float32)
        self._levels: list[NDArray[np.int8]] = []  # dB, [frames, NUM_BANDS]: 15 MB an hour

    def feed(self, block: Samples) -> None:
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // self._length * self._length
        frames = samples[:whole].reshape(-1, self._length)
        spectrum = np.abs(np.fft.rfft(frames * self._window, axis=1))[:, 1:] / self._window.sum()
        bands = spectrum.reshape(len(frames), NUM_BANDS, -1).max(axis=2)
        self._levels.append(np.round(20 * np.log10(np.maximum(bands, 1e-6))).astype(np.int8))
        self._rest = samples[whole:]

    def bandwidth_hz(self, activity: Activity) -> float | None:
        """None where nobody speaks."""
        levels = np.concatenate([*self._levels, np.zeros((0, NUM_BANDS), np.int8)])
        spoken = levels[activity.mask(len(levels), self._length / self._rate_hz)]
        if not len(spoken):
            return None
        rank = max(0, int(len(spoken) * (1 - LOUDEST_SHARE)) - 1)
        spoken.partition(rank, axis=0)
        loudest = spoken[rank].astype(np.float32)
        reached = np.flatnonzero(loudest >= loudest.max() - BANDWIDTH_RANGE_DB)
        return float((reached[-1] + 1) / NUM_BANDS * self._rate_hz / 2)


@dataclass
class Tones:
    """Fed with blocks of whole 32 ms frames at 16 kHz, the detector's."""

    _steady: list[tuple[float, float, float]] = field(default_factory=list)  # start s, end s, prominence dB
    _tonal: list[NDArray[np.bool_]] = field(default_factory=list)  # frame by frame
    _num_frames: int = 0

    def feed(self, block: Samples) -> None:
        frames = block.reshape(-1, FRAME)
        window = np.hanning(FRAME).astype(np.float32)
        spectrum = np.abs(np.fft.rfft(frames * window, axis=1)) / (window.sum() / 2)
        levels = (20 * np.log10(np.maximum(spectrum, 1e-6))).astype(np.float32)
        self._tonal.append(_has_peaks(levels))
        start_s = self._num_frames * FRAME_S
        self._num_frames += len(frames)
        steady = np.quantile(levels, STEADY, axis=0)
        prominence = steady - median_filter(steady, NEIGHBOURHOOD, mode="nearest")
        prominence[steady < QUIET_DB] = 0
        self._steady.append((start_s, self._num_frames * FRAME_S, float(prominence[LOWEST_BIN:].max())))

    def prominence_db(self) -> float:
        return max((prominence for *_, prominence in self._steady), default=0.0)

    def tone_moments(self, bound_db: float) -> tuple[Moment, ...]:
        found = [(start, end) for start, end, prominence in self._steady if prominence > bound_db]
        return tuple(Moment("tone_prominence_db", *each) for each in merged(found)[:MAX_MOMENTS])

    def music(self, activity: Activity) -> tuple[float | None, tuple[Moment, ...]]:
        """Share of what isn't speech that sustains tones, and where. None where it is always speech."""
        tonal = np.concatenate([*self._tonal, np.zeros(0, bool)])
        apart = ~activity.mask(len(tonal), FRAME_S, MUSIC_PAD_S)
        if apart.sum() < MUSIC_RUN:
            return None, ()
        edges = np.flatnonzero(np.diff((tonal & apart).astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
        runs = [(start, stop) for start, stop in edges.tolist() if stop - start >= MUSIC_RUN]
        share = sum(stop - start for start, stop in runs) / int(apart.sum())
        stretches = merged([(start * FRAME_S, stop * FRAME_S) for start, stop in runs], 0.3)
        return share, tuple(Moment("music_share", *each) for each in stretches[:MAX_MOMENTS])


def _has_peaks(levels: Samples) -> NDArray[np.bool_]:
    """Levels dB [frames, bins] → whether a frame has several peaks well over their neighbourhoods."""
    baseline = median_filter(levels, (1, NEIGHBOURHOOD), mode="nearest")
    is_local = (levels[:, 1:-1] >= levels[:, :-2]) & (levels[:, 1:-1] > levels[:, 2:])
    inner, below = levels[:, 1:-1], baseline[:, 1:-1]
    peaks = is_local & (inner > below + PEAK_DB) & (inner > MUSIC_LEVEL_DB)
    return np.asarray(peaks[:, LOWEST_BIN:].sum(axis=1) >= MUSIC_PEAKS)
