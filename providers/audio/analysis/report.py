"""What was measured of one recording, as a frozen value that crosses processes. No numpy."""

from __future__ import annotations

from dataclasses import dataclass

from providers.audio.analysis.measurements import Moment, Value


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was measured. A file that is no wav has only `not_wav`: what it is instead."""

    measurements: dict[str, Value]
    moments: tuple[Moment, ...] = ()
    speech: tuple[tuple[float, float], ...] = ()  # start s, end s
    waveform: tuple[float, ...] = ()  # lowest, highest, lowest, … of even pieces
    unmeasured: tuple[str, ...] = ()  # measurements that a missing model would have made
    not_wav: str | None = None
