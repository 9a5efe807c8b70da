"""A recording as the store keeps it: mono float32 wav at its own sample rate."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def read_recording(path: Path) -> tuple[Samples, int]:
    """Samples [n] float32 of one of the store's recordings, and their sample rate in Hz."""
    samples, sample_rate_hz = soundfile.read(path, dtype="float32")
    return samples, sample_rate_hz


def wav_bytes(samples: Samples, sample_rate_hz: int) -> bytes:
    """Mono float32 wav of samples [n]. The same samples always give the same bytes.

    libsndfile would put the time of day into a float file's PEAK chunk, and so change its digest.
    """
    data = np.ascontiguousarray(samples, dtype="<f4").tobytes()
    ieee_float, channels, sample_bytes = 3, 1, 4
    # "fmt " with an empty extension, then "fact" with the number of frames: both due for non-PCM formats.
    header = struct.pack(
        "<4sIHHIIHHH",
        b"fmt ",
        18,
        ieee_float,
        channels,
        sample_rate_hz,
        sample_rate_hz * sample_bytes,
        sample_bytes,
        8 * sample_bytes,
        0,
    )
    header += struct.pack("<4sII", b"fact", 4, len(samples))
    header += struct.pack("<4sI", b"data", len(data))
    return struct.pack("<4sI4s", b"RIFF", 4 + len(header) + len(data), b"WAVE") + header + data
