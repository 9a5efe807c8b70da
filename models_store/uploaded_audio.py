"""A recording that was uploaded: decoded from any common container, checked, written as we keep it.

The decoders (libsndfile, then FFmpeg's through PyAV) parse bytes that strangers sent, so `convert` is made
to be run by the sandbox: it is given open descriptors, and everything it needs is imported here.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import av

# PyAV would import these when it opens a file, which the sandbox forbids.
import av.audio.codeccontext
import av.audio.stream
import av.subtitles.codeccontext
import av.subtitles.stream
import av.video.codeccontext
import av.video.stream
import numpy as np
import soundfile

from models_store.errors import Problem, SubmissionError
from models_store.recordings import Samples, wav_bytes
from models_store.report import RecordingLength

LONGEST = RecordingLength()  # nothing beyond it is decoded
MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 32
SILENCE_PEAK = 10 ** (-50 / 20)  # -50 dBFS: below it even a whisper would be lost in 8-bit noise
# Full-scale samples are normal at single peaks; more than one in a thousand is a flattened waveform.
CLIPPED_LEVEL = 0.999
CLIPPED_SHARE = 1e-3

BLOCK_FRAMES = 65_536
# FFmpeg's playlist demuxers open other files and addresses that the upload names. These don't.
FFMPEG_FORMATS = "mov,matroska,aac,mp3,ogg,wav,flac,aiff,amr,caf,asf,au,w64"


class Findings(NamedTuple):
    problems: tuple[Problem, ...]  # reasons to refuse the recording
    warnings: tuple[Problem, ...]  # reasons to replace it


def convert(files: Mapping[str, int], arguments: Mapping[str, Any], progress: object) -> dict[str, Any]:
    """A sandbox task: read descriptor `recording`, check it, write descriptor `wav` unless it's refused."""
    file, length = arguments["file"], RecordingLength(**arguments["length"])
    try:
        with open(files["recording"], "rb", closefd=False) as source:
            samples, sample_rate_hz = decode_recording(source, file)
    except SubmissionError as error:
        return _converted(0.0, Findings(error.problems, ()))
    findings = check_recording(samples, sample_rate_hz, file, length)
    if not findings.problems:
        with open(files["wav"], "wb", closefd=False) as target:
            target.write(wav_bytes(samples, sample_rate_hz))
    return _converted(len(samples) / sample_rate_hz, findings)


def _converted(duration_s: float, findings: Findings) -> dict[str, Any]:
    return {
        "duration_s": duration_s,
        "problems": [asdict(problem) for problem in findings.problems],
        "warnings": [asdict(warning) for warning in findings.warnings],
    }


def decode_recording(source: io.BufferedReader, file: str) -> tuple[Samples, int]:
    """Samples [n] float32, the mean of all channels at full scale 1, and their sample rate in Hz.

    Reading stops a little beyond `LONGEST`; `check_recording` then says so. `file` is the name to
    put into problems. Raises SubmissionError (BadReference).
    """
    try:
        return _read_with_libsndfile(source, file)
    except soundfile.LibsndfileError:
        source.seek(0)
        return _read_with_ffmpeg(source, file)


def check_recording(
    samples: Samples, sample_rate_hz: int, file: str, length: RecordingLength = LONGEST
) -> Findings:
    """What is wrong with a recording [n] as a voice reference: all of it, not only the first."""
    duration_s = len(samples) / sample_rate_hz
    problems = []
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        problems.append(_unusual_rate(sample_rate_hz, file))
    if duration_s < length.min_s:
        problems.append(
            _problem(
                file,
                f"{duration_s:.2f} s of audio",
                f"at least {length.min_s:g} s",
                f"Record a few sentences; {length.best} work best.",
            )
        )
    if duration_s > length.max_s:
        found_s = f"{duration_s:.2f}" if duration_s <= LONGEST.max_s else f"more than {LONGEST.max_s:g}"
        problems.append(
            _problem(
                file,
                f"{found_s} s of audio",
                f"at most {length.max_s:g} s",
                f"Cut out {length.best} of clear speech.",
            )
        )
    if not np.isfinite(samples).all():
        problems.append(
            _problem(
                file, "samples that are NaN or infinite", "finite samples", "Export the recording again."
            )
        )
    elif len(samples) and (peak := float(np.abs(samples).max())) < SILENCE_PEAK:
        problems.append(
            _problem(
                file,
                f"silence (peak {peak:.5f} of full scale)",
                f"speech with a peak of at least {SILENCE_PEAK:.3f}",
                "Check that the right channel was recorded and exported, or raise its level.",
            )
        )
    return Findings(tuple(problems), tuple(_clipping(samples, file)))


