"""The bytes of a response, as they come, to when which sample could be heard.

PCM and WAV are counted on the way. A codec's packets are decoded once all are here, and their samples dated
to the arrival of the packet's last byte: which is when a decoder could have played them, without one having
to run while other responses are being timed.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

AUDIBLE = 10 ** (-50 / 20)  # of full scale
BYTES_PER_SAMPLE = 2
LONGEST_KNOWN_BYTES = 0x7FFF_0000  # who streams a WAV writes 0 or something near 2³¹ or 2³² as its length


class BadAudio(Exception):
    """The response is not what its format promises."""


@dataclass(frozen=True, slots=True)
class Played:
    """`arrivals`: (time, samples). `first_audible`: the first sample above -50 dBFS, or None."""

    sample_rate_hz: int
    arrivals: tuple[tuple[float, int], ...]
    first_audible: int | None


class Track(Protocol):
    def feed(self, at_s: float, data: bytes) -> None:
        """Bytes that came at that time. Raises BadAudio."""

    @property
    def buffered_s(self) -> float | None:
        """Seconds of audio fed so far; None: not known before the end."""

    def finish(self) -> Played:
        """Call once, after the last byte. Raises BadAudio."""


class PcmTrack:
    """16-bit little-endian samples."""

    def __init__(self, sample_rate_hz: int, channels: int = 1) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._frame_bytes = channels * BYTES_PER_SAMPLE
        self._pending = b""  # less than a frame
        self._arrivals: list[tuple[float, int]] = []
        self._num_samples = 0
        self._first_audible: int | None = None

    def feed(self, at_s: float, data: bytes) -> None:
        data = self._pending + data
        count = len(data) // self._frame_bytes
        whole, self._pending = data[: count * self._frame_bytes], data[count * self._frame_bytes :]
        if not count:
            return
        if self._first_audible is None:
            # To int32, for the least int16 has no absolute value.
            levels = np.abs(np.frombuffer(whole, "<i2").astype(np.int32)).reshape(count, -1).max(axis=1)
            self._first_audible = _first_above(levels / 32768, self._num_samples)
        self._arrivals.append((at_s, count))
        self._num_samples += count

    @property
    def buffered_s(self) -> float | None:
        return self._num_samples / self._sample_rate_hz

    def finish(self) -> Played:
        if self._pending:
            raise BadAudio(f"found {len(self._pending)} bytes after the last whole sample; expected none")
        return Played(self._sample_rate_hz, tuple(self._arrivals), self._first_audible)


class WavTrack:
    """A RIFF header, then PCM. A length of 0 or near the largest means: until the bytes end."""

    def __init__(self) -> None:
        self._header = b""
        self._pcm: PcmTrack | None = None
        self._remaining: int | None = None

    def feed(self, at_s: float, data: bytes) -> None:
        if self._pcm is None:
            self._header += data
            data = self._parse()
        if self._pcm is not None:
            if self._remaining is not None:
                data = data[: self._remaining]
                self._remaining -= len(data)
            self._pcm.feed(at_s, data)

    @property
    def buffered_s(self) -> float | None:
        return 0.0 if self._pcm is None else self._pcm.buffered_s

    def finish(self) -> Played:
        if self._pcm is None:
            raise BadAudio(f"found {len(self._header)} bytes; expected a WAV file with samples")
        if self._remaining:
            raise BadAudio(f"found an end {self._remaining} bytes too early; expected what the header says")
        return self._pcm.finish()

    def _parse(self) -> bytes:
        """The bytes behind the header, once all of it is here."""
        if self._header[:4] != b"RIFF"[: len(self._header)]:
            raise BadAudio(f"found {self._header[:4]!r}; expected RIFF")
        position, layout = 12, None
        while len(self._header) >= position + 8:
            name = self._header[position : position + 4]
            length = int.from_bytes(self._header[position + 4 : position + 8], "little")
            position += 8
            if name == b"data":
                if layout is None:
                    raise BadAudio("found data before fmt; expected fmt first")
                self._pcm = PcmTrack(*layout)
                self._remaining = length if 0 < length < LONGEST_KNOWN_BYTES else None
                return self._header[position:]
            if name == b"fmt " and len(self._header) >= position + 16:
                layout = _wav_layout(self._header[position : position + 16])
            position += length + length % 2
        return b""


class CodecTrack:
    """Whatever FFmpeg demuxes: mp3, Opus in Ogg, AAC in ADTS, FLAC."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends: list[int] = []  # bytes that were here ...
        self._times: list[float] = []  # ... by then

    def feed(self, at_s: float, data: bytes) -> None:
        self._data += data
        self._ends.append(len(self._data))
        self._times.append(at_s)

    @property
    def buffered_s(self) -> float | None:
        return None

    def finish(self) -> Played:
        try:
            return self._decode()
        except (av.FFmpegError, IndexError) as error:
            raise BadAudio(f"found bytes that FFmpeg can't play ({error}); expected audio") from error

    def _decode(self) -> Played:
        with av.open(io.BytesIO(bytes(self._data))) as container:
            stream = container.streams.audio[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            counts: dict[float, int] = {}
            num_samples, first_audible = 0, None
            ends = [*_packet_ends(packets, len(self._data)), len(self._data)]
            for packet, end in zip([*packets, None], ends, strict=True):  # None: what the decoder held back
                at_s = self._times[bisect.bisect_left(self._ends, end)]
                for frame in stream.codec_context.decode(packet):
                    if first_audible is None:
                        first_audible = _first_above(_levels(frame), num_samples)
                    num_samples += frame.samples
                    counts[at_s] = counts.get(at_s, 0) + frame.samples
            return Played(stream.codec_context.sample_rate, tuple(counts.items()), first_audible)


TRACKS: dict[str, Callable[[int], Track]] = {
    "pcm": PcmTrack,
    "wav": lambda _: WavTrack(),
    "mp3": lambda _: CodecTrack(),
    "opus": lambda _: CodecTrack(),
    "aac": lambda _: CodecTrack(),
    "flac": lambda _: CodecTrack(),
}


def _wav_layout(fmt: bytes) -> tuple[int, int]:
    """(sample rate, channels)"""
    tag, channels = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[2:4], "little")
    rate_hz, bits = int.from_bytes(fmt[4:8], "little"), int.from_bytes(fmt[14:16], "little")
    if tag not in (1, 0xFFFE) or bits != 16 or not channels or not rate_hz:
        raise BadAudio(f"found WAV format {tag} of {bits} bits; expected 16-bit PCM")
    return rate_hz, channels


def _packet_ends(packets: Sequence[av.Packet[Any]], num_bytes: int) -> list[int]:
    """Where each packet ends: where the next one begins that doesn't share an Ogg page with it."""
    ends, following = [], num_bytes
    for packet, after in zip(reversed(packets), [None, *reversed(packets[1:])], strict=True):
        if after is not None and after.pos is not None and packet.pos is not None and after.pos > packet.pos:
            following = after.pos
        ends.append(following)
    return ends[::-1]


def _levels(frame: av.AudioFrame) -> NDArray[np.float64]:
    """Per sample, of full scale, the loudest channel."""
    samples = frame.to_ndarray()
    scale = 1.0 if samples.dtype.kind == "f" else 2.0 ** (8 * samples.itemsize - 1)
    by_channel = samples if frame.format.is_planar else samples.reshape(frame.samples, -1).T
    return np.abs(by_channel.astype(np.float64)).max(axis=0) / scale


def _first_above(levels: NDArray[np.float64], offset: int) -> int | None:
    audible = levels > AUDIBLE
    return offset + int(audible.argmax()) if audible.any() else None
