"""What can be heard in one utterance without knowing its text: edges, loudness, opinion scores, a voice.

All of it is what a recording is measured by when it is handed in (providers/audio/analysis), here for
utterances of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from providers.audio.analysis import activity
from providers.audio.analysis.activity import FRAME, VoiceActivity, speech_stretches
from providers.audio.analysis.loudness import Loudness
from providers.audio.analysis.quality import predict_opinions
from providers.audio.analysis.speaker import HOP_S, WINDOW_S, embed

Samples = NDArray[np.float32]

RATE_HZ = activity.RATE_HZ  # of everything that listens

# The detector wants to hear a beginning and an end; synthesisers leave none.
QUIET_S = 0.512
OPINIONS = {  # as the analysis calls them → as the table of measures does
    "dnsmos_ovrl": "dnsmos",
    "dnsmos_sig": "dnsmos_sig",
    "dnsmos_bak": "dnsmos_bak",
    "dnsmos_p808": "p808",
}


@dataclass(frozen=True, slots=True)
class Extent:
    """Where speech begins and ends, in seconds. Without speech it begins where the recording ends."""

    start_s: float
    stop_s: float
    duration_s: float  # of the recording

    @property
    def speech_s(self) -> float:
        return self.stop_s - self.start_s

    def values(self) -> dict[str, float]:
        return {
            "speech_s": self.speech_s,
            "leading_silence_s": self.start_s,
            "trailing_silence_s": self.duration_s - self.stop_s,
        }


def for_listening(samples: Samples, sample_rate_hz: int) -> Samples:
    """[n] at RATE_HZ, within full scale."""
    if sample_rate_hz != RATE_HZ:
        samples = soxr.resample(samples, sample_rate_hz, RATE_HZ)
    return np.clip(np.nan_to_num(samples), -1.0, 1.0).astype(np.float32)


def speech_extent(samples: Samples) -> Extent:
    """Samples [n] at RATE_HZ."""
    duration_s, quiet = len(samples) / RATE_HZ, round(QUIET_S * RATE_HZ)
    padded = np.pad(samples, (quiet, quiet + -len(samples) % FRAME))
    found = speech_stretches(VoiceActivity().feed(padded), len(padded) / RATE_HZ)
    if not found.speech:
        return Extent(duration_s, duration_s, duration_s)
    start_s, stop_s = found.speech[0].start_s - QUIET_S, found.speech[-1].end_s - QUIET_S
    return Extent(max(0.0, start_s), min(duration_s, stop_s), duration_s)


def loudness_lufs(samples: Samples, sample_rate_hz: int) -> float | None:
    """None for silence, and for less than the meter's first block, 0.4 s."""
    meter = Loudness(sample_rate_hz)
    meter.feed(samples)
    return meter.integrated_lufs()


def opinion_scores(samples: Samples) -> Mapping[str, float]:
    """Samples [n] at RATE_HZ, n ≥ 1."""
    found = predict_opinions(lambda start, stop: samples[start:stop], len(samples))
    return {OPINIONS[name]: float(value) for name, value in found.items() if value is not None}


def voice_embedding(samples: Samples) -> Samples:
    """Samples [n] at RATE_HZ → [256]: the mean over windows that lie within; a short one is one window."""
    window, hop = round(WINDOW_S * RATE_HZ), round(HOP_S * RATE_HZ)
    starts = range(0, max(1, len(samples) - window + 1), hop)
    mean: Samples = embed([samples[start : start + window] for start in starts]).mean(axis=0)
    return mean
