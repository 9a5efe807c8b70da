"""A recording → segments of 3 to 10 s for training, cut where it is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Stretch = tuple[float, float]  # start and end in s

SHORTEST_S, LONGEST_S = 3.0, 10.0
MARGIN_S = 0.15  # of silence that a segment keeps on either side
LONGEST_PAUSE_S = 1.0  # inside a segment
FRAME_S = 0.01


def plan_segments(speech: Sequence[Stretch], levels: Samples, duration_s: float) -> list[Stretch]:
    """Stretches of speech and the power of each 10 ms → segments in order, what is too short left out."""
    pieces = [piece for stretch in speech for piece in _short_enough(stretch, levels)]
    segments: list[list[float]] = []
    for start, end in pieces:
        fits = segments and end - segments[-1][0] <= LONGEST_S - 2 * MARGIN_S
        if fits and start - segments[-1][1] <= LONGEST_PAUSE_S:
            segments[-1][1] = end
        else:
            segments.append([start, end])
    with_margins = _with_margins(segments, duration_s)
    return [segment for segment in with_margins if segment[1] - segment[0] >= SHORTEST_S]


def _short_enough(stretch: Stretch, levels: Samples) -> Iterator[Stretch]:
    """Somebody who never pauses is cut at the softest place between the two lengths."""
    start, end = stretch
    longest = LONGEST_S - 2 * MARGIN_S
    while end - start > longest:
        first = int((start + SHORTEST_S) / FRAME_S)
        last = int(min(start + longest, end - SHORTEST_S) / FRAME_S)
        cut = (first + int(np.argmin(levels[first:last]))) * FRAME_S if last > first else start + longest
        yield start, cut
        start = cut
    yield start, end


def _with_margins(segments: Sequence[Sequence[float]], duration_s: float) -> list[Stretch]:
    """Each with silence around it, but never with its neighbour's speech."""
    if not segments:
        return []
    middles = [(here[1] + there[0]) / 2 for here, there in pairwise(segments)]
    before, after = [0.0, *middles], [*middles, duration_s]
    return [
        (max(lowest, start - MARGIN_S), min(highest, end + MARGIN_S))
        for (start, end), lowest, highest in zip(segments, before, after, strict=True)
    ]
