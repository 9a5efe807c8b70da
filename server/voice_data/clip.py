"""The stretch of a contributed recording to speak with: as much speech as a voice needs, in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

LONGEST_S = 20.0  # XTTS listens to no more of one recording
MARGIN_S = 0.2


def best_stretch(speech: Sequence[tuple[float, float]], duration_s: float) -> tuple[float, float]:
    """Start and end in s of at most 20 s that begin with speech and hold the most of it."""
    if not speech:
        return 0.0, min(duration_s, LONGEST_S)
    start = max((start for start, _ in speech), key=lambda start: _spoken_s(speech, start))
    inside = [end for begin, end in speech if begin < start + LONGEST_S and end > start]
    end = min(inside[-1], start + LONGEST_S)
    return max(0.0, start - MARGIN_S), min(duration_s, end + MARGIN_S)


def cut(recording: Path, target: Path, start_s: float, end_s: float) -> None:
    """Write that stretch as a wav of the recording's own rate, in float, with all its channels."""
    with soundfile.SoundFile(recording) as sound:
        sound.seek(int(start_s * sound.samplerate))
        samples = sound.read(int((end_s - start_s) * sound.samplerate), dtype="float32", always_2d=True)
        soundfile.write(target, samples, sound.samplerate, "FLOAT", format="WAV")


def _spoken_s(speech: Sequence[tuple[float, float]], start: float) -> float:
    stop = start + LONGEST_S
    return sum(max(0.0, min(end, stop) - max(begin, start)) for begin, end in speech)
