"""How long a room answers: how fast the level falls where speech pauses.

A proxy, not a room's reverberation time, for which one needs a bang: the voice's own dying away is in it.
The first decibels are left out, which are the voice's more than the room's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from providers.audio.analysis.activity import Activity
from providers.audio.analysis.noise import FRAME_S, db

Samples = NDArray[np.float32]

SMOOTH = 5  # frames
BEFORE_S = 0.5  # the last loud place before a pause is looked for that far back
FROM_DB, TO_DB = 10.0, 35.0  # below it
ABOVE_NOISE_DB = 6.0  # lower, the noise is heard and not the room
SHORTEST_FALL_DB = 10.0


def decay_time_s(power: Samples, activity: Activity, noise_floor_power: float) -> float | None:
    """Power of each 10 ms → seconds that 60 dB take. None where nothing falls far enough to tell."""
    smooth = np.convolve(power, np.full(SMOOTH, 1 / SMOOTH), "same")
    levels = 10 * np.log10(np.maximum(smooth, 1e-10))
    ends = [each.end_s for each in activity.speech]
    starts = [*(each.start_s for each in activity.speech[1:]), activity.duration_s]
    times = [
        _decay_time_s(
            levels[max(0, int((end - BEFORE_S) / FRAME_S)) : int(start / FRAME_S)], db(noise_floor_power)
        )
        for end, start in zip(ends, starts, strict=True)
    ]
    told = [time for time in times if time is not None]
    return float(np.median(told)) if told else None


def _decay_time_s(levels: NDArray[np.float64], floor_db: float) -> float | None:
    """Of the levels from before a pause to its end: a straight line through the part that counts."""
    if not len(levels):
        return None
    loud = int(np.flatnonzero(levels >= levels.max() - 3)[-1])
    top, bottom = levels[loud] - FROM_DB, max(levels[loud] - TO_DB, floor_db + ABOVE_NOISE_DB)
    if top - bottom < SHORTEST_FALL_DB:
        return None
    after = levels[loud:]
    begin, end = (int(np.argmax(after < bound)) for bound in (top, bottom))
    if not 0 < begin < end:
        return None
    slope = np.polyfit(np.arange(begin, end + 1) * FRAME_S, after[begin : end + 1], 1)[0]
    return float(-60 / slope) if slope < 0 else None
