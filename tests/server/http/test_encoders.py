"""Every format holds the samples it was given, leaves early, and is one valid file."""

from __future__ import annotations

import io
import wave

import av
import numpy as np
import pytest
import soxr

from server.http.encoders import FORMATS, encoder, wav_header

RATE_HZ = 24_000
CONTAINERS = [name for name in FORMATS if name != "pcm"]
LOSSY = {"mp3", "aac", "opus"}


def speechlike(seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Syllables of a gliding harmonic tone: no place of it is like another."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch = 2 * np.pi * (140 * t + 12 * t**2)
    voiced = sum(np.sin(k * pitch) / k for k in range(1, 8))
    return (0.2 * voiced * (0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * t))).astype(np.float32)


def encoded(name: str, samples: np.ndarray, chunk: int = 4_080, in_hz: int = RATE_HZ, out_hz: int = RATE_HZ):
    parts = encoder(name, in_hz, out_hz)
    pieces = [parts.encode(samples[start : start + chunk]) for start in range(0, len(samples), chunk)]
    return b"".join([*pieces, parts.finish()])


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate_hz = container.streams.audio[0].rate
    joined = np.concatenate(frames, axis=-1)[0]
    return (joined / 32768 if joined.dtype == np.int16 else joined).astype(np.float64), rate_hz


def best_alignment(found: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Normalised correlation at the delay where it is largest, and that delay in samples."""
    size = 1 << (len(found) + len(expected)).bit_length()
    products = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)), size)
    delay = int(np.argmax(products))
    overlap = found[delay : delay + len(expected)]
    reference = expected[: len(overlap)]
    return float(overlap @ reference / np.sqrt((overlap @ overlap) * (reference @ reference))), delay


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(("in_hz", "out_hz"), [(24_000, 24_000), (32_000, 24_000), (24_000, 44_100)])
def test_the_file_holds_what_was_said(name, in_hz, out_hz):
    samples = speechlike(rate_hz=in_hz)
    found, rate_hz = decoded(encoded(name, samples, in_hz=in_hz, out_hz=out_hz))
    expected = soxr.resample(samples, in_hz, rate_hz)
    correlation, delay = best_alignment(found, expected)
    assert correlation > (0.98 if name in LOSSY else 0.99999)
    assert delay / rate_hz < 0.06, "the encoder's own delay"
    assert 0 <= (len(found) - len(expected)) / rate_hz < 0.1
    level_db = 20 * np.log10(np.std(found[delay:]) / np.std(expected))
    assert abs(level_db) < 0.6


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_first_170_ms_leave_at_once(name):
    samples = speechlike()[: round(0.17 * RATE_HZ)]
    first = encoder(name, RATE_HZ).encode(samples)
    if name == "pcm":
        assert len(first) == 2 * len(samples)
    else:
        heard, rate_hz = decoded(first)
        assert len(heard) / rate_hz > 0.08, "less than half of it could be played"


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("chunk", [1_000, 7_777, 48_000])
def test_how_the_samples_are_cut_changes_nothing(name, chunk):
    samples = speechlike()
    assert len(encoded(name, samples, chunk)) == len(encoded(name, samples))
    if name not in LOSSY:
        assert encoded(name, samples, chunk) == encoded(name, samples)


@pytest.mark.parametrize("name", ["flac", "wav"])
def test_lossless_formats_keep_every_sample(name):
    samples = speechlike()
    found, rate_hz = decoded(encoded(name, samples))
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(np.rint(found * 32768), np.rint(samples * 32767))


def test_flac_says_that_it_does_not_know_its_length():
    stream_info = encoded("flac", speechlike())[8:42]
    total_samples = int.from_bytes(stream_info[13:18], "big") & (1 << 36) - 1
    assert total_samples == 0
    assert stream_info[18:] == bytes(16), "an MD5 of 0 is none"


def test_python_reads_the_streamed_wav_header():
    samples = speechlike()
    with wave.open(io.BytesIO(encoded("wav", samples))) as opened:
        assert (opened.getnchannels(), opened.getsampwidth(), opened.getframerate()) == (1, 2, RATE_HZ)
        assert len(opened.readframes(opened.getnframes())) == 2 * len(samples)


def test_a_known_length_makes_an_ordinary_wav_file():
    data = wav_header(16_000, num_samples=3) + b"\1\0\2\0\3\0"
    with wave.open(io.BytesIO(data)) as opened:
        assert opened.getnframes() == 3
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


def test_too_loud_is_clipped_and_never_wraps():
    loud = np.array([0.0, 1.0, 1.5, 1e30, np.inf, -1.0, -1.5, -np.inf, np.nan], np.float32)
    found = np.frombuffer(encoder("pcm", RATE_HZ).encode(loud), "<i2")
    top = 32767
    assert found.tolist() == [0, top, top, top, top, -top, -top, -top, 0]


def test_samples_round_to_the_nearest():
    steps = np.array([0.4, 0.6, 1.4, 1.6, -0.4, -0.6], np.float32) / 32767
    found = np.frombuffer(encoder("pcm", RATE_HZ).encode(steps), "<i2")
    assert found.tolist() == [0, 1, 1, 2, 0, -1]


@pytest.mark.parametrize(
    ("name", "asked_hz", "given_hz"),
    [("opus", 44_100, 48_000), ("opus", 24_000, 24_000), ("mp3", 23_000, 24_000), ("wav", 9_999, 9_999)],
)
def test_a_codec_that_lacks_the_rate_takes_the_next_higher(name, asked_hz, given_hz):
    assert encoder(name, RATE_HZ, asked_hz).sample_rate_hz == given_hz


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_speech_without_audio_still_ends(name):
    data = encoded(name, np.zeros(0, np.float32))
    assert data[:4] == {"opus": b"OggS", "flac": b"fLaC", "wav": b"RIFF"}.get(name, b"")
