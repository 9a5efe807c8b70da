"""What the GPT is trained to predict: speech tokens, and the features that its latents must hold.

A token lasts 1,024 samples at 22,050 Hz (a patch, 46 ms), as in the published model. There it is a learnt
code of the spectrogram; here it says which phone is being spoken where the patch ends, which quarter of
it, and which character of the text it comes from, modulo PLACES. Free synthesisers tell all of it. Text
determines it almost surely, so little is left to chance when sampling; and since every token says where
the speech is in the text, the model need not find that out from what it has said so far, can't lose its
place, and knows when it is done. The quarter tells when the phone began: without it, sounds that begin
within a patch are blurred.

Token k tells of patch k + 1, so the latent that predicts token k has been told all about patch k, which the
vocoder makes of it: nothing that was sampled is averaged over in the sound. The last token is the stop token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models_store.demo.recipe.synthesiser import FRAME_S, PHONES, SILENCE, Segment, Spoken

SAMPLE_RATE_HZ = 22_050
PATCH = 1024  # samples
FRAMES = 4  # of the spectrogram per patch
MEL_BINS, FFT = 80, 1024
PLACES = 32  # a character's place in the text is told modulo this; further apart, the time tells
QUARTERS = 4  # of a phone
NUM_STATES = QUARTERS * len(PHONES)
NUM_TOKENS = PLACES * NUM_STATES
COMPONENTS = 64  # of a patch's spectrogram; 98 % of its variance
FEATURES = COMPONENTS + 2 * FRAMES + 2
LEAD_S, TAIL_S = 0.046, 0.12  # silence kept: little at the start, so that speech is heard at once
MAX_PATCHES = 560


@dataclass(frozen=True, slots=True)
class Patches:
    """An utterance as the shards hold it; n patches."""

    samples: NDArray[np.int16]  # trimmed, at the synthesiser's rate
    log_mel: NDArray[np.float16]  # [FRAMES · n, MEL_BINS]
    pitch_hz: NDArray[np.float16]  # [FRAMES · n]; 0 where there is none
    tokens: NDArray[np.int16]  # [n]: PLACES · (QUARTERS · phone + quarter) + place, at each patch's end
    next_phones: NDArray[np.int16]  # [n]: the phone after that
    chars: NDArray[np.int16]  # [n]: the character of the text that this comes from, about


def patches(text: str, spoken: Spoken, spectrogram: LogMel) -> Patches | None:
    """None for what isn't usable: no speech, or too long."""
    if len(spoken.segments) < 3 or spoken.segments[0].phone != SILENCE:
        return None
    start_s, end_s = _trimmed(spoken.segments)
    rate = spoken.sample_rate_hz
    samples = spoken.samples[int(start_s * rate) : int(end_s * rate)]
    log_mel = spectrogram(amplitudes(samples), rate)
    n = len(log_mel) // FRAMES
    if n > MAX_PATCHES:
        return None
    centres_s = start_s + (np.arange(FRAMES * n) + 0.5) * PATCH / FRAMES / SAMPLE_RATE_HZ
    nearest = np.clip(np.round(centres_s / FRAME_S).astype(int), 0, len(spoken.pitch_hz) - 1)
    at, quarters = _at_ends(spoken.segments, start_s, n)
    phones, chars = _phones(spoken.segments), _chars(text, spoken.segments)
    return Patches(
        samples=samples,
        log_mel=log_mel.astype(np.float16),
        pitch_hz=spoken.pitch_hz[nearest].astype(np.float16),
        tokens=(PLACES * (QUARTERS * phones[at] + quarters) + chars[at] % PLACES).astype(np.int16),
        next_phones=phones[np.minimum(at + 1, len(phones) - 1)],
        chars=chars[at],
    )