def _read_with_libsndfile(source: io.BufferedReader, file: str) -> tuple[Samples, int]:
    # A descriptor instead of a path: the suffix must not decide how the content is read.
    with soundfile.SoundFile(source.fileno(), closefd=False) as sound:
        _check_layout(sound.samplerate, sound.channels, file)
        return _collect(_libsndfile_blocks(sound), sound.samplerate), sound.samplerate


def _libsndfile_blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block.T


def _read_with_ffmpeg(source: io.BufferedReader, file: str) -> tuple[Samples, int]:
    try:
        with av.open(source, options={"format_whitelist": FFMPEG_FORMATS}) as opened:
            if not opened.streams.audio:
                raise SubmissionError([_not_audio(file, "a file without an audio stream")])
            stream = opened.streams.audio[0]
            stream.codec_context.thread_count = 1  # the sandbox allows no more threads
            _check_layout(stream.rate, stream.channels, file)
            return _collect(_ffmpeg_blocks(opened, stream), stream.rate), stream.rate
    except (av.FFmpegError, ValueError) as error:
        raise SubmissionError([_not_audio(file, "a file that no audio decoder knows")]) from error


def _ffmpeg_blocks(opened: av.container.InputContainer, stream: av.AudioStream) -> Iterator[Samples]:
    as_planar_float = av.AudioResampler(format="fltp")
    for frame in opened.decode(stream):
        for converted in as_planar_float.resample(frame):
            yield converted.to_ndarray().astype(np.float32, copy=False)


def _collect(blocks: Iterable[Samples], sample_rate_hz: int) -> Samples:
    """Blocks [channels, n] to mono [n], up to one block beyond the longest duration."""
    mono: list[Samples] = []
    frames = 0
    for block in blocks:
        mono.append(block.mean(axis=0, dtype=np.float32))
        frames += block.shape[-1]
        if frames > LONGEST.max_s * sample_rate_hz:
            break
    return np.concatenate(mono) if mono else np.zeros(0, np.float32)


def _check_layout(sample_rate_hz: int, channels: int, file: str) -> None:
    """Refuse before decoding what a header could use to make us allocate gigabytes."""
    if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise SubmissionError([_unusual_rate(sample_rate_hz, file)])
    if channels > MAX_CHANNELS:
        expected = f"at most {MAX_CHANNELS}, better one"
        raise SubmissionError([_problem(file, f"{channels} channels", expected, "Export it as mono.")])


def _clipping(samples: Samples, file: str) -> Iterator[Problem]:
    if not len(samples):
        return
    share = float(np.mean(np.abs(samples) >= CLIPPED_LEVEL))
    if share > CLIPPED_SHARE:
        yield _problem(
            file,
            f"{share:.1%} of the samples at full scale (clipping)",
            f"at most {CLIPPED_SHARE:.1%}",
            "The voice will carry this distortion; record again at a lower level.",
        )


def _unusual_rate(sample_rate_hz: int, file: str) -> Problem:
    expected = f"{MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
    return _problem(file, f"a sample rate of {sample_rate_hz} Hz", expected, "Export it at 24 or 48 kHz.")


def _not_audio(file: str, found: str) -> Problem:
    return _problem(
        file,
        found,
        "wav, flac, mp3, ogg, m4a or another common audio file",
        "Export the recording again, best as wav.",
    )


def _problem(file: str, found: str, expected: str, remedy: str) -> Problem:
    return Problem("BadReference", file, found, expected, remedy)
