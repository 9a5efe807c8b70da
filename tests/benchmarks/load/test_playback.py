"""When which sample of a response could be heard, whatever it is encoded as and however it is cut."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from benchmarks.load.playback import TRACKS, BadAudio, Played
from server.http.encoders import encoder, wav_header

RATE_HZ = 24_000
SILENT_S = 0.5
# What FFmpeg's decoders put before the first sample: encoders' priming, which only files can say to skip.
PRIMING_S = {"mp3": 0.05, "aac": 0.05}


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Two seconds, of which the first half is silent."""
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    samples = (0.3 * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32)
    samples[: round(SILENT_S * RATE_HZ)] = 0
    return samples


def play(format: str, parts: list[bytes]) -> Played:
    """Part n comes at n seconds."""
    track = TRACKS[format](RATE_HZ)
    for at_s, part in enumerate(parts):
        track.feed(float(at_s), part)
    return track.finish()


@pytest.fixture
def encode(speech: np.ndarray):
    """Format → a response in twenty chunks and its end."""

    def encode(format: str) -> list[bytes]:
        encoding = encoder(format, RATE_HZ)
        chunks = [encoding.encode(chunk) for chunk in np.split(speech, 20)]
        return [*chunks, encoding.finish()]

    return encode


@pytest.mark.parametrize("format", TRACKS)
def test_every_format_is_heard_as_it_was_said(encode, format: str):
    played = play(format, encode(format))
    priming_s = PRIMING_S.get(format, 0.0)
    seconds = sum(count for _, count in played.arrivals) / played.sample_rate_hz
    assert 2.0 <= seconds + 1e-9
    assert seconds == pytest.approx(2.0, abs=priming_s + 0.03)
    assert played.first_audible is not None
    assert played.first_audible / played.sample_rate_hz == pytest.approx(SILENT_S + priming_s, abs=0.02)


@pytest.mark.parametrize("format", TRACKS)
def test_no_sample_is_heard_before_its_bytes_came_and_few_long_after(encode, format: str):
    """Each chunk holds 100 ms; what a codec keeps back comes with the next ones."""
    played = play(format, encode(format))
    heard_s = 0.0
    for at_s, count in played.arrivals:
        heard_s += count / played.sample_rate_hz
        assert heard_s <= 0.1 * (at_s + 1) + PRIMING_S.get(format, 0.0) + 1e-9
    by_half = sum(count for at_s, count in played.arrivals if at_s < 10) / played.sample_rate_hz
    assert by_half > 1.0 - 0.15


@pytest.mark.parametrize("format", TRACKS)
def test_how_bytes_are_cut_changes_times_and_nothing_else(encode, format: str):
    whole = b"".join(encode(format))
    at_once = play(format, [whole])
    cut = play(format, [whole[start : start + 7] for start in range(0, len(whole), 7)])
    assert sum(count for _, count in cut.arrivals) == sum(count for _, count in at_once.arrivals)
    assert (cut.first_audible, cut.sample_rate_hz) == (at_once.first_audible, at_once.sample_rate_hz)
    times = [at_s for at_s, _ in cut.arrivals]
    assert times == sorted(times)


def test_the_threshold_is_minus_50_dbfs():
    quiet, loud = np.int16(0.0031 * 32768), np.int16(0.0033 * 32768)
    silent = play("pcm", [np.full(100, -quiet).tobytes()])
    assert silent.first_audible is None
    heard = play(
        "pcm", [np.full(100, quiet).tobytes(), np.array([0, quiet, -loud, loud], np.int16).tobytes()]
    )
    assert heard.first_audible == 102
    assert play("pcm", [np.int16([-32768]).tobytes()]).first_audible == 0


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_FFFF], ids=hex)
def test_a_streamed_wav_lasts_until_its_bytes_end(length: int):
    header = wav_header(RATE_HZ)[:-4] + length.to_bytes(4, "little")
    played = play("wav", [header[:10], header[10:], bytes(200), bytes(300)])
    assert played.arrivals == ((2.0, 100), (3.0, 150))


def test_what_follows_a_wavs_samples_is_none():
    played = play("wav", [wav_header(RATE_HZ, 50) + bytes(100) + b"LIST\x04\0\0\0abcd"])
    assert played.arrivals == ((0.0, 50),)


def test_a_wav_in_stereo_with_a_chunk_before_its_samples():
    file = io.BytesIO()
    soundfile.write(file, np.full((30, 2), 0.5), 8_000, format="WAV", subtype="PCM_16")
    data = file.getvalue()
    played = play("wav", [data[:36] + b"note\x03\0\0\0abc\0" + data[36:]])
    assert (played.sample_rate_hz, played.arrivals) == (8_000, ((0.0, 30),))


@pytest.mark.parametrize(
    ("format", "data", "told"),
    [
        pytest.param("pcm", b"abc", "1 bytes after the last whole sample", id="half-a-sample"),
        pytest.param("wav", b"<html>", "expected RIFF", id="not-wav"),
        pytest.param("wav", wav_header(8_000)[:40], "expected a WAV file with samples", id="header-cut"),
        pytest.param("wav", wav_header(8_000, 100) + bytes(150), "50 bytes too early", id="samples-cut"),
        pytest.param("wav", wav_header(8_000)[:34] + b"\x18\0data\0\0\0\0", "24 bits", id="24-bits"),
        pytest.param("mp3", b"nothing that is music", "expected audio", id="not-mp3"),
        pytest.param("opus", b"", "expected audio", id="empty"),
    ],
)
def test_what_cannot_be_played_is_told(format: str, data: bytes, told: str):
    with pytest.raises(BadAudio, match=told):
        play(format, [data])
