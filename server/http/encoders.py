"""Samples to one continuous file per response: mp3, opus, aac, flac, wav, pcm.

The codecs are FFmpeg's, through PyAV. Every response is one container from its header to its trailer, written
front to back, so that a client may decode the bytes as they come or keep them as a file. Each row's options
keep the codec's own delay short: what 170 ms of audio leave behind is never more than a few frames.

Knows nothing about HTTP; the command line writes its files with it as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import av
import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

DEFAULT_SAMPLE_RATE_HZ = 24_000  # what clients of OpenAI's route take pcm to be
MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 48_000

_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)


@dataclass(frozen=True, slots=True)
class Codec:
    """FFmpeg's encoder and muxer, and how we ask for them."""

    encoder: str
    muxer: str
    sample_rates_hz: tuple[int, ...] | None = None  # ascending; None: any
    bit_rate: int | None = None
    encoder_options: Mapping[str, str] = field(default_factory=dict)
    muxer_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A value of `response_format`. Without a codec the samples leave as 16-bit PCM."""

    name: str
    media_type: str
    suffix: str  # of a file that holds it
    codec: Codec | None = None

    def sample_rate_for(self, asked_hz: int) -> int:
        """The lowest rate that the codec takes and that keeps all of what was asked for, or its highest."""
        if self.codec is None or self.codec.sample_rates_hz is None:
            return asked_hz
        rates = self.codec.sample_rates_hz
        return next((rate for rate in rates if rate >= asked_hz), rates[-1])


FORMATS = {
    row.name: row
    for row in (
        Format(
            name="mp3",
            media_type="audio/mpeg",
            suffix=".mp3",
            codec=Codec(
                encoder="libmp3lame",
                muxer="mp3",
                sample_rates_hz=_MPEG_RATES_HZ,
                bit_rate=96_000,
                # Both would need a seek back to the start once the length is known.
                muxer_options={"write_xing": "0", "id3v2_version": "0"},
            ),
        ),
        Format(
            name="opus",
            media_type="audio/ogg",
            suffix=".opus",
            codec=Codec(
                encoder="libopus",
                muxer="ogg",
                sample_rates_hz=_OPUS_RATES_HZ,
                bit_rate=48_000,
                # A page holds a second by default; 40 ms cost 28 bytes each.
                muxer_options={"page_duration": "40000"},
            ),
        ),
        Format(
            name="aac",
            media_type="audio/aac",
            suffix=".aac",
            codec=Codec(
                encoder="aac",
                muxer="adts",
                sample_rates_hz=_MPEG_RATES_HZ,
                bit_rate=96_000,
                # Half the time of the default search, and no worse at this rate.
                encoder_options={"aac_coder": "fast"},
            ),
        ),
        Format(
            name="flac",
            media_type="audio/flac",
            suffix=".flac",
            codec=Codec(
                encoder="flac",
                muxer="flac",
                # 24 ms at 24 kHz; the encoder would choose 96 ms.
                encoder_options={"frame_size": "576"},
                # 8 KiB of padding for tags would be sent ahead of the sound.
                muxer_options={"metadata_header_padding": "0"},
            ),
        ),
        Format(name="wav", media_type="audio/wav", suffix=".wav"),
        Format(name="pcm", media_type="audio/pcm", suffix=".pcm"),
    )
}


class Encoder:
    """One response: float32 samples in, the bytes of one file out. Not thread-safe; any thread will do."""

    def __init__(self, format: Format, in_rate_hz: int, out_rate_hz: int) -> None:
        self.format = format
        self.sample_rate_hz = format.sample_rate_for(out_rate_hz)
        self._resampler = (
            None
            if in_rate_hz == self.sample_rate_hz
            else soxr.ResampleStream(in_rate_hz, self.sample_rate_hz, num_channels=1, dtype="float32")
        )
        self._writer: _Writer = (
            _PcmWriter(wav_header(self.sample_rate_hz) if format.name == "wav" else b"")
            if format.codec is None
            else _CodecWriter(format.codec, self.sample_rate_hz)
        )

    def encode(self, samples: Samples) -> bytes:
        """What can leave once these samples ([n], mono, nominally in [-1, 1]) are known; may be empty."""
        return self._writer.write(_to_s16(self._resample(samples, last=False)))

    def finish(self) -> bytes:
        """What the resampler and the codec held back, and the container's end. Call once, last."""
        tail = self._writer.write(_to_s16(self._resample(np.zeros(0, np.float32), last=True)))
        return tail + self._writer.close()

    def _resample(self, samples: Samples, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled


def encoder(format: str, in_rate_hz: int, out_rate_hz: int = DEFAULT_SAMPLE_RATE_HZ) -> Encoder:
    """An encoder for one response. `format` is a name of FORMATS; rates in Hz."""
    return Encoder(FORMATS[format], in_rate_hz, out_rate_hz)


def wav_header(sample_rate_hz: int, num_samples: int | None = None) -> bytes:
    """The 44 bytes before mono 16-bit samples; None: the length isn't known yet.

    An unknown length is written as the largest one: Python's `wave`, libsndfile, FFmpeg and browsers then
    read until the bytes end.
    """
    data_bytes = 0xFFFF_FFFF if num_samples is None else 2 * num_samples
    riff_bytes = min(data_bytes + 36, 0xFFFF_FFFF)
    return b"".join(
        (
            b"RIFF" + riff_bytes.to_bytes(4, "little") + b"WAVE",
            b"fmt " + (16).to_bytes(4, "little"),
            (1).to_bytes(2, "little"),  # PCM
            (1).to_bytes(2, "little"),  # channels
            sample_rate_hz.to_bytes(4, "little"),
            (2 * sample_rate_hz).to_bytes(4, "little"),  # bytes per second
            (2).to_bytes(2, "little"),  # bytes per sample of all channels
            (16).to_bytes(2, "little"),  # bits per sample
            b"data" + data_bytes.to_bytes(4, "little"),
        )
    )


def _to_s16(samples: Samples) -> NDArray[np.int16]:
    """Nearest 16-bit value; what lies outside [-1, 1] is clipped, never wrapped, and NaN is silence."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.rint(np.clip(finite, -1.0, 1.0) * 32767.0).astype("<i2")


class _Writer(Protocol):
    def write(self, samples: NDArray[np.int16]) -> bytes: ...
    def close(self) -> bytes: ...


class _PcmWriter:
    def __init__(self, header: bytes) -> None:
        self._header = header

    def write(self, samples: NDArray[np.int16]) -> bytes:
        header, self._header = self._header, b""
        return header + samples.tobytes()

    def close(self) -> bytes:
        return b""


class _Sink:
    """A file that can only be appended to: the muxer must not plan on seeking back."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _CodecWriter:
    def __init__(self, codec: Codec, sample_rate_hz: int) -> None:
        self._sink = _Sink()
        self._container = av.open(
            self._sink,
            "w",
            format=codec.muxer,
            container_options={"flush_packets": "1", **codec.muxer_options},
        )
        stream = self._container.add_stream(
            codec.encoder, rate=sample_rate_hz, options=dict(codec.encoder_options), layout="mono"
        )
        assert isinstance(stream, av.AudioStream)
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        self._stream = stream
        self._sample_rate_hz = sample_rate_hz
        self._num_samples = 0

    def write(self, samples: NDArray[np.int16]) -> bytes:
        if samples.size:
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = self._sample_rate_hz
            frame.pts = self._num_samples
            self._num_samples += samples.size
            self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def close(self) -> bytes:
        self._container.start_encoding()  # a container without any sound still has its header
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()
