from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from providers.audio.resample import resample
from providers.errors import UnusableVoice
from providers.interface import Recording, ReferenceVoice
from providers.xtts.conditioning import XttsConditioner, XttsConditioning, conditioning_weights

LOG_MEL_TOLERANCE = 1e-4
LATENT_TOLERANCE = 1e-3
EMBEDDING_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def conditioner(golden_config, golden_weights):
    """Makes one for a config that differs from the golden submission's in some fields."""
    weights = conditioning_weights(golden_weights)

    def make(**changes):
        return XttsConditioner(dataclasses.replace(golden_config, **changes), weights)

    return make


@pytest.fixture(scope="module")
def golden_22050(golden):
    return torch.from_numpy(golden["ref_audio_22050"][0])


def check(check_golden, golden, conditioning, suffix=""):
    latents, embedding = conditioning.gpt_cond_latent, conditioning.speaker_embedding
    name = f"gpt_cond_latent{suffix}"
    check_golden(name, latents[None], golden[name], LATENT_TOLERANCE)
    name = f"speaker_embedding{suffix}"
    check_golden(name, embedding[None, :, None], golden[name], EMBEDDING_TOLERANCE)


def test_golden_with_the_published_defaults(golden, check_golden, conditioner, golden_voice):
    made = conditioner(gpt_cond_len_s=6.0, gpt_cond_chunk_len_s=6.0)(golden_voice)
    check(check_golden, golden, made)


def test_golden_with_the_configs_lengths(golden, check_golden, conditioner, golden_voice):
    check(check_golden, golden, conditioner()(golden_voice), "_30_4")


def test_golden_with_two_normalised_recordings(golden, check_golden, conditioner, golden_voice):
    make = conditioner(max_ref_len_s=3.0, gpt_cond_len_s=6.0, gpt_cond_chunk_len_s=3.0, sound_norm_refs=True)
    voice = ReferenceVoice(golden_voice.recordings * 2)
    check(check_golden, golden, make(voice), "_tworefs_norm")


def test_golden_mels(golden, check_golden, conditioner, golden_22050):
    style = conditioner().style_encoder
    chunks = {
        "cond_mel_6_6": golden_22050[: 6 * 22050],
        "cond_mel_30_4_chunk0": golden_22050[: 4 * 22050],
        "cond_mel_30_4_chunk1": golden_22050[4 * 22050 :],
    }
    for name, chunk in chunks.items():
        check_golden(name, style.log_mel(chunk)[None], golden[name], LOG_MEL_TOLERANCE)


def test_golden_encoder(golden, check_golden, conditioner):
    mel = torch.from_numpy(golden["cond_mel_6_6"][0])
    encoded = conditioner().style_encoder.encode(mel)
    check_golden("cond_encoder_out_6_6", encoded[None], golden["cond_encoder_out_6_6"], 1e-4)


def test_golden_speaker_mel(golden, check_golden, conditioner):
    """On its logarithm, which is what the encoder sees; the power itself spans seven decades."""
    mel = conditioner().speaker_encoder.power_mel(torch.from_numpy(golden["ref_audio_16000"][0]))
    ours, expected = (mel[None] + 1e-6).log(), np.log(golden["spk_mel"] + 1e-6)
    check_golden("spk_mel (log)", ours, expected, LOG_MEL_TOLERANCE)


def test_golden_speaker_embedding_of_the_published_mel(golden, check_golden, conditioner):
    embedding = conditioner().speaker_encoder.embed(torch.from_numpy(golden["spk_mel"][0]))
    expected = golden["speaker_embedding"]
    check_golden("speaker_embedding of spk_mel", embedding[None, :, None], expected, EMBEDDING_TOLERANCE)


def test_arrays_and_back(conditioner, golden_voice):
    made = conditioner()(golden_voice)
    arrays = made.to_arrays()
    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(arrays, np.float32)
    back = XttsConditioning.from_arrays(arrays)
    assert torch.equal(back.gpt_cond_latent, made.gpt_cond_latent)
    assert torch.equal(back.speaker_embedding, made.speaker_embedding)
    assert made.size_bytes == back.size_bytes == sum(array.nbytes for array in arrays.values())


def test_threads_get_the_same_as_one(conditioner, golden_voice):
    condition = conditioner(gpt_cond_len_s=4.0, max_ref_len_s=4.0)
    alone = condition(golden_voice)
    with ThreadPoolExecutor(4) as pool:
        for made in pool.map(condition, [golden_voice] * 6):
            assert torch.equal(made.gpt_cond_latent, alone.gpt_cond_latent)
            assert torch.equal(made.speaker_embedding, alone.speaker_embedding)


