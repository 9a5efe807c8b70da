"""Band-limited resampling by a windowed sinc: what torchaudio calls `sinc_interp_hann`.

y[n] = Σ_k x[k] · h(k / from_hz - n / to_hz)
h(t) = cutoff / from_hz · sinc(cutoff·t) · cos²(π·cutoff·t / 12)   for |cutoff·t| < 6, else 0
cutoff = 0.99 · min(from_hz, to_hz)
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd, pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ZERO_CROSSINGS = 6  # of the sinc on either side
ROLLOFF = 0.99


def resample(samples: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Samples float32 [n] at `from_hz` → [ceil(n · to_hz / from_hz)] at `to_hz`."""
    if from_hz == to_hz:
        return samples
    divisor = gcd(from_hz, to_hz)
    kernel = _resampling_kernel(from_hz // divisor, to_hz // divisor)
    weights = kernel.weights.to(samples.device)  # [groups, taps, phases]
    num_outputs = ceil(samples.shape[0] * to_hz / from_hz)
    periods = ceil(num_outputs / kernel.to_rate)
    inputs_read = (periods - 1) * kernel.from_rate + kernel.first[-1] + weights.shape[1]
    padded = F.pad(samples, (kernel.width, max(inputs_read - kernel.width - samples.shape[0], 0)))
    outputs = [
        padded[first:].unfold(0, weights.shape[1], kernel.from_rate)[:periods] @ group
        for first, group in zip(kernel.first, weights, strict=True)
    ]  # each [periods, phases]
    return torch.cat(outputs, dim=1)[:, : kernel.to_rate].flatten()[:num_outputs]


class _Kernel(NamedTuple):
    from_rate: int  # input samples per period
    to_rate: int  # output samples per period
    width: int  # input samples on either side that an output sees
    first: list[int]  # input sample, counted from the padding's start, that each group of outputs reads from
    weights: Tensor  # [groups, taps, phases]


@lru_cache(maxsize=8)
def _resampling_kernel(from_rate: int, to_rate: int) -> _Kernel:
    """A filter per output of a period, for rates without a common divisor.

    Neighbouring outputs are grouped to read one stretch of input, about twice as long as a single one needs:
    a kernel over the whole period would take gigabytes where the rates have no divisor in common.
    """
    cutoff = ROLLOFF * min(from_rate, to_rate)
    width = ceil(ZERO_CROSSINGS * from_rate / cutoff)
    phases = min(max(2 * width * to_rate // from_rate, 1), to_rate)
    groups = ceil(to_rate / phases)
    outputs = torch.arange(groups * phases).view(groups, 1, phases)
    nearest = outputs * from_rate // to_rate  # the last input sample that is not later
    first = nearest[:, :, :1] - width
    taps = int((nearest[:, :, -1:] - first).max()) + width + 2
    inputs = first + torch.arange(taps)[:, None]  # [groups, taps, 1]
    # In float32 and in torchaudio's order: the 1e-5 of rounding that its kernels carry is 5e-3 in log-mels.
    t = (-outputs.float() / to_rate + inputs.float() / from_rate) * cutoff
    t = t.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(t * pi / ZERO_CROSSINGS / 2).square()
    t *= pi
    sinc = torch.where(t == 0, torch.ones(()), t.sin() / t)
    weights = sinc * (window * (cutoff / from_rate))
    return _Kernel(from_rate, to_rate, width, (first.flatten() + width).tolist(), weights)
