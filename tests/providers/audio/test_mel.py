from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from providers.audio.mel import MelSpectrogram, hz_from_mel, mel_filterbank, mel_from_hz

PLAIN = MelSpectrogram(
    sample_rate_hz=16_000,
    fft_length=512,
    window_length=400,
    hop_length=160,
    num_mels=64,
    max_frequency_hz=8000,
    window="hamming",
)
SLANEY = MelSpectrogram(
    sample_rate_hz=22_050,
    fft_length=2048,
    window_length=1024,
    hop_length=256,
    num_mels=80,
    max_frequency_hz=8000,
    norm="slaney",
)
BOTH = pytest.mark.parametrize("spectrogram", [PLAIN, SLANEY], ids=["plain", "slaney"])


def frequencies_hz(spectrogram):
    return np.arange(spectrogram.fft_length // 2 + 1) * spectrogram.sample_rate_hz / spectrogram.fft_length


def corners_hz(spectrogram):
    """Evenly spaced on the HTK scale."""
    mels = np.linspace(0, 2595 * np.log10(1 + spectrogram.max_frequency_hz / 700), spectrogram.num_mels + 2)
    return 700 * (10 ** (mels / 2595) - 1)


@BOTH
def test_filters_are_triangles_between_their_neighbours(spectrogram):
    filters, corners = mel_filterbank(spectrogram), corners_hz(spectrogram)
    assert filters.shape == (spectrogram.num_mels, spectrogram.fft_length // 2 + 1)
    for row, lower, centre, upper in zip(filters, corners, corners[1:], corners[2:], strict=False):
        height = 2 / (upper - lower) if spectrogram.norm else 1.0
        expected = height * np.interp(frequencies_hz(spectrogram), [lower, centre, upper], [0, 1, 0])
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)


def test_plain_filters_add_up_to_one_between_the_outermost_centres():
    corners = corners_hz(PLAIN)
    inside = (frequencies_hz(PLAIN) >= corners[1]) & (frequencies_hz(PLAIN) <= corners[-2])
    np.testing.assert_allclose(mel_filterbank(PLAIN).sum(axis=0)[inside], 1, rtol=0, atol=1e-12)


def test_slaney_filters_have_equal_areas():
    filters = mel_filterbank(dataclasses.replace(SLANEY, fft_length=2**16))
    areas = filters.sum(axis=1) * SLANEY.sample_rate_hz / 2**16
    np.testing.assert_allclose(areas, 1, rtol=1e-2)


def test_the_scales_are_inverse():
    frequencies = np.array([0.0, 440.0, 1000.0, 8000.0])
    mels = np.array([mel_from_hz(frequency) for frequency in frequencies])
    np.testing.assert_allclose(hz_from_mel(mels), frequencies, atol=1e-9)
    assert mels[2] == pytest.approx(1000, abs=0.1)  # by definition of the mel


@BOTH
def test_a_tone_is_loudest_in_the_filter_around_it(spectrogram):
    centres = corners_hz(spectrogram)[1:-1]
    for index in (20, 40, 60):
        time_s = torch.arange(spectrogram.sample_rate_hz) / spectrogram.sample_rate_hz
        power = spectrogram(torch.sin(2 * torch.pi * centres[index] * time_s))
        assert power.mean(dim=1).argmax() == index


@BOTH
@pytest.mark.parametrize("length", [5000, 5120, 5121])
def test_frames_are_centred(spectrogram, length):
    click = torch.zeros(length)
    click[10 * spectrogram.hop_length] = 1
    power = spectrogram(click)
    assert power.shape == (spectrogram.num_mels, 1 + length // spectrogram.hop_length)
    assert power.sum(dim=0).argmax() == 10