def amplitudes(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """In [-1, 1)."""
    return np.divide(samples, 32768, dtype=np.float32)


def _trimmed(segments: list[Segment]) -> tuple[float, float]:
    last_spoken = segments[-2] if segments[-1].phone == SILENCE else segments[-1]
    return max(0.0, segments[0].end_s - LEAD_S), min(segments[-1].end_s, last_spoken.end_s + TAIL_S)


def _at_ends(segments: list[Segment], start_s: float, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The segment at every patch's end, and the quarter of it."""
    ends = np.array([segment.end_s for segment in segments])
    starts = np.concatenate([[0.0], ends[:-1]])
    times = np.minimum(start_s + (np.arange(n) + 1) * PATCH / SAMPLE_RATE_HZ, ends[-1] - 1e-4)
    at = np.clip(np.searchsorted(ends, times, side="right"), 0, len(ends) - 1)
    passed = (times - starts[at]) / np.maximum(ends[at] - starts[at], 1e-3)
    return at, np.clip(QUARTERS * passed, 0, QUARTERS - 1).astype(np.int64)


def _phones(segments: list[Segment]) -> NDArray[np.int16]:
    return np.array([PHONES.index(segment.phone) for segment in segments], np.int16)


def _chars(text: str, segments: list[Segment]) -> NDArray[np.int16]:
    """Per segment: where in its word it is, in letters; for silence, the character before the next word."""
    words = [(word.start(), word.start() + _spoken_length(word[0])) for word in re.finditer(r"\S+", text)]
    chars = np.zeros(len(segments), np.int16)
    for token, group in groupby(range(len(segments)), key=lambda i: segments[i].token):
        members = list(group)
        if token < 0:
            at = chars[members[0] - 1] + 1 if members[0] else 0
            chars[members] = min(at, len(text) - 1)
        else:
            start, stop = words[token]
            places = (np.arange(len(members)) + 0.5) / len(members) * (stop - start) - 0.5
            chars[members] = np.round(start + places)
    return chars


def _spoken_length(word: str) -> int:
    return max(1, len(word.rstrip(".,?!;:")))


class LogMel:
    """Samples → log-mel frames that lie centred in quarters of patches."""

    def __init__(self) -> None:
        self._window = torch.hann_window(FFT)
        self._filters = mel_filters(SAMPLE_RATE_HZ, FFT, MEL_BINS, 8000.0, unit_area=True)

    def __call__(self, samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
        """[n] in [-1, 1] → [frames, MEL_BINS], a multiple of FRAMES"""
        import soxr

        x = torch.from_numpy(soxr.resample(samples, sample_rate_hz, SAMPLE_RATE_HZ, quality="MQ"))
        x = torch.nn.functional.pad(x, (0, -len(x) % PATCH))
        hop = PATCH // FRAMES
        margin = (FFT - hop) // 2
        x = torch.nn.functional.pad(x[None], (margin, margin), mode="reflect")[0]
        spectrum = torch.stft(x, FFT, hop, FFT, self._window, center=False, return_complex=True).abs()
        log_mel: NDArray[np.float32] = (self._filters @ spectrum).clamp(min=1e-5).log().T.numpy()
        return log_mel


def mel_filters(rate_hz: int, fft: int, bins: int, max_hz: float, *, unit_area: bool = False) -> torch.Tensor:
    """[bins, fft/2 + 1]: triangles, even on the HTK mel scale; of height 1 or of area 1 Hz·2."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + max_hz / 700), bins + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    frequencies = np.linspace(0, rate_hz / 2, fft // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if unit_area:
        filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return torch.tensor(filters, dtype=torch.float32)


@dataclass(frozen=True, slots=True)
class Projection:
    """A patch's frames → its principal components, partly whitened: the small ones count, but less."""

    mean: NDArray[np.float32]  # [FRAMES · MEL_BINS]
    axes: NDArray[np.float32]  # [COMPONENTS, FRAMES · MEL_BINS]
    scales: NDArray[np.float32]  # [COMPONENTS]

    @staticmethod
    def fit(log_mels: NDArray[np.float32]) -> Projection:
        """[patches, FRAMES · MEL_BINS], some tens of thousands."""
        mean = log_mels.mean(0)
        _, singular, axes = np.linalg.svd(log_mels - mean, full_matrices=False)
        deviations = singular[:COMPONENTS] / np.sqrt(len(log_mels))
        return Projection(mean, axes[:COMPONENTS], np.sqrt(deviations * deviations[8]))

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, axes=self.axes, scales=self.scales)

    @staticmethod
    def load(path: Path) -> Projection:
        arrays = np.load(path)
        return Projection(arrays["mean"], arrays["axes"], arrays["scales"])

    def features(
        self, log_mel: NDArray[np.float16], pitch_hz: NDArray[np.float16], lengths: NDArray[np.int32]
    ) -> NDArray[np.float16]:
        """Frames of utterances one after the other → [patches, FEATURES].

        Components, pitch (in thirds of an octave or so about 140 Hz), whether there is any, and a clock: the
        latents are interpolated between patches, and the vocoder must know where in a patch it is.
        """
        flat = log_mel.reshape(-1, FRAMES * MEL_BINS).astype(np.float32)
        components = (flat - self.mean) @ self.axes.T / self.scales
        pitch = pitch_hz.reshape(-1, FRAMES).astype(np.float32)
        voiced = (pitch > 0).astype(np.float32)
        relative = np.where(pitch > 0, 3 * np.log(np.maximum(pitch, 1) / 140), 0)
        turn = np.concatenate([np.arange(n) for n in lengths]) * (np.pi / 2)
        clock = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        return np.concatenate([components, relative, voiced, clock], axis=1).astype(np.float16)
