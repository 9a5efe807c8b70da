"""A recording as the measurements read it: mono float32 samples in a file, in blocks or by places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from providers.audio.analysis.activity import BLOCK_FRAMES, FRAME, RATE_HZ

Samples = NDArray[np.float32]

BLOCK_S = BLOCK_FRAMES * FRAME / RATE_HZ
MARGIN_S = 0.02  # around a place, so that the resampler's edges lie outside it


@dataclass(frozen=True, slots=True)
class Track:
    path: Path  # raw float32, native byte order
    sample_rate_hz: int

    @property
    def num_samples(self) -> int:
        return self.path.stat().st_size // 4

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sample_rate_hz

    def blocks(self) -> Iterator[tuple[Samples, Samples]]:
        """Consecutive (native, at 16 kHz); the latter in whole frames of 512, the last filled with zeros."""
        down = soxr.ResampleStream(self.sample_rate_hz, RATE_HZ, 1, dtype="float32")
        rest = np.zeros(0, np.float32)
        size = round(BLOCK_S * self.sample_rate_hz)
        with self.path.open("rb") as file:
            done = 0
            while done < self.num_samples:
                native = np.fromfile(file, np.float32, size)
                done += len(native)
                is_last = done >= self.num_samples
                samples = np.concatenate([rest, down.resample_chunk(native, last=is_last)])
                if is_last:
                    samples = np.pad(samples, (0, -len(samples) % FRAME))
                whole = len(samples) // FRAME * FRAME
                rest = samples[whole:]
                yield native, samples[:whole]

    def at_16k(self, start: int, stop: int) -> Samples:
        """Samples [up to stop - start] at 16 kHz from there, to the nearest sample of the native rate."""
        ratio = self.sample_rate_hz / RATE_HZ
        margin = round(MARGIN_S * RATE_HZ)
        lead = min(start, margin)
        first = round((start - lead) * ratio)
        count = round((stop + margin) * ratio) - first
        native = np.fromfile(self.path, np.float32, count, offset=4 * first)
        resampled = soxr.resample(native, self.sample_rate_hz, RATE_HZ)
        return np.asarray(resampled[lead : lead + stop - start], np.float32)

    @property
    def num_samples_16k(self) -> int:
        return int(self.num_samples * RATE_HZ / self.sample_rate_hz)
