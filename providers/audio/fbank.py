"""Log mel filter banks as Kaldi computes them: frames cut at the edges, no dither, natural logarithm.

What its `compute-fbank-feats` does by default to recordings in [-1, 1], at 16 kHz.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE_HZ = 16_000
WINDOW_LENGTH = 400  # 25 ms
HOP_LENGTH = 160  # 10 ms
FFT_LENGTH = 512
LOWEST_HZ, HIGHEST_HZ = 20.0, 8_000.0
PRE_EMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)  # of the power, so that silence has a logarithm


def log_filter_banks(samples: Tensor, num_mels: int) -> Tensor:
    """Samples float32 [n] at 16 kHz, n ≥ 400 → [frames, num_mels], frames = 1 + (n - 400) // 160."""
    frames = samples.unfold(0, WINDOW_LENGTH, HOP_LENGTH)
    frames = frames - frames.mean(dim=1, keepdim=True)
    previous = F.pad(frames[None], (1, 0), mode="replicate")[0, :, :-1]
    frames = (frames - PRE_EMPHASIS * previous) * _povey_window().to(samples.device)
    power = torch.fft.rfft(frames, n=FFT_LENGTH).abs().square()
    return (power @ _filters(num_mels).to(samples.device)).clamp(min=FLOOR).log()


@lru_cache(maxsize=1)
def _povey_window() -> Tensor:
    """[400]: a symmetric Hann window, made a little wider."""
    return torch.hann_window(WINDOW_LENGTH, periodic=False).pow(0.85)


@lru_cache(maxsize=4)
def _filters(num_mels: int) -> Tensor:
    """Triangles [257, num_mels] between points evenly spaced in mel, drawn over mel and not over hertz."""
    lowest, highest = (float(_mel(torch.tensor(hz, dtype=torch.float64))) for hz in (LOWEST_HZ, HIGHEST_HZ))
    step = (highest - lowest) / (num_mels + 1)
    # In float32 and in torchaudio's order: the rounding is worth 2e-4 in the logarithms of soft bands.
    mels = _mel(torch.arange(FFT_LENGTH // 2) * (SAMPLE_RATE_HZ / FFT_LENGTH))[:, None]
    lower, centre, upper = (lowest + (torch.arange(num_mels) + float(i)) * step for i in range(3))
    rising, falling = (mels - lower) / (centre - lower), (upper - mels) / (upper - centre)
    filters = torch.minimum(rising, falling).clamp(min=0)
    return F.pad(filters, (0, 0, 0, 1))  # Kaldi leaves the highest frequency out


def _mel(frequency_hz: Tensor) -> Tensor:
    return 1127.0 * (1.0 + frequency_hz / 700.0).log()
