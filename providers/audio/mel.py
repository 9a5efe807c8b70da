"""Mel spectrograms: power, centred frames, HTK mel scale, with or without Slaney's area normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MelSpectrogram:
    sample_rate_hz: int
    fft_length: int
    window_length: int  # centred in the FFT
    hop_length: int
    num_mels: int
    max_frequency_hz: float
    window: Literal["hann", "hamming"] = "hann"  # periodic
    norm: Literal["slaney"] | None = None  # filters of equal area instead of equal height

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [n] → power float32 [num_mels, 1 + n // hop_length]. n must exceed fft_length / 2."""
        window = _window(self.window, self.window_length).to(samples.device)
        spectrum = torch.stft(
            samples,
            n_fft=self.fft_length,
            hop_length=self.hop_length,
            win_length=self.window_length,
            window=window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )  # [fft_length / 2 + 1, frames]
        return _filterbank(self).to(samples.device) @ spectrum.abs().square()


def mel_filterbank(spectrogram: MelSpectrogram) -> NDArray[np.float64]:
    """Triangular filters [num_mels, fft_length / 2 + 1], evenly spaced in mel from 0 to max_frequency_hz."""
    frequencies = np.linspace(0, spectrogram.sample_rate_hz / 2, spectrogram.fft_length // 2 + 1)
    corners = hz_from_mel(np.linspace(0, mel_from_hz(spectrogram.max_frequency_hz), spectrogram.num_mels + 2))
    lower, centre, upper = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    filters = np.minimum(rising, falling).clip(min=0)
    if spectrogram.norm == "slaney":
        filters = filters * 2 / (upper - lower)
    return filters


def mel_from_hz(frequency_hz: float) -> float:
    return float(2595 * np.log10(1 + frequency_hz / 700))


def hz_from_mel(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)


@lru_cache(maxsize=8)
def _filterbank(spectrogram: MelSpectrogram) -> Tensor:
    return torch.from_numpy(mel_filterbank(spectrogram).astype(np.float32))


@lru_cache(maxsize=8)
def _window(kind: str, length: int) -> Tensor:
    return {"hann": torch.hann_window, "hamming": torch.hamming_window}[kind](length)
