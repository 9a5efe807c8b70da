from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models_store.errors import MissingBaseModels
from providers.audio.resample import resample
from providers.errors import UnusableVoice
from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.conditioning import GptSovitsConditioner, GptSovitsConditioning, PromptFeatures
from providers.interface import CharacterSpan, Prompt, Recording, ReferenceVoice

READ = {
    "en": Prompt((5, 6, 7), "abc", "en"),
    "zh": Prompt((5, 6), "好", "zh", (CharacterSpan(0, "好", (2,)),)),
}


@pytest.fixture(scope="module")
def conditioner(golden_model, base_models):
    def make(variant="v2", roles=("hubert", "roberta", "eres2netv2")):
        model = golden_model(variant)
        folders = {role: base_models[role] for role in roles}
        encoders = BaseEncoders.read(folders, torch.float32, variant == "v2Pro")
        return GptSovitsConditioner(
            model.architecture,
            model.weights,
            encoders,
            lambda transcript, language: READ[language],
            PromptFeatures(encoders, 1024, zero_if_missing=False),
        )

    return make


def voice(samples, rate=16000, transcript="abc", language="en"):
    return ReferenceVoice((Recording(np.asarray(samples, dtype=np.float32), rate),), language, transcript)


@pytest.mark.parametrize("variant", ["v1", "v2", "v2Pro"])
def test_golden(variant, conditioner, golden_model, golden_voice, gpt_sovits_golden, check_golden):
    """The random speaker network is so ill-conditioned that 2e-7 in its samples are 2e-2 in the style."""
    made = conditioner(variant)(golden_voice)
    tolerance = 5e-2 if variant == "v2Pro" else 1e-4
    name = f"{variant}_prompt_semantic"
    check_golden(f"{name} (conditioning)", made.tokens, gpt_sovits_golden[name], 0)
    for part, made_style, expected in zip(
        ("style", "prior_style"), made.style, golden_model(variant).style, strict=True
    ):
        check_golden(f"{variant} {part} (conditioning)", made_style, expected, tolerance)
    assert made.phones == READ["en"].ids
    assert made.features is None


def test_a_chinese_transcript_has_features(conditioner, golden_voice):
    made = conditioner()(dataclasses.replace(golden_voice, language="zh"))
    assert made.features.shape == (2, 1024)
    assert made.features.any()


def test_the_style_is_the_mean_over_recordings_and_the_first_is_continued(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    other = Recording(recording.samples[::-1].copy() * 0.3, 24000)
    condition = conditioner()
    both = condition(dataclasses.replace(golden_voice, recordings=(recording, other)))
    alone = [condition(dataclasses.replace(golden_voice, recordings=(r,))) for r in (recording, other)]
    mean = (alone[0].style.style + alone[1].style.style) / 2
    torch.testing.assert_close(both.style.style, mean, rtol=0, atol=1e-5)
    assert both.tokens == alone[0].tokens != alone[1].tokens


def test_a_voice_without_a_transcript_has_a_style_only(conditioner, golden_voice):
    made = conditioner(roles=())(dataclasses.replace(golden_voice, transcript=None))
    assert made.phones == made.tokens == ()
    assert torch.equal(made.style.style, conditioner()(golden_voice).style.style)


def test_arrays_and_back(conditioner, golden_voice):
    for language in READ:
        made = conditioner()(dataclasses.replace(golden_voice, language=language))
        arrays = made.to_arrays()
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
        back = GptSovitsConditioning.from_arrays(arrays)
        assert (back.phones, back.tokens) == (made.phones, made.tokens)
        assert torch.equal(back.style.style, made.style.style)
        assert torch.equal(back.style.prior_style, made.style.prior_style)
        assert (back.features is None) == (made.features is None) == (language == "en")
        assert back.features is None or torch.equal(back.features, made.features)
        assert made.size_bytes == back.size_bytes >= made.style.style.nbytes


def test_threads_get_the_same_as_one(conditioner, golden_voice):
    condition = conditioner()
    alone = condition(golden_voice)
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(condition, [golden_voice] * 3):
            assert made.tokens == alone.tokens
            assert torch.equal(made.style.style, alone.style.style)


def test_a_recording_at_another_rate_is_the_same_voice(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    at_48000 = resample(torch.from_numpy(recording.samples), recording.sample_rate_hz, 48000).numpy()
    made = conditioner()(dataclasses.replace(golden_voice, recordings=(Recording(at_48000, 48000),)))
    style, expected = made.style.style, conditioner()(golden_voice).style.style
    assert torch.cosine_similarity(style, expected, dim=0) > 0.99


@pytest.mark.parametrize(
    ("unusable", "message"),
    [
        (ReferenceVoice(()), "without recordings"),
        (voice([]), r"0\.00 s; expected 3 to 10 s"),
        (voice(np.ones(47_000)), r"2\.94 s; expected 3 to 10 s"),
        (voice(np.ones(161_000)), r"10\.06 s; expected 3 to 10 s"),
        (voice(np.zeros(64_000)), "found silence"),
        (voice(np.full(64_000, 1e-4)), "found silence"),
        (voice([0.1] * 64_000 + [np.nan]), "not numbers"),
        (voice([0.1] * 64_000 + [np.inf]), "infinite"),
    ],
)
def test_unusable_voices_are_refused_in_words(conditioner, unusable, message):
    with pytest.raises(UnusableVoice, match=message):
        conditioner()(unusable)


def test_without_a_transcript_any_length_will_do(conditioner):
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    assert conditioner()(voice(noise, transcript=None)).style.style.isfinite().all()


@pytest.mark.parametrize(
    ("variant", "language", "missing"),
    [("v2", "en", "hubert"), ("v2Pro", "en", "eres2netv2"), ("v2", "zh", "roberta")],
)
def test_missing_base_models_are_named(variant, language, missing, conditioner, golden_voice):
    roles = {"hubert", "roberta", "eres2netv2"} - {missing}
    with pytest.raises(MissingBaseModels, match=f"voicecore base pull {missing}"):
        conditioner(variant, roles)(dataclasses.replace(golden_voice, language=language))
