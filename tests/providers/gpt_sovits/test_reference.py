"""From the golden recordings to tokens and styles, stage by stage."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from providers.audio.resample import resample
from providers.gpt_sovits.reference import ReferenceEncoder, at_full_scale, spectrogram

VARIANTS = ("v1", "v2", "v2Pro")


@pytest.fixture
def encoder(golden_model):
    def make(variant):
        model = golden_model(variant)
        return ReferenceEncoder(model.architecture, model.weights)

    return make


def test_golden_spectrogram(gpt_sovits_golden_folder, gpt_sovits_golden, check_golden):
    samples, _ = soundfile.read(gpt_sovits_golden_folder / "reference.wav", dtype="float32")
    made = spectrogram(torch.from_numpy(samples), 2048, 640)
    check_golden("ref_spec", made, gpt_sovits_golden["ref_spec"], 1e-3)


def test_golden_spectrogram_at_another_rate(gpt_sovits_golden_folder, gpt_sovits_golden, check_golden):
    stereo, rate = soundfile.read(gpt_sovits_golden_folder / "reference_44k_stereo.wav", dtype="float32")
    samples = resample(torch.from_numpy(stereo.mean(axis=1)), rate, 32000)
    made = spectrogram(samples, 2048, 640)[:, :24]
    name = "ref2_44k_stereo_spec_first24"
    check_golden(name, made, gpt_sovits_golden[name], 5e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_tokens(variant, encoder, gpt_sovits_golden, check_golden):
    features = torch.from_numpy(gpt_sovits_golden["hubert_last_hidden"])
    name = f"{variant}_prompt_semantic"
    check_golden(name, encoder(variant).tokens(features), gpt_sovits_golden[name], 0)


def test_a_feature_left_over_makes_no_token(encoder, gpt_sovits_golden):
    features = torch.from_numpy(gpt_sovits_golden["hubert_last_hidden"])
    assert len(encoder("v2").tokens(features[:21])) == len(encoder("v2").tokens(features[:20])) == 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_style(variant, encoder, gpt_sovits_golden, check_golden):
    made = encoder(variant).spectrogram_style(torch.from_numpy(gpt_sovits_golden["ref_spec"]))
    name = f"{variant}_ref_enc_out"
    check_golden(name, made, gpt_sovits_golden[name], 1e-4)


def test_golden_style_with_speaker_vector(encoder, gpt_sovits_golden, check_golden):
    reference = encoder("v2Pro")
    magnitudes, vector = (torch.from_numpy(gpt_sovits_golden[n]) for n in ("ref_spec", "v2Pro_sv_emb"))
    style = reference.mean_style([reference.style(magnitudes, vector)])
    expected = gpt_sovits_golden["v2Pro_ge_after_sv_prelu"]
    check_golden("v2Pro_ge_after_sv_prelu", style.style, expected, 2e-3)
    check_golden("v2Pro_ge512", style.prior_style, gpt_sovits_golden["v2Pro_ge512"], 2e-3)


def test_only_what_exceeds_full_scale_is_brought_down():
    for peak, expected in ((0.3, 0.3), (1.0, 1.0), (1.6, 1.0), (5.0, 2.5)):
        assert at_full_scale(torch.tensor([0.1, -peak])).abs().max().item() == pytest.approx(expected)


def test_the_spectrogram_of_a_tone_peaks_at_its_bin():
    time_s = np.arange(32000) / 32000
    tone = torch.from_numpy(np.sin(2 * np.pi * 1000 * time_s).astype(np.float32))
    made = spectrogram(tone, 2048, 640)
    assert made.shape == (1025, 50)
    assert set(made[:, 2:-2].argmax(dim=0).tolist()) == {64}  # 1000 Hz of bins 15.625 Hz wide
