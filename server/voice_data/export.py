"""Contributions → a folder that trainers read: segments at their rate, and a list in their form.

    ljspeech          wavs/*.wav at 22.05 kHz, metadata.csv: name|text|text
    gpt-sovits-list   wavs/*.wav at 32 kHz, voice.list: path|speaker|language|text
    xtts              wavs/*.wav at 22.05 kHz, metadata_train.csv and metadata_eval.csv: path|text|speaker

The text is empty unless a recogniser is given: whoever trains writes it down. `manifest.json` says of each
segment where it comes from and what was declared of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models_store.errors import NotFound
from models_store.voice_data.library import Contribution, Recording, VoiceData
from server.voice_data.segments import FRAME_S, plan_segments

Samples = NDArray[np.float32]
Transcribe = Callable[[Samples, int, str | None], str]  # samples, rate in Hz, language

PEAK = 0.97  # resampling may overshoot full scale
EVALUATION_EVERY = 20  # segments: what Coqui's recipes put aside
BLOCK_FRAMES = 1 << 18


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    text: str
    speaker: str
    language: str
    contribution: str
    digest: str  # of the recording that it was cut from
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Format:
    sample_rate_hz: int
    write_lists: Callable[[Path, Sequence[Segment]], None]


@dataclass(frozen=True, slots=True)
class Exported:
    num_segments: int
    duration_s: float


def export(
    library: VoiceData,
    contributions: Sequence[Contribution],
    folder: Path,
    format_name: str,
    transcribe: Transcribe | None = None,
) -> Exported:
    """Write a folder that must be new or empty. Raises FileExistsError, NotFound."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder}: found files in it; expected a new or an empty folder.")
    format = FORMATS[format_name]
    (folder / "wavs").mkdir()
    segments = [
        segment
        for contribution in contributions
        for recording in contribution.recordings
        for segment in _cut(library, contribution, recording, folder, format.sample_rate_hz, transcribe)
    ]
    if not segments:
        raise NotFound("recording", "of three seconds of speech")
    format.write_lists(folder, segments)
    manifest = {
        "format": format_name,
        "sample_rate_hz": format.sample_rate_hz,
        "contributions": [asdict(contribution) for contribution in contributions],
        "segments": [asdict(segment) for segment in segments],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
    return Exported(len(segments), sum(segment.end_s - segment.start_s for segment in segments))


def _cut(
    library: VoiceData,
    contribution: Contribution,
    recording: Recording,
    folder: Path,
    rate_hz: int,
    transcribe: Transcribe | None,
) -> Iterator[Segment]:
    speech = [(start, end) for start, end in library.report(recording)["analysis"]["speech"]]
    with soundfile.SoundFile(library.path(recording)) as sound:
        planned = plan_segments(speech, _levels(sound), recording.duration_s)
        for number, (start_s, end_s) in enumerate(planned):
            sound.seek(round(start_s * sound.samplerate))
            count = round((end_s - start_s) * sound.samplerate)
            samples = sound.read(count, dtype="float32", always_2d=True).mean(axis=1, dtype=np.float32)
            name = f"{contribution.id}-{recording.digest[7:15]}-{number:04d}"
            copy = soxr.resample(samples, sound.samplerate, rate_hz)
            copy *= min(1.0, PEAK / max(float(np.abs(copy).max(initial=0)), 1e-9))
            soundfile.write(folder / "wavs" / f"{name}.wav", copy, rate_hz, "PCM_16")
            language = contribution.language
            text = transcribe(samples, sound.samplerate, language) if transcribe else ""
            yield Segment(
                name=name,
                text=" ".join(text.replace("|", " ").split()),
                speaker=contribution.id,
                language=language or "",
                contribution=contribution.id,
                digest=recording.digest,
                start_s=start_s,
                end_s=end_s,
            )


def _levels(sound: soundfile.SoundFile) -> Samples:
    """Power of each 10 ms of the whole file."""
    hop = round(sound.samplerate * FRAME_S)
    powers = []
    while len(block := sound.read(BLOCK_FRAMES // hop * hop, dtype="float32", always_2d=True)):
        mono = block.mean(axis=1)
        frames = mono[: len(mono) // hop * hop].reshape(-1, hop)
        powers.append(np.square(frames).mean(axis=1))
    return np.concatenate([*powers, np.zeros(0, np.float32)])


def _ljspeech(folder: Path, segments: Sequence[Segment]) -> None:
    lines = [f"{each.name}|{each.text}|{each.text}" for each in segments]
    _write(folder / "metadata.csv", lines)


def _gpt_sovits(folder: Path, segments: Sequence[Segment]) -> None:
    lines = [f"wavs/{each.name}.wav|{each.speaker}|{each.language}|{each.text}" for each in segments]
    _write(folder / "voice.list", lines)


def _xtts(folder: Path, segments: Sequence[Segment]) -> None:
    head = "audio_file|text|speaker_name"
    lines = [f"wavs/{each.name}.wav|{each.text}|{each.speaker}" for each in segments]
    # A single segment is both: the trainer wants neither list to be empty.
    held_out = lines[::EVALUATION_EVERY]
    learnt = [line for i, line in enumerate(lines) if i % EVALUATION_EVERY] or held_out
    _write(folder / "metadata_train.csv", [head, *learnt])
    _write(folder / "metadata_eval.csv", [head, *held_out])


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


FORMATS = {
    "ljspeech": Format(22_050, _ljspeech),
    "gpt-sovits-list": Format(32_000, _gpt_sovits),
    "xtts": Format(22_050, _xtts),
}
