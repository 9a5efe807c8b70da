"""Segments for training, and the stretch to speak with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from server.voice_data.clip import LONGEST_S as LONGEST_CLIP_S
from server.voice_data.clip import MARGIN_S, best_stretch
from server.voice_data.segments import LONGEST_S, SHORTEST_S, plan_segments

LEVELS = np.ones(10_000, np.float32)


def test_phrases_are_joined_up_to_ten_seconds() -> None:
    speech = [(0.5, 2.5), (3.0, 5.0), (5.5, 9.0), (9.5, 12.0), (12.3, 15.0)]
    segments = plan_segments(speech, LEVELS, 16.0)
    assert segments == [(0.35, 9.15), (9.35, 15.15)]


def test_a_long_pause_parts_segments_and_what_is_short_is_left_out() -> None:
    speech = [(0.5, 4.5), (7.0, 8.0), (11.0, 15.0)]
    assert plan_segments(speech, LEVELS, 16.0) == [(0.35, 4.65), (10.85, 15.15)]


def test_speech_without_pauses_is_cut_where_it_is_softest() -> None:
    levels = LEVELS.copy()
    levels[700], levels[1_400] = 0.1, 0.1
    segments = plan_segments([(0.0, 20.0)], levels, 20.0)
    assert [round(start, 2) for start, _ in segments] == [0.0, 7.0, 14.0]
    assert segments[-1][1] == 20.0


@pytest.mark.parametrize("seed", range(20))
def test_segments_keep_their_bounds_and_never_overlap(seed: int) -> None:
    random = np.random.default_rng(seed)
    edges = np.cumsum(random.uniform(0.1, 6.0, 60))
    speech = list(zip(edges[::2], edges[1::2], strict=True))
    levels = random.random(int(edges[-1] * 100) + 200).astype(np.float32)
    segments = plan_segments(speech, levels, float(edges[-1]) + 1)
    assert segments
    assert all(SHORTEST_S <= end - start <= LONGEST_S + 1e-6 for start, end in segments)
    assert all(here[1] <= there[0] + 1e-6 for here, there in pairwise(segments))


def test_silence_has_no_segments() -> None:
    assert plan_segments([], LEVELS, 10.0) == []


def test_the_stretch_to_speak_with_is_where_most_is_said() -> None:
    speech = [(1.0, 2.0), (30.0, 45.0), (47.0, 60.0)]
    start, end = best_stretch(speech, 70.0)
    assert (start, end) == (30.0 - MARGIN_S, 50.0 + MARGIN_S)
    assert end - start <= LONGEST_CLIP_S + 2 * MARGIN_S + 1e-9
    assert best_stretch([(0.1, 3.0)], 3.05) == (0.0, 3.05)
    assert best_stretch([], 30.0) == (0.0, LONGEST_CLIP_S)