def test_what_lies_behind_the_configs_lengths_is_not_heard(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    noise = np.random.default_rng(0).uniform(-1, 1, len(recording.samples)).astype(np.float32)
    cut = round(4.2 * recording.sample_rate_hz)
    changed = np.concatenate([recording.samples[:cut], noise[cut:]])
    condition = conditioner(max_ref_len_s=4.0, gpt_cond_len_s=2.0, gpt_cond_chunk_len_s=2.0)
    made, expected = condition(voice(changed)), condition(golden_voice)
    assert torch.equal(made.gpt_cond_latent, expected.gpt_cond_latent)
    assert torch.equal(made.speaker_embedding, expected.speaker_embedding)


def test_the_speaker_is_the_mean_over_recordings_and_latents_see_them_joined(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    half = len(recording.samples) // 2
    parts = [Recording(part, 16000) for part in (recording.samples[:half], recording.samples[half:])]
    condition = conditioner()
    both = condition(ReferenceVoice(tuple(parts)))
    alone = [condition(ReferenceVoice((part,))).speaker_embedding for part in parts]
    torch.testing.assert_close(both.speaker_embedding, (alone[0] + alone[1]) / 2, rtol=0, atol=1e-6)
    assert both.speaker_embedding.norm() < 0.999  # a mean of unit vectors, not one itself
    first = condition(ReferenceVoice((parts[0],))).gpt_cond_latent
    assert not torch.allclose(both.gpt_cond_latent, first, atol=1e-2)


def test_a_recording_at_another_rate_is_the_same_voice(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    at_48000 = resample(torch.from_numpy(recording.samples), 16000, 48000).numpy()
    made = conditioner()(ReferenceVoice((Recording(at_48000, 48000),)))
    similarity = made.speaker_embedding @ conditioner()(golden_voice).speaker_embedding
    assert similarity > 0.999


def test_clipping_recordings_are_clamped(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    loud, clipped = recording.samples * 3, (recording.samples * 3).clip(-1, 1)
    condition = conditioner()
    made, expected = (condition(ReferenceVoice((Recording(s, 22050),))) for s in (loud, clipped))
    assert torch.equal(made.speaker_embedding, expected.speaker_embedding)


def voice(samples, rate=16000):
    return ReferenceVoice((Recording(np.asarray(samples, dtype=np.float32), rate),))


@pytest.mark.parametrize(
    ("unusable", "message"),
    [
        (ReferenceVoice(()), "without recordings"),
        (voice([]), r"0\.00 s; expected at least 0\.33 s"),
        (voice(np.ones(5000)), r"0\.31 s; expected at least 0\.33 s"),
        (voice(np.zeros(16000)), "found silence"),
        (voice(np.full(16000, 1e-4)), "found silence"),
        (voice([0.1] * 16000 + [np.nan]), "not numbers"),
        (voice([0.1] * 16000 + [np.inf]), "infinite"),
    ],
)
def test_unusable_voices_are_refused_in_words(conditioner, unusable, message):
    with pytest.raises(UnusableVoice, match=message):
        conditioner()(unusable)


def test_one_bad_recording_among_good_ones_is_named(conditioner, golden_voice):
    with pytest.raises(UnusableVoice, match=r"0\.10 s"):
        conditioner()(ReferenceVoice(golden_voice.recordings + voice(np.ones(1600)).recordings))


def test_speech_that_begins_after_what_is_used_is_silence(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    late = np.concatenate([np.zeros(5 * 16000, dtype=np.float32), recording.samples])
    with pytest.raises(UnusableVoice, match="in the first 4 s"):
        conditioner(max_ref_len_s=4.0, sound_norm_refs=True)(voice(late))


def test_lengths_that_leave_no_chunk_are_refused(conditioner, golden_voice):
    with pytest.raises(UnusableVoice, match="gpt_cond_chunk_len"):
        conditioner(gpt_cond_chunk_len_s=0.2)(golden_voice)


def test_the_shortest_voice_is_taken(conditioner, golden_voice):
    (recording,) = golden_voice.recordings
    made = conditioner()(voice(recording.samples[16000 : 16000 + 5281]))
    assert made.gpt_cond_latent.isfinite().all()
    assert made.speaker_embedding.norm() == pytest.approx(1, abs=1e-5)
