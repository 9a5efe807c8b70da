"""What a recogniser heard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """What a recogniser heard, and when."""

    text: str
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str
    words: tuple[Word, ...] = ()  # empty: it doesn't tell times
