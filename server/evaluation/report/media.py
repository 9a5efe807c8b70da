"""What the report carries of an utterance: a small Opus file and a spectrogram, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from server.evaluation.ears import RATE_HZ, for_listening
from server.http.encoders import FORMATS, Encoder

Samples = NDArray[np.float32]

_OPUS = FORMATS["opus"]
assert _OPUS.codec is not None
# Read whole, so pages may be long; speech at this rate is hard to tell from the original.
COMPACT_OPUS = replace(_OPUS, codec=replace(_OPUS.codec, bit_rate=28_000, muxer_options={}))

FFT_LENGTH = 512
HEIGHT, LARGEST_WIDTH = 96, 480
PIXELS_PER_S = 80
RANGE_DB = 70.0  # from the loudest
# From silence to the loudest; between them straight lines in RGB.
COLOURS: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.0, (9, 8, 26)),
    (0.35, (74, 24, 108)),
    (0.6, (178, 48, 96)),
    (0.82, (246, 132, 68)),
    (1.0, (252, 242, 196)),
)
NUM_COLOURS = 48  # a smaller palette packs better


def opus_uri(samples: Samples, sample_rate_hz: int) -> str:
    encoder = Encoder(COMPACT_OPUS, sample_rate_hz, 24_000)
    return _uri("audio/ogg", encoder.encode(samples) + encoder.finish())


def spectrogram_uri(samples: Samples, sample_rate_hz: int) -> str:
    """0 to 8 kHz upwards, time to the right."""
    levels = _levels(for_listening(samples, sample_rate_hz))
    image = Image.fromarray((levels * (NUM_COLOURS - 1)).round().astype(np.uint8))
    image.putpalette(_palette())
    packed = io.BytesIO()
    image.save(packed, format="PNG", optimize=True)
    return _uri("image/png", packed.getvalue())


def picture_width(duration_s: float) -> int:
    """Pixels: as long as the sound is, up to a page's width."""
    return max(24, min(LARGEST_WIDTH, round(duration_s * PIXELS_PER_S)))


def _levels(samples: Samples) -> NDArray[np.float32]:
    """[n] at RATE_HZ → [HEIGHT, width] in [0, 1], the highest frequency first."""
    width = picture_width(len(samples) / RATE_HZ)
    padded = np.pad(samples, FFT_LENGTH)
    starts = np.linspace(0, len(samples), width).astype(int)
    frames = np.stack([padded[start : start + FFT_LENGTH] for start in starts + FFT_LENGTH // 2])
    power = np.abs(np.fft.rfft(frames * np.hanning(FFT_LENGTH), axis=1)[:, 1:]) ** 2
    bands = power.reshape(width, -1)[:, : FFT_LENGTH // 2].T  # [256, width]
    rows = np.linspace(0, len(bands), HEIGHT + 1).astype(int)
    pooled = np.stack([bands[low:high].max(axis=0) for low, high in pairwise(rows)])
    decibels = 10 * np.log10(np.maximum(pooled, 1e-12))
    top = max(float(decibels.max(initial=-120.0)), -60.0)  # silence stays dark
    return np.flipud(np.clip((decibels - top) / RANGE_DB + 1, 0, 1)).astype(np.float32)


def _palette() -> bytes:
    places = [place for place, _ in COLOURS]
    at = np.linspace(0, 1, NUM_COLOURS)
    channels = [np.interp(at, places, levels) for levels in zip(*(rgb for _, rgb in COLOURS), strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()


def _uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
