"""Vocoding a growing utterance in windows whose samples equal those of vocoding it whole.

A frame's samples depend on the frames within the generator's receptive field, so they are final as soon as
these are known. A window feeds the frames whose samples leave now with that context around them, and keeps
only the former: no frame's samples are kept twice, nothing is cross-faded.

The generator pads every layer with zeros, which is right at the utterance's own ends and wrong elsewhere. So
an end of the utterance must be an end of its window, while any other side of a window may be padded with
frames of any content beyond its context: their effect stays outside of what is kept.
"""

from __future__ import annotations

from typing import NamedTuple

from providers.vocoder.receptive_field import ReceptiveField


class Window(NamedTuple):
    """Frames [start, stop) to feed, of which the samples of [keep_start, keep_stop) are kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    at_end: bool  # `stop` is the end of the utterance

    def context(self, field: ReceptiveField) -> tuple[int, int]:
        """Frames on the left and on the right that get no samples: none at the utterance's own ends."""
        return field.left if self.start > 0 else 0, 0 if self.at_end else field.right

    def padding(self, length_multiple: int) -> tuple[int, int]:
        """Frames to add on the left and on the right to reach a multiple: none where both sides are ends."""
        missing = -(self.stop - self.start) % length_multiple
        if not self.at_end:
            return 0, missing
        return (missing, 0) if self.start > 0 else (0, 0)


class FrameSpan(NamedTuple):
    """Frames [start, stop) of an utterance whose samples leave now."""

    start: int
    stop: int
    num_known: int  # frames of the utterance whose values are final
    is_last: bool  # the utterance has no more frames than these

    def context(self, field: ReceptiveField) -> tuple[int, int]:
        """The frames that their samples depend on."""
        return max(self.start - field.left, 0), min(self.stop + field.right, self.num_known)


def frame_span(num_known_before: int, num_known: int, is_last: bool, field: ReceptiveField) -> FrameSpan:
    """The frames that became final when the known ones grew from `num_known_before` to `num_known`."""
    start = max(num_known_before - field.right, 0)
    stop = num_known if is_last else max(num_known - field.right, 0)
    return FrameSpan(start, max(stop, start), num_known, is_last)


def split_into_windows(span: FrameSpan, field: ReceptiveField, max_frames: int) -> list[Window]:
    """Windows of about equal length that keep the span's frames once each, none longer than `max_frames`."""
    frames_kept = max_frames - field.left - field.right
    if frames_kept < 1:
        raise ValueError(
            f"a window of {max_frames} frames is all context; {field} needs {1 - frames_kept} more"
        )
    total = span.stop - span.start
    num_windows = -(-total // frames_kept)
    windows = []
    for i in range(num_windows):
        part = span._replace(
            start=span.start + total * i // num_windows, stop=span.start + total * (i + 1) // num_windows
        )
        start, stop = part.context(field)
        at_end = span.is_last and stop == span.num_known
        windows.append(Window(start, stop, part.start, part.stop, at_end))
    return windows
