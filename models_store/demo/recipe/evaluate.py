"""How good the demo voices are beside the voices that they learnt from, measured through a running server.

Intelligibility is the character error rate of an independent recogniser (pocketsphinx with the English model
that it comes with) on 60 sentences; quality the P.808 opinion score that DNSMOS predicts (Reddy et al. 2021,
arXiv 2010.15258); durations are compared on 200 sentences; and whose voice it is, is told by the spectrum's
statistics, with references that no part of the training has heard.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import httpx
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models_store.demo.recipe.corpus import SPEAKERS
from models_store.demo.recipe.export import NAMES
from models_store.demo.recipe.sentences import held_out, normalise
from models_store.demo.recipe.synthesiser import Voice
from models_store.demo.recipe.tokens import LogMel, amplitudes

Samples = NDArray[np.float32]

RATE_HZ = 16_000  # of everything that is measured
INTELLIGIBILITY_SENTENCES = 60
IDENTITY_SENTENCES = 20  # per speaker, each with a reference of its own
ENROLMENT_SENTENCES = 40
SEED = 7
CONCURRENCY = 4
SPEECH_DB = -40.0  # below the loudest: softer is silence before and after
LONGEST, SHORTEST = 1.5, 0.6  # of the training voice's duration


@dataclass(frozen=True, slots=True)
class Score:
    """One voice. Shares are in [0, 1]."""

    voice: str
    character_error: float
    opinion_score: float
    duration_ratio: float  # to the training voice's, the median
    longest_ratio: float
    shortest_ratio: float
    ended_well: float  # share of sentences between SHORTEST and LONGEST
    right_speaker: float

    def as_record(self) -> dict[str, object]:
        return asdict(self)


def evaluate(url: str) -> Iterator[Score]:
    """Training voices first, then the demos of the server at `url`."""
    texts = held_out()
    voices = {name: Voice(name) for name in SPEAKERS}
    originals = {name: [_spoken(voice, text) for text in texts] for name, voice in voices.items()}
    speaker_of = SpeakerClassifier(originals)
    for name in SPEAKERS:
        yield _score(f"flite {name}", texts, originals[name], originals[name], _unseen(speaker_of, name))
    with httpx.Client(base_url=url, timeout=600) as client, ThreadPoolExecutor(CONCURRENCY) as threads:
        for name in SPEAKERS:
            demo = NAMES[name]
            made = list(threads.map(partial(speak, client, model=demo), texts))
            with_references = list(_with_references(client, voices[name], texts))
            right = np.mean([speaker_of(samples) == name for samples in with_references])
            yield _score(demo, texts, made, originals[name], float(right))


def speak(client: httpx.Client, text: str, *, model: str, voice: str | None = None) -> Samples:
    body = {"model": model, "input": text, "response_format": "wav", "seed": SEED}
    body |= {} if voice is None else {"voice": voice}
    response = client.post("/v1/audio/speech", json=body)
    response.raise_for_status()
    samples, rate = soundfile.read(io.BytesIO(response.content), dtype="float32")
    resampled: Samples = soxr.resample(samples, rate, RATE_HZ)
    return resampled


def _spoken(voice: Voice, text: str) -> Samples:
    return amplitudes(voice.speak(normalise(text)).samples)


def _unseen(speaker_of: SpeakerClassifier, name: str) -> float:
    """How often the classifier is right about the voice itself, on sentences it hasn't been shown."""
    return float(np.mean([speaker_of(samples) == name for samples in speaker_of.unseen[name]]))


def _with_references(client: httpx.Client, voice: Voice, texts: Sequence[str]) -> Iterator[Samples]:
    """Each sentence by the first demo model, with other sentences of the voice as the reference."""
    model = NAMES[SPEAKERS[0]]
    for i, text in enumerate(texts[:IDENTITY_SENTENCES]):
        spoken, recording = voice.speak(normalise(" ".join(texts[-2 * i - 2 :][:2]))), io.BytesIO()
        soundfile.write(recording, spoken.samples, spoken.sample_rate_hz, format="WAV")
        name = f"judged-{voice.name}-{i}"
        files = {"audio_sample": ("reference.wav", recording.getvalue())}
        client.post("/v1/audio/voices", files=files, data={"name": name}).raise_for_status()
        yield speak(client, text, model=model, voice=name)
        client.delete(f"/v1/audio/voices/{name}").raise_for_status()


