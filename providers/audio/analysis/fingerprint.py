"""An acoustic fingerprint: the same recording, though copied, cut, re-encoded or made louder, shows.

Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): 32 bits per frame, each the
sign of how the difference of two neighbouring bands changes over time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Fingerprint = NDArray[np.uint32]

RATE_HZ = 16_000
WINDOW, HOP = 5_920, 512  # 0.37 s, as published; a hop of 32 ms
LOWEST_HZ, HIGHEST_HZ, NUM_BANDS = 300.0, 2_000.0, 33
BLOCK = 96  # frames: 3 s
MAX_BIT_ERRORS = 0.35 * 32 * BLOCK
STRIDE = 48
# A value that very many frames share, as in silence, says nothing of where they belong.
MAX_CANDIDATES = 200


class Fingerprinting:
    """Fed with consecutive blocks at 16 kHz."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._bands: list[Samples] = []
        edges = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** (np.arange(NUM_BANDS + 1) / NUM_BANDS)
        self._edges = np.round(edges * WINDOW / RATE_HZ).astype(int)
        self._window = np.hanning(WINDOW).astype(np.float32)

    def feed(self, block: Samples) -> None:
        samples = np.concatenate([self._rest, block])
        count = max(0, (len(samples) - WINDOW) // HOP + 1)
        for start in range(0, count, BLOCK):  # so that the windows of a long block aren't copied all at once
            stop = min(count, start + BLOCK)
            piece = samples[start * HOP : (stop - 1) * HOP + WINDOW]
            frames = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP] * self._window
            power = np.abs(np.fft.rfft(frames, axis=1)[:, : self._edges[-1]]) ** 2
            self._bands.append(np.add.reduceat(power, self._edges[:-1], axis=1).astype(np.float32))
        self._rest = samples[count * HOP :]

    def result(self) -> Fingerprint:
        """[frames - 1]."""
        bands = np.concatenate([*self._bands, np.zeros((0, NUM_BANDS), np.float32)])
        difference = bands[:, :-1] - bands[:, 1:]
        bits = np.diff(difference, axis=0) > 0
        return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)


def shared_share(new: Fingerprint, stored: Fingerprint) -> float:
    """Share of the new recording's blocks of 3 s that are to be found in the stored one."""
    starts = range(0, len(new) - BLOCK + 1, STRIDE)
    if not len(starts) or len(stored) < BLOCK:
        return 0.0
    order = np.argsort(stored, kind="stable")
    found = sum(_is_in(new[start : start + BLOCK], stored, order) for start in starts)
    return found / len(starts)


def _is_in(block: Fingerprint, stored: Fingerprint, order: NDArray[np.int64]) -> bool:
    """Aligned by any frame that is equal, as in the paper's index."""
    left = np.searchsorted(stored, block, "left", sorter=order)
    right = np.searchsorted(stored, block, "right", sorter=order)
    candidates = {
        int(place) - offset
        for offset, (low, high) in enumerate(zip(left, right, strict=True))
        if 0 < high - low <= MAX_CANDIDATES
        for place in order[low:high]
    }
    return any(
        _bit_errors(block, stored[start : start + BLOCK]) <= MAX_BIT_ERRORS
        for start in candidates
        if 0 <= start <= len(stored) - BLOCK
    )


def _bit_errors(a: Fingerprint, b: Fingerprint) -> int:
    return int(np.unpackbits((a ^ b).view(np.uint8)).sum())
