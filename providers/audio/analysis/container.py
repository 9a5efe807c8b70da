"""What a file is, and a wav's samples on their way to the measurements: run by the sandbox.

Only wav is decoded; anything else is named, whatever it is called.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import av
import av.audio.codeccontext
import av.audio.stream
import av.subtitles.codeccontext
import av.subtitles.stream
import av.video.codeccontext
import av.video.stream
import numpy as np
import soundfile

from models_store.uploaded_audio import FFMPEG_FORMATS, MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from providers.audio.analysis.levels import Levels

BLOCK_FRAMES = 1 << 18
MAX_DURATION_S = 4 * 3600.0
MIN_LINEAR_BITS = 16

WAV_FORMATS = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "RF64", "W64": "W64"}
# libsndfile's subtype → codec, bits per sample, whether it's linear.
CODECS = {
    "PCM_U8": ("pcm", 8, True),
    "PCM_S8": ("pcm", 8, True),
    "PCM_16": ("pcm", 16, True),
    "PCM_24": ("pcm", 24, True),
    "PCM_32": ("pcm", 32, True),
    "FLOAT": ("float", 32, True),
    "DOUBLE": ("float", 64, True),
    "ALAW": ("a-law", 8, False),
    "ULAW": ("mu-law", 8, False),
}
# libsndfile's names of what isn't wav; FFmpeg knows the others.
OTHER_FORMATS = {
    "MP3": "an MP3 recording",
    "OGG": "an Ogg recording",
    "FLAC": "a FLAC recording",
    "AIFF": "an AIFF recording",
    "AU": "a Sun/NeXT recording",
    "CAF": "a Core Audio recording",
}
FFMPEG_NAMES = {
    "mp3": "an MP3 recording",
    "aac": "an AAC recording",
    "mov,mp4,m4a,3gp,3g2,mj2": "an MP4 or M4A file",
    "matroska,webm": "a Matroska or WebM file",
    "ogg": "an Ogg recording",
    "flac": "a FLAC recording",
    "asf": "a Windows Media file",
    "amr": "an AMR recording",
    "caf": "a Core Audio recording",
    "aiff": "an AIFF recording",
}
MAGICS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)


@dataclass(frozen=True, slots=True)
class Format:
    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    bit_depth: int
    duration_s: float


class NotWav(Exception):
    """`found` says what the file is."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


def read_wav(
    files: Mapping[str, int], arguments: Mapping[str, Any], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """A sandbox task: descriptor `recording` → its format and levels, and mono float32 in `track`."""
    try:
        with open(files["track"], "wb", closefd=False) as track:
            return _read(files["recording"], track, progress)
    except NotWav as refused:
        return {"not_wav": refused.found}


def _read(descriptor: int, track: Any, progress: Callable[[int, int], None]) -> dict[str, Any]:
    try:
        with soundfile.SoundFile(descriptor, closefd=False) as sound:
            described = _described(sound)
            _check_whole(descriptor, sound.frames)
            levels = Levels(
                sound.samplerate, described.codec == "pcm" and described.bit_depth >= MIN_LINEAR_BITS
            )
            while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise NotWav("a wav with samples that are no numbers (NaN or infinite)")
                levels.feed(block)
                track.write(np.ascontiguousarray(block.mean(axis=1, dtype=np.float32)).tobytes())
                progress(sound.tell(), sound.frames)
    except soundfile.LibsndfileError:
        raise NotWav(_named(descriptor)) from None
    return {
        "format": asdict(described),
        "levels": {
            "peak_dbfs": levels.peak_dbfs,
            "clipping_share": levels.clipping_share,
            "longest_clipping_run": levels.longest_run,
        },
        "moments": [asdict(moment) for moment in levels.moments()],
    }


def _described(sound: soundfile.SoundFile) -> Format:
    if sound.format not in WAV_FORMATS:
        raise NotWav(OTHER_FORMATS.get(sound.format, f"a recording of the format {sound.format}"))
    if sound.subtype not in CODECS:
        raise NotWav(f"a wav that holds compressed audio ({sound.subtype_info})")
    codec, bits, _ = CODECS[sound.subtype]
    if not MIN_SAMPLE_RATE_HZ <= sound.samplerate <= MAX_SAMPLE_RATE_HZ:
        raise NotWav(f"a wav with a sample rate of {sound.samplerate} Hz")
    if sound.channels > MAX_CHANNELS:
        raise NotWav(f"a wav with {sound.channels} channels")
    duration_s = sound.frames / sound.samplerate
    if duration_s > MAX_DURATION_S:
        raise NotWav(f"a wav of {duration_s / 3600:.1f} hours, more than {MAX_DURATION_S / 3600:.0f}")
    return Format(WAV_FORMATS[sound.format], codec, sound.samplerate, sound.channels, bits, duration_s)


def _check_whole(descriptor: int, frames: int) -> None:
    """A header that announces more than the file holds: what is missing can't be guessed."""
    header = os.pread(descriptor, 12, 0)
    if header[:4] != b"RIFF":
        return
    position, size = 12, os.fstat(descriptor).st_size
    while len(chunk := os.pread(descriptor, 8, position)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            # Recorders that were switched off leave 0 or 0xFFFFFFFF, and libsndfile reads to the end.
            if length not in (0, 0xFFFFFFFF) and position + 8 + length > size + 1:
                missing = 1 - (size - position - 8) / length
                raise NotWav(f"a wav that was cut off: {missing:.0%} of its audio is missing")
            return
        position += 8 + length + length % 2


def _named(descriptor: int) -> str:
    start = os.pread(descriptor, 64, 0)
    if not start:
        return "an empty file"
    for magic, name in MAGICS:
        if start.startswith(magic):
            return name
    if (decoded := _named_by_ffmpeg(descriptor)) is not None:
        return decoded
    if start[:4] in (b"RIFF", b"RF64"):
        kind = start[8:12].decode("latin-1")
        return "a damaged wav" if kind == "WAVE" else f"a RIFF file of the kind {json.dumps(kind.strip())}"
    return "text" if _is_text(start) else "a file that no audio decoder knows"


def _named_by_ffmpeg(descriptor: int) -> str | None:
    try:
        with (
            open(descriptor, "rb", closefd=False) as source,
            av.open(source, options={"format_whitelist": FFMPEG_FORMATS}) as opened,
        ):
            if opened.format.name == "wav":
                codec = opened.streams.audio[0].codec_context.name if opened.streams.audio else "no audio"
                return f"a wav that holds compressed audio ({codec})"
            return FFMPEG_NAMES.get(opened.format.name, f"a recording of the format {opened.format.name}")
    except (av.FFmpegError, ValueError):
        return None


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in start)