def _score(
    voice: str, texts: Sequence[str], made: list[Samples], originals: list[Samples], right_speaker: float
) -> Score:
    judged = slice(INTELLIGIBILITY_SENTENCES)
    lengths = zip(map(speech_length, made), map(speech_length, originals), strict=True)
    ratios = np.array([ours / theirs for ours, theirs in lengths])
    return Score(
        voice=voice,
        character_error=character_error(texts[judged], made[judged]),
        opinion_score=float(np.mean([opinion_score(samples) for samples in made[judged]])),
        duration_ratio=float(np.median(ratios)),
        longest_ratio=float(ratios.max()),
        shortest_ratio=float(ratios.min()),
        ended_well=float(np.mean((ratios >= SHORTEST) & (ratios <= LONGEST))),
        right_speaker=right_speaker,
    )


def speech_length(samples: Samples) -> int:
    """Samples from the first to the last that isn't silence."""
    windows = np.abs(samples[: len(samples) // 160 * 160]).reshape(-1, 160).max(axis=1)
    loud = np.flatnonzero(windows > windows.max(initial=1e-9) * 10 ** (SPEECH_DB / 20))
    return int(160 * (loud[-1] - loud[0] + 1)) if len(loud) else 1


def character_error(texts: Sequence[str], spoken: Sequence[Samples]) -> float:
    """Edits between what was recognised and the texts, per letter of the texts; spaces don't count."""
    edits = letters = 0
    for text, samples in zip(texts, spoken, strict=True):
        expected, heard = _letters(normalise(text)), _letters(recognise(samples))
        edits += edit_distance(expected, heard)
        letters += len(expected)
    return edits / letters


def _letters(text: str) -> str:
    return re.sub(r"[^a-z']", "", text.lower())


def recognise(samples: Samples) -> str:
    from pocketsphinx import Config, Decoder

    # A little silence on both sides: the recogniser expects speech to begin and to end.
    padded = np.pad(samples, RATE_HZ // 5)
    decoder = Decoder(Config(samprate=RATE_HZ, loglevel="FATAL"))
    decoder.start_utt()
    decoder.process_raw((np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return str(hypothesis.hypstr) if hypothesis else ""


def edit_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(previous[j - 1] + (x != y), previous[j] + 1, row[-1] + 1))
    return row[-1]


def opinion_score(samples: Samples) -> float:
    from speechmos import dnsmos

    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    return float(dnsmos.run(samples / peak, RATE_HZ)["p808_mos"])


class SpeakerClassifier:
    """Whose voice it is, by mean and deviation of the log-mel spectrum: the nearest of the enrolled."""

    def __init__(self, recordings: dict[str, list[Samples]]) -> None:
        self._spectrogram = LogMel()
        enrolled = {name: made[-ENROLMENT_SENTENCES:] for name, made in recordings.items()}
        self.unseen = {name: made[:IDENTITY_SENTENCES] for name, made in recordings.items()}
        vectors = {name: np.stack([self._vector(s) for s in made]) for name, made in enrolled.items()}
        within = np.concatenate([v - v.mean(axis=0) for v in vectors.values()])
        self._scale = within.std(axis=0) + 1e-3
        self._centres = {name: v.mean(axis=0) / self._scale for name, v in vectors.items()}

    def __call__(self, samples: Samples) -> str:
        vector = self._vector(samples) / self._scale
        return min(self._centres, key=lambda name: float(np.abs(self._centres[name] - vector).sum()))

    def _vector(self, samples: Samples) -> NDArray[np.float32]:
        frames = self._spectrogram(samples, RATE_HZ)
        speech = frames[frames.mean(axis=1) > frames.mean()]
        speech = speech - speech.mean()  # loudness says nothing of the speaker
        pooled: NDArray[np.float32] = np.concatenate([speech.mean(axis=0), speech.std(axis=0)])
        return pooled


def table(scores: Sequence[Score]) -> str:
    """As Markdown."""
    columns: dict[str, Callable[[Score], str]] = {
        "voice": lambda s: s.voice,
        "character error": lambda s: f"{s.character_error:.3f}",
        "P.808 score": lambda s: f"{s.opinion_score:.2f}",
        "duration ratio (min–max)": lambda s: (
            f"{s.duration_ratio:.2f} ({s.shortest_ratio:.2f}–{s.longest_ratio:.2f})"
        ),
        "ended well": lambda s: f"{s.ended_well:.1%}",
        "right speaker": lambda s: f"{s.right_speaker:.0%}",
    }
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(cell(score) for cell in columns.values()) for score in scores]
    return "\n".join(f"| {line} |" for line in lines)
