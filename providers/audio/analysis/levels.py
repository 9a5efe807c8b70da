"""Peak and clipping, per channel and sample by sample: mixing or resampling first would hide both."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from providers.audio.analysis.measurements import Moment

Samples = NDArray[np.float32]

FULL_SCALE = 0.999
# A flattened wave that was turned down again: equal samples, too loud to be the top of a slow one.
LOUD = 0.25
SHORTEST_RUN = 3
BIN_S = 0.25  # how finely moments are told
MAX_MOMENTS = 50
SILENCE_DBFS = -120.0


@dataclass
class Levels:
    """Fed with consecutive blocks [n, channels]."""

    sample_rate_hz: int
    is_linear: bool  # coarser codecs than 16-bit repeat loud samples by nature
    peak: float = 0.0
    clipped: int = 0
    longest_run: int = 0
    num_values: int = 0
    num_frames: int = 0
    _bins: dict[int, int] = field(default_factory=dict)
    _last: Samples | None = None
    _open: NDArray[np.int64] | None = None  # length of the run that each channel's last block ended in

    def feed(self, block: Samples) -> None:
        if not len(block):
            return
        magnitude = np.abs(block)
        self.peak = max(self.peak, float(magnitude.max()))
        previous = block[:1] if self._last is None else self._last[None]
        before = np.concatenate([previous, block[:-1]])
        same = (block == before) & (magnitude >= LOUD) if self.is_linear else np.zeros(block.shape, bool)
        if self._last is None:
            same[0] = False
        both_full = (magnitude >= FULL_SCALE) & (np.abs(before) >= FULL_SCALE) & (block * before > 0)
        self._count_runs(same | both_full)
        self._last = block[-1]
        self.num_values += block.size
        self.num_frames += len(block)

    def _count_runs(self, joined: NDArray[np.bool_]) -> None:
        """`joined` [n, channels]: the sample continues the flat top that the one before it is in."""
        if self._open is None:
            self._open = np.zeros(joined.shape[1], np.int64)
        for channel in np.flatnonzero(joined.any(axis=0) | (self._open > 0)):
            self._open[channel] = self._count_channel(joined[:, channel], int(self._open[channel]))

    def _count_channel(self, joined: NDArray[np.bool_], carried: int) -> int:
        """`carried`: samples of the run that reaches into this block; returns that of the next block."""
        edges = np.flatnonzero(np.diff(joined.astype(np.int8), prepend=0, append=0))
        starts, stops = edges[::2], edges[1::2]
        if not len(starts):
            return 0
        lengths = stops - starts + 1  # and the sample that began it
        already = 0
        if starts[0] == 0 and carried:
            lengths[0] += carried - 1
            already = carried if carried >= SHORTEST_RUN else 0
        runs = lengths >= SHORTEST_RUN
        self.clipped += int(lengths[runs].sum()) - already
        self.longest_run = max(self.longest_run, int(lengths[runs].max(initial=0)))
        bins, first = np.unique(
            ((self.num_frames + starts[runs]) / self.sample_rate_hz / BIN_S).astype(int), return_inverse=True
        )
        for where, length in zip(bins, np.bincount(first, lengths[runs], len(bins)), strict=True):
            self._bins[int(where)] = self._bins.get(int(where), 0) + int(length)
        return int(lengths[-1]) if stops[-1] == len(joined) else 0

    @property
    def peak_dbfs(self) -> float:
        return max(SILENCE_DBFS, 20 * float(np.log10(max(self.peak, 1e-9))))

    @property
    def clipping_share(self) -> float:
        return self.clipped / max(1, self.num_values)

    def moments(self) -> tuple[Moment, ...]:
        """Where it clips, the worst stretches first, then in order."""
        worst = sorted(sorted(self._bins, key=lambda where: -self._bins[where])[: 4 * MAX_MOMENTS])
        stretches = merged([(where * BIN_S, (where + 1) * BIN_S) for where in worst])
        return tuple(Moment("clipping_share", start, end) for start, end in stretches[:MAX_MOMENTS])


def merged(stretches: list[tuple[float, float]], gap_s: float = 0.05) -> list[tuple[float, float]]:
    """Stretches in order, joined where less than the gap lies between them."""
    joined: list[tuple[float, float]] = []
    for start, end in stretches:
        if joined and start - joined[-1][1] < gap_s:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
