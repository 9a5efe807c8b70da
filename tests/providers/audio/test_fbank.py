from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch

from providers.audio.fbank import FLOOR, log_filter_banks
from providers.audio.resample import resample


def test_golden_of_the_published_samples(gpt_sovits_golden, check_golden):
    samples = torch.from_numpy(gpt_sovits_golden["v2Pro_sv_wav16k_first16000"])
    expected = gpt_sovits_golden["v2Pro_sv_fbank80"][:98]
    check_golden("v2Pro_sv_fbank80 of its samples", log_filter_banks(samples, 80), expected, 1e-5)


def test_golden(gpt_sovits_golden_folder, gpt_sovits_golden, check_golden):
    """Resampling rounds by 2e-7, which is this much in the logarithm of a band that is all but silent."""
    samples, _ = soundfile.read(gpt_sovits_golden_folder / "reference.wav", dtype="float32")
    made = log_filter_banks(resample(torch.from_numpy(samples), 32000, 16000), 80)
    check_golden("v2Pro_sv_fbank80", made, gpt_sovits_golden["v2Pro_sv_fbank80"], 2e-3)


@pytest.mark.parametrize(("length", "frames"), [(400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frames_that_would_pass_the_end_are_left_out(length, frames):
    assert log_filter_banks(torch.ones(length), 80).shape == (frames, 80)


def test_silence_is_the_floor():
    torch.testing.assert_close(log_filter_banks(torch.zeros(800), 80), torch.full((3, 80), math.log(FLOOR)))


def test_twice_as_loud_is_log_4_more():
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=4000).astype(np.float32))
    difference = log_filter_banks(2 * noise, 80) - log_filter_banks(noise, 80)
    torch.testing.assert_close(difference, torch.full_like(difference, math.log(4)), rtol=0, atol=1e-4)
