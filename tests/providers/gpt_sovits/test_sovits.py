"""From tokens to samples: the published waves at one shot, and streams equal however they are cut."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import soundfile
import torch

from providers.audio.resample import resample
from providers.gpt_sovits.encoders import PriorFrames
from providers.gpt_sovits.frame_timing import FrameTiming
from providers.gpt_sovits.reference import ReferenceEncoder, spectrogram
from providers.gpt_sovits.sovits import Sovits, SpeechSpan, prepare_generator
from providers.gpt_sovits.streaming import ONE_SHOT, BlockSchedule
from providers.vocoder.interpolation import LinearInterpolation
from providers.vocoder.vocoder import Batching

WAVES = [("v1", 0), ("v1", 1), ("v2", 0), ("v2", 3), ("v2Pro", 0), ("v2Pro", 1)]
TOLERANCE = 1e-5  # of samples in [-1, 1], for whatever must change nothing


def speak(sovits, start, tokens, cuts=()):
    """All samples of one utterance, vocoded when so many tokens are known as `cuts` say."""
    (speech,) = sovits.begin([start])
    spans = [SpeechSpan(speech, tokens[:cut], is_last=False) for cut in cuts]
    return torch.cat(
        [sovits.vocode([span])[0] for span in [*spans, SpeechSpan(speech, tokens, is_last=True)]]
    )


@pytest.mark.parametrize(("variant", "text"), WAVES)
def test_golden_waves(
    variant, text, make_sovits, golden_start, golden_tokens, gpt_sovits_golden, check_golden
):
    made = speak(
        make_sovits(variant, schedule=ONE_SHOT), golden_start(variant, text), golden_tokens(variant, text)
    )
    name = f"{variant}_wav_noise0_text{text}"
    check_golden(name, made, gpt_sovits_golden[name], 1e-4)


def test_golden_wave_of_two_recordings(
    make_sovits,
    golden_model,
    golden_start,
    golden_tokens,
    gpt_sovits_golden,
    gpt_sovits_golden_folder,
    check_golden,
):
    model = golden_model("v2")
    reference = ReferenceEncoder(model.architecture, model.weights)
    stereo, rate = soundfile.read(gpt_sovits_golden_folder / "reference_44k_stereo.wav", dtype="float32")
    second = spectrogram(resample(torch.from_numpy(stereo.mean(axis=1)), rate, 32000), 2048, 640)
    spectrograms = [torch.from_numpy(gpt_sovits_golden["ref_spec"]), second]
    style = reference.mean_style([reference.style(magnitudes, None) for magnitudes in spectrograms])
    start = dataclasses.replace(golden_start("v2", 0), style=style)
    made = speak(make_sovits("v2", schedule=ONE_SHOT), start, golden_tokens("v2", 0))
    name = "v2_wav_noise0_two_refs_text0_first24000"
    check_golden(name, made[:24000], gpt_sovits_golden[name], 1e-4)


def test_golden_wave_with_given_noise(
    make_sovits, golden_start, golden_tokens, gpt_sovits_golden, check_golden
):
    class GivenNoise:
        scale = 0.5

        def frames(self, start, stop, channels):
            return torch.from_numpy(gpt_sovits_golden["v2_noise_text0"]).T[start:stop] * self.scale

    sovits, start = make_sovits("v2", schedule=ONE_SHOT), golden_start("v2", 0)
    (speech,) = sovits.begin([start])
    speech.noise = GivenNoise()
    (made,) = sovits.vocode([SpeechSpan(speech, golden_tokens("v2", 0), is_last=True)])
    name = "v2_wav_noise0.5_given_text0"
    check_golden(name, made, gpt_sovits_golden[name], 1e-4)


@pytest.mark.parametrize("variant", ["v1", "v2", "v2Pro"])
def test_golden_speed(variant, make_sovits, golden_start, golden_tokens, gpt_sovits_golden, check_golden):
    """62 frames at speed 1.25 are published as 50, so the speed that they have is 1.24."""
    sovits = make_sovits(variant, schedule=ONE_SHOT)
    (speech,) = sovits.begin([golden_start(variant, 0)])
    speech.timing = FrameTiming(2, LinearInterpolation(50.000001 / 62))
    (made,) = sovits.vocode([SpeechSpan(speech, golden_tokens(variant, 0), is_last=True)])
    name = f"{variant}_wav_noise0_speed1.25_text0"
    check_golden(name, made, gpt_sovits_golden[name], 1e-4)


@pytest.mark.parametrize("speed", [1.0, 0.7, 1.6])
def test_streams_are_equal_however_they_are_cut(speed, make_sovits, golden_start, golden_tokens):
    sovits, tokens = make_sovits("v2"), golden_tokens("v2", 3)
    start = golden_start("v2", 3, speed=speed, noise_scale=0.5)
    whole = speak(sovits, start, tokens)
    assert len(whole) == int(2 * len(tokens) / speed) * 640
    for cuts in (range(51), (8, 20, 40), (1, 2, 3, 49), (13, 14, 50, 50)):
        streamed = speak(sovits, start, tokens, cuts)
        torch.testing.assert_close(streamed, whole, rtol=0, atol=TOLERANCE)


def test_neighbours_in_a_batch_change_nothing(make_sovits, golden_start, golden_tokens):
    """With readings padded side by side and windows of the generator padded to multiples, as on a GPU."""
    together = make_sovits("v2", batching=Batching(16, 96, 512), max_readings=8)
    alone = make_sovits("v2")
    speeds, tokens = (1.0, 1.3, 0.8, 1.0), [golden_tokens("v2", text) for text in range(4)]
    starts = [golden_start("v2", i, speed, noise_scale=0.5, seed=i) for i, speed in enumerate(speeds)]
    speeches = together.begin(starts)
    parts = [[] for _ in starts]
    for known in (15, 34, None):
        spans = [SpeechSpan(s, t[:known], known is None) for s, t in zip(speeches, tokens, strict=True)]
        for part, samples in zip(parts, together.vocode(spans), strict=True):
            part.append(samples)
    for part, start, own in zip(parts, starts, tokens, strict=True):
        torch.testing.assert_close(torch.cat(part), speak(alone, start, own), rtol=0, atol=TOLERANCE)


def test_what_was_emitted_does_not_change_with_what_follows(make_sovits, golden_start, golden_tokens):
    sovits, tokens = make_sovits("v2"), golden_tokens("v2", 1)
    known = sovits.schedule.tokens_to_first_block
    other = torch.cat([tokens[:known], (tokens[known:] + 1) % 1024])
    (first,) = sovits.vocode(
        [SpeechSpan(sovits.begin([golden_start("v2", 1)])[0], tokens[:known], is_last=False)]
    )
    assert len(first) == (2 * 10 - sovits.generator.receptive_field.right) * 640
    for continued in (tokens, other):
        made = speak(sovits, golden_start("v2", 1), continued)
        torch.testing.assert_close(made[: len(first)], first, rtol=0, atol=TOLERANCE)


def test_a_whole_lookahead_is_one_shot(make_sovits, golden_start, golden_tokens):
    """With all of an utterance ahead of every block, blocks change nothing."""
    tokens = golden_tokens("v2", 3)
    far = make_sovits("v2", schedule=BlockSchedule(lookahead_tokens=len(tokens)))
    once = make_sovits("v2", schedule=ONE_SHOT)
    start = golden_start("v2", 3, noise_scale=0.5)
    torch.testing.assert_close(speak(far, start, tokens), speak(once, start, tokens), rtol=0, atol=TOLERANCE)


def test_more_lookahead_is_closer_to_one_shot(make_sovits, golden_start, golden_tokens):
    tokens, start = golden_tokens("v2", 3), golden_start("v2", 3)
    once = speak(make_sovits("v2", schedule=ONE_SHOT), start, tokens)
    errors = [
        (speak(make_sovits("v2", schedule=BlockSchedule(ahead)), start, tokens) - once).square().mean()
        for ahead in (0, 4, 16)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_noise_makes_a_difference_and_a_seed_repeats_it(make_sovits, golden_start, golden_tokens):
    sovits, tokens = make_sovits("v2"), golden_tokens("v2", 0)
    waves = [
        speak(sovits, golden_start("v2", 0, noise_scale=scale, seed=seed), tokens)
        for scale, seed in ((0.5, 1), (0.5, 1), (0.5, 2), (0.0, 1), (0.0, 2))
    ]
    assert torch.equal(waves[0], waves[1])
    assert torch.equal(waves[3], waves[4])
    for one, other in itertools.combinations((waves[0], waves[2], waves[3]), 2):
        assert (one - other).abs().max() > 1e-2


def test_a_bfloat16_generator_stays_close(make_sovits, golden_model, golden_start, golden_tokens):
    model = golden_model("v2")
    generator = prepare_generator(model.weights, model.architecture, torch.bfloat16)
    start, tokens = golden_start("v2", 0), golden_tokens("v2", 0)
    made = speak(Sovits(model.architecture, model.weights, generator), start, tokens)
    exact = speak(make_sovits("v2"), start, tokens)
    assert 10 * (exact.square().sum() / (made - exact).square().sum()).log10() > 30


def test_an_utterance_without_tokens_is_silent(make_sovits, golden_start):
    assert len(speak(make_sovits("v2"), golden_start("v2", 0), torch.zeros(0, dtype=torch.int64))) == 0


@pytest.mark.parametrize("speed", [0.6, 1.0, 1.25, 2.0])
def test_frames_are_final_when_they_are_said_to_be(speed):
    timing = FrameTiming.at_speed(speed, frames_per_token=2)
    frames = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    whole = timing.of_prior(PriorFrames(frames, frames), 0, timing.num_frames(40, is_last=True))
    assert len(whole.mean) == int(80 / speed)
    for tokens in range(40):
        known = PriorFrames(frames[: 2 * tokens], frames[: 2 * tokens])
        final = timing.num_frames(tokens, is_last=False)
        made = timing.of_prior(known, 0, final)
        assert torch.equal(made.mean, whole.mean[:final])
        assert final >= int(2 * tokens / speed) - 1 - 1 / speed
