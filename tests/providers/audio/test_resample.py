from __future__ import annotations

from math import ceil, gcd

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.audio.resample import _resampling_kernel, resample

PUBLISHED_RATES = [
    (16000, 22050),
    (22050, 16000),
    (48000, 22050),
    (44100, 22050),
    (8000, 24000),
    (32000, 16000),
]


def by_definition(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Every output as the sum over all inputs, in float64."""
    cutoff = 0.99 * min(from_hz, to_hz)
    outputs = np.arange(ceil(len(samples) * to_hz / from_hz))[:, None] / to_hz
    t = cutoff * (np.arange(len(samples)) / from_hz - outputs)
    window = np.where(abs(t) < 6, np.cos(np.pi * t / 12) ** 2, 0)
    return (cutoff / from_hz * np.sinc(t) * window) @ samples.astype(np.float64)


def noise(length: int) -> torch.Tensor:
    return torch.rand(length, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_golden_reference_recording(golden, check_golden, golden_folder):
    recorded, rate = soundfile.read(golden_folder / "audio.wav", dtype="float32")
    at_22050 = resample(torch.from_numpy(recorded), rate, 22050).clamp(-1, 1)
    check_golden("ref_audio_22050", at_22050[None], golden["ref_audio_22050"], 1e-5)
    stored = torch.from_numpy(golden["ref_audio_22050"][0])
    check_golden("ref_audio_16000", resample(stored, 22050, 16000)[None], golden["ref_audio_16000"], 1e-5)


@pytest.mark.parametrize(("from_hz", "to_hz"), PUBLISHED_RATES)
def test_equals_the_definition_at_published_rates(from_hz, to_hz):
    samples = noise(1500)
    expected = by_definition(samples.numpy(), from_hz, to_hz)
    # The kernel's float32 rounding, that of torchaudio, is up to 1e-4.
    np.testing.assert_allclose(resample(samples, from_hz, to_hz), expected, rtol=0, atol=2e-4)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 300))
def test_equals_the_definition_at_any_rates_and_lengths(from_hz, to_hz, length):
    samples = noise(length)
    expected = by_definition(samples.numpy(), from_hz, to_hz)
    ours = resample(samples, from_hz, to_hz)
    if from_hz == to_hz:
        assert torch.equal(ours, samples)
    else:
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44101, 22050), (191999, 16000), (11003, 24000)])
def test_rates_without_a_common_divisor_cost_no_gigabytes(from_hz, to_hz):
    assert gcd(from_hz, to_hz) == 1
    assert _resampling_kernel(from_hz, to_hz).weights.nbytes < 32 * 2**20
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(from_hz) / from_hz)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(to_hz) / to_hz)
    middle = slice(100, -100)
    # The window lets 1 % through at the edges of the passband; far below them only rounding remains.
    torch.testing.assert_close(resample(tone, from_hz, to_hz)[middle], expected[middle], rtol=0, atol=5e-3)


def test_what_the_target_cannot_hold_is_removed():
    above = torch.sin(2 * torch.pi * 10_000 * torch.arange(48_000) / 48_000)
    assert resample(above, 48_000, 16_000)[100:-100].abs().max() < 1e-2


def test_kernels_are_made_once():
    resample(noise(100), 16000, 22050)
    hits = _resampling_kernel.cache_info().hits
    resample(noise(100), 32000, 44100)  # the same ratio
    assert _resampling_kernel.cache_info().hits == hits + 1
