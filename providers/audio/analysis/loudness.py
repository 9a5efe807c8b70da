"""Integrated loudness (ITU-R BS.1770-4) block by block, with pyloudnorm's filters.

pyloudnorm itself wants the whole recording at once, several times over.
"""

from __future__ import annotations

import numpy as np
import pyloudnorm
from numpy.typing import NDArray
from scipy.signal import lfilter

Samples = NDArray[np.float32]

STEP_S = 0.1  # gating blocks of 0.4 s overlap by three quarters
STEPS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0
OFFSET_LU = -0.691


class Loudness:
    """Fed with consecutive blocks [n] of one channel."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._filters = list(pyloudnorm.Meter(sample_rate_hz)._filters.values())
        self._states = [np.zeros(2) for _ in self._filters]
        self._step = round(sample_rate_hz * STEP_S)
        self._rest = np.zeros(0)
        self._powers: list[NDArray[np.float64]] = []  # of each tenth of a second

    def feed(self, block: Samples) -> None:
        weighted = block.astype(np.float64)
        for i, stage in enumerate(self._filters):
            weighted, self._states[i] = lfilter(stage.b, stage.a, weighted, zi=self._states[i])
            weighted *= stage.passband_gain
        weighted = np.concatenate([self._rest, weighted])
        whole = len(weighted) // self._step * self._step
        self._powers.append(np.square(weighted[:whole]).reshape(-1, self._step).mean(axis=1))
        self._rest = weighted[whole:]

    def integrated_lufs(self) -> float | None:
        """None where nothing is above the absolute gate of -70 LUFS, or less than a block was heard."""
        powers = np.concatenate([*self._powers, np.zeros(0)])
        if len(powers) < STEPS_PER_BLOCK:
            return None
        blocks = np.convolve(powers, np.full(STEPS_PER_BLOCK, 1 / STEPS_PER_BLOCK), "valid")
        blocks = blocks[_lufs(blocks) >= ABSOLUTE_GATE_LUFS]
        if not len(blocks):
            return None
        gated = blocks[_lufs(blocks) > _lufs(blocks.mean()) + RELATIVE_GATE_LU]
        return float(_lufs(gated.mean()))


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(OFFSET_LU + 10 * np.log10(np.maximum(power, 1e-12)))
