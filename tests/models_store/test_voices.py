"""What was recorded, in any container, becomes mono float32 wav; what is no good is told."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from models_store.recordings import read_recording, wav_bytes
from models_store.uploaded_audio import Findings, check_recording
from models_store.voices import convert_recording

RATE_HZ = 24_000


def encode(path: Path, speech: np.ndarray, codec: str | None, channels: int = 2) -> Path:
    """`codec` None: libsndfile writes it by its suffix, else FFmpeg."""
    planes = np.tile(speech, (channels, 1))
    if codec is None:
        soundfile.write(path, planes.T, RATE_HZ)
        return path
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout=layout)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format.name, layout, RATE_HZ)
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "similar"),
    [
        pytest.param("wav", None, 0.9999, id="wav"),
        pytest.param("flac", None, 0.9999, id="flac"),
        pytest.param("aiff", None, 0.9999, id="aiff"),
        pytest.param("mp3", None, 0.99, id="mp3"),
        pytest.param("ogg", None, 0.99, id="vorbis"),
        pytest.param("opus", "libopus", 0.99, id="opus"),
        pytest.param("m4a", "aac", 0.99, id="aac-in-mp4"),
        pytest.param("aac", "aac", 0.99, id="aac"),
        pytest.param("webm", "libopus", 0.99, id="opus-in-webm"),
        pytest.param("caf", "alac", 0.9999, id="alac"),
    ],
)
def test_common_containers_are_read(
    tmp_path: Path, speech: np.ndarray, suffix: str, codec: str | None, similar: float
):
    source = encode(tmp_path / f"speech.{suffix}", speech, codec)
    source = source.rename(tmp_path / "upload.bin")  # the content counts, not the name
    target = tmp_path / "kept"
    converted = convert_recording(source, target, "speech")
    assert converted.problems == ()
    assert converted.warnings == ()
    samples, rate_hz = read_recording(target)
    assert converted.duration_s == pytest.approx(len(samples) / rate_hz)
    assert converted.duration_s == pytest.approx(2.0, abs=0.1)
    assert samples.dtype == np.float32
    assert rate_hz == RATE_HZ or suffix in ("opus", "webm")
    assert spectrum_similarity(samples, rate_hz, speech) > similar


def spectrum_similarity(samples: np.ndarray, rate_hz: int, speech: np.ndarray) -> float:
    """Cosine of the magnitude spectra up to 2 kHz, which neither delay nor sample rate changes."""
    bins = 2 * 2000  # 0.5 Hz each
    one = np.abs(np.fft.rfft(samples, 2 * rate_hz))[:bins]
    two = np.abs(np.fft.rfft(speech, 2 * RATE_HZ))[:bins]
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def test_channels_are_averaged(tmp_path: Path, speech: np.ndarray):
    source = tmp_path / "stereo.wav"
    soundfile.write(source, np.stack([speech, np.zeros_like(speech)], 1), RATE_HZ, subtype="FLOAT")
    convert_recording(source, tmp_path / "kept", "stereo.wav")
    samples, _ = read_recording(tmp_path / "kept")
    np.testing.assert_allclose(samples, speech / 2, atol=1e-7)


def test_the_same_samples_are_the_same_bytes(speech: np.ndarray, tmp_path: Path):
    first, second = wav_bytes(speech, RATE_HZ), wav_bytes(speech.copy(), RATE_HZ)
    assert first == second
    (tmp_path / "kept").write_bytes(first)
    samples, rate_hz = read_recording(tmp_path / "kept")
    np.testing.assert_array_equal(samples, speech)
    assert rate_hz == RATE_HZ
    info = soundfile.info(tmp_path / "kept")
    assert (info.format, info.subtype, info.channels) == ("WAV", "FLOAT", 1)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        pytest.param("speech.wav", b"", "no audio decoder knows", id="empty"),
        pytest.param("speech.wav", b"RIFF" + bytes(100), "no audio decoder knows", id="half-a-header"),
        pytest.param("notes.txt", b"hello", "no audio decoder knows", id="text"),
        pytest.param("speech.wav", np.random.default_rng(3).bytes(5000), "no audio decoder", id="noise"),
        pytest.param(
            "list.m3u8",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
            "no audio decoder knows",
            id="playlist",
        ),
        pytest.param("list.txt", b"ffconcat version 1.0\nfile speech.wav\n", "no audio", id="concatenation"),
    ],
)
def test_what_is_no_audio_is_refused(tmp_path: Path, recording: Path, name: str, content: bytes, found: str):
    source = tmp_path / "upload"
    source.write_bytes(content)
    converted = convert_recording(source, tmp_path / "kept", name)
    (problem,) = converted.problems
    assert problem.code == "BadReference"
    assert problem.file == name
    assert found in problem.found
    assert str(tmp_path) not in str(problem)  # nothing of this machine in a stranger's report
    assert (tmp_path / "kept").read_bytes() == b""


def test_a_picture_has_no_audio(tmp_path: Path):
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    (problem,) = convert_recording(tmp_path / "film.mp4", tmp_path / "kept", "film.mp4").problems
    assert problem.found == "a file without an audio stream"


def wav_header(rate_hz: int, channels: int) -> bytes:
    """16-bit wav of nothing."""
    sizes = (16).to_bytes(4, "little") + (1).to_bytes(2, "little") + channels.to_bytes(2, "little")
    rates = rate_hz.to_bytes(4, "little") + (rate_hz * channels * 2).to_bytes(4, "little")
    block = (channels * 2).to_bytes(2, "little") + (16).to_bytes(2, "little")
    body = b"WAVEfmt " + sizes + rates + block + b"data" + bytes(4)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    ("rate_hz", "channels", "found"),
    [
        pytest.param(4_000, 1, "a sample rate of 4000 Hz", id="low-rate"),
        pytest.param(768_000, 1, "a sample rate of 768000 Hz", id="high-rate"),
        pytest.param(24_000, 500, "500 channels", id="channels"),
    ],
)
def test_headers_that_ask_for_the_absurd_are_refused(tmp_path: Path, rate_hz: int, channels: int, found: str):
    (tmp_path / "upload").write_bytes(wav_header(rate_hz, channels))
    (problem,) = convert_recording(tmp_path / "upload", tmp_path / "kept", "a.wav").problems
    assert problem.found == found


# Judging


def findings(samples: np.ndarray) -> Findings:
    return check_recording(samples.astype(np.float32), RATE_HZ, "a.wav")


def test_good_speech_has_no_findings(speech: np.ndarray):
    assert findings(speech) == Findings((), ())


def with_nan(speech: np.ndarray) -> np.ndarray:
    damaged = speech.copy()
    damaged[1234] = np.nan
    return damaged


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        pytest.param(lambda speech: speech[:23_000], "0.96 s of audio", id="short"),
        pytest.param(lambda speech: speech[:0], "0.00 s of audio", id="empty"),
        pytest.param(lambda speech: np.tile(speech, 301), "more than 600 s of audio", id="long"),
        pytest.param(lambda speech: speech * 0.005, "silence (peak 0.00150 of full scale)", id="silent"),
        pytest.param(with_nan, "samples that are NaN or infinite", id="nan"),
    ],
)
def test_what_is_wrong_is_told(speech: np.ndarray, spoil, found: str):
    problems, warnings = findings(spoil(speech))
    assert [problem.found for problem in problems] == [found]
    assert problems[0].remedy
    assert warnings == ()


def test_everything_wrong_is_told_at_once():
    problems, _ = findings(np.zeros(10))
    assert len(problems) == 2


def test_clipping_is_a_warning(speech: np.ndarray):
    problems, warnings = findings(np.clip(speech * 20, -1, 1))
    assert problems == ()
    assert "full scale (clipping)" in warnings[0].found


def test_single_full_scale_peaks_are_no_clipping(speech: np.ndarray):
    assert findings(speech / np.abs(speech).max()).warnings == ()
