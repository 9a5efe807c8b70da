from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.vocoder.receptive_field import ReceptiveField
from providers.vocoder.windows import FrameSpan, frame_span, split_into_windows

fields = st.builds(ReceptiveField, left=st.integers(0, 15), right=st.integers(0, 15))


@given(fields, st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 40))
def test_spans_keep_every_frame_once_with_all_its_context(field, growth, room):
    """However an utterance grows and however its spans are split."""
    total, kept = sum(growth), []
    known = [sum(growth[: i + 1]) for i in range(len(growth))]
    for i, (before, now) in enumerate(pairwise([0, *known])):
        is_last = i == len(growth) - 1
        span = frame_span(before, now, is_last, field)
        for window in split_into_windows(span, field, max_frames=field.left + field.right + room):
            assert window.stop - window.start <= field.left + field.right + room
            assert window.start == max(window.keep_start - field.left, 0)
            beyond = now if is_last else total + field.right
            assert window.stop == min(window.keep_stop + field.right, beyond)
            assert window.stop <= now
            assert window.at_end == (is_last and window.stop == total)
            kept += range(window.keep_start, window.keep_stop)
    assert kept == list(range(total))


@given(
    fields, st.integers(0, 100), st.integers(0, 100), st.booleans(), st.integers(1, 40), st.integers(1, 32)
)
def test_padding_never_comes_between_a_window_and_an_end_of_the_utterance(
    field, before, more, is_last, room, multiple
):
    span = frame_span(before, before + more, is_last, field)
    for window in split_into_windows(span, field, field.left + field.right + room):
        left, right = window.padding(multiple)
        assert left == 0 or window.start > 0
        assert right == 0 or not window.at_end
        if window.start > 0 or not window.at_end:
            assert (window.stop - window.start + left + right) % multiple == 0


def test_nothing_is_final_before_the_context_is_known():
    field = ReceptiveField(13, 13)
    assert frame_span(0, 13, False, field) == FrameSpan(0, 0, 13, False)
    assert split_into_windows(frame_span(0, 13, False, field), field, 100) == []
    assert frame_span(0, 14, False, field).stop == 1


def test_the_last_span_flushes_what_was_held_back_even_if_nothing_follows():
    assert frame_span(50, 50, True, ReceptiveField(13, 13)) == FrameSpan(37, 50, 50, True)


def test_long_spans_are_split_evenly():
    field = ReceptiveField(13, 13)
    windows = split_into_windows(frame_span(0, 1000, True, field), field, 512)
    assert [window.keep_stop - window.keep_start for window in windows] == [333, 333, 334]


def test_a_window_without_room_for_more_than_context_is_refused():
    with pytest.raises(ValueError, match="all context"):
        split_into_windows(frame_span(0, 100, True, ReceptiveField(13, 13)), ReceptiveField(13, 13), 26)
