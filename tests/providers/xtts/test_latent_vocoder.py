from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.interface import Span
from providers.vocoder.vocoder import Batching
from providers.xtts.latent_vocoder import GENERATOR_PREFIX, LatentVocoder, SpanRequest, prepare_vocoder

WAVE_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def speaker(golden):
    return torch.from_numpy(golden["speaker_embedding"][0, :, 0])


@pytest.fixture(scope="module")
def t1(golden):
    return torch.from_numpy(golden["t1_gpt_latents"][0])


@pytest.fixture(scope="module")
def small_vocoder(golden_config, small_hifigan, random_hifigan):
    """XTTS's own in everything but its number of channels: 30 times as fast."""
    of_xtts = golden_config.architecture.vocoder
    architecture = dataclasses.replace(
        small_hifigan, in_channels=of_xtts.in_channels, speaker_channels=of_xtts.speaker_channels
    )
    weights = {GENERATOR_PREFIX + name: weight for name, weight in random_hifigan(architecture).items()}
    xtts = dataclasses.replace(golden_config.architecture, vocoder=architecture)
    return LatentVocoder(xtts, prepare_vocoder(weights, xtts, torch.float32))


def whole(vocoder, latents, speaker, speed=1.0):
    return vocoder.vocode([SpanRequest(Span(0, len(latents), True), latents, speaker, speed)])[0]


def requests(vocoder, latents, speaker, speed, cuts):
    """One per span, each with no more latents than it needs."""
    for start, stop in pairwise([0, *cuts, len(latents)]):
        span = Span(start, stop, stop == len(latents))
        first = vocoder.first_latent(span, speed)
        yield SpanRequest(span, latents[first:stop], speaker, speed, first)


def streamed(vocoder, latents, speaker, speed, cuts):
    items = requests(vocoder, latents, speaker, speed, cuts)
    return torch.cat([vocoder.vocode([item])[0] for item in items])


@pytest.mark.parametrize("text", ["t0", "t1", "t2", "t3"])
def test_golden_waves(golden, check_golden, golden_vocoder, speaker, text):
    latents = torch.from_numpy(golden[f"{text}_gpt_latents"][0])
    (wave,) = golden_vocoder.vocode([SpanRequest(Span(0, len(latents), True), latents, speaker)])
    check_golden(f"{text}_wav", wave, golden[f"{text}_wav"], WAVE_TOLERANCE)


@pytest.mark.parametrize(("speed", "name"), [(1.3, "t1_speed1.3_wav"), (0.8, "t1_speed0.8_wav")])
def test_golden_waves_at_a_speed(golden, check_golden, golden_vocoder, t1, speaker, speed, name):
    check_golden(name, whole(golden_vocoder, t1, speaker, speed), golden[name], WAVE_TOLERANCE)


@pytest.mark.parametrize(
    ("name", "speed", "span_tokens"),
    [("t1_wav", 1.0, 20), ("t1_speed1.3_wav", 1.3, 7)],
)
def test_golden_waves_in_spans(golden, check_golden, golden_vocoder, t1, speaker, name, speed, span_tokens):
    wave = streamed(golden_vocoder, t1, speaker, speed, range(span_tokens, len(t1), span_tokens))
    check_golden(f"{name} in spans of {span_tokens}", wave, golden[name], WAVE_TOLERANCE)


@pytest.mark.parametrize("speed", [1.0, 0.8, 1.3])
@pytest.mark.parametrize("span_tokens", [1, 7, 20, 64])
def test_spans_of_any_size_give_the_whole(small_vocoder, t1, speaker, speed, span_tokens):
    wave = streamed(small_vocoder, t1, speaker, speed, range(span_tokens, len(t1), span_tokens))
    expected = whole(small_vocoder, t1, speaker, speed)
    assert expected.std() > 0.1
    torch.testing.assert_close(wave, expected, rtol=0, atol=1e-5)


def test_any_spans_at_any_speed_give_the_whole(small_vocoder, t1, speaker):
    @settings(max_examples=40, deadline=None)
    @given(
        st.floats(0.25, 4), st.integers(0, len(t1)), st.lists(st.integers(0, len(t1)), max_size=5).map(sorted)
    )
    def check(speed, num_tokens, cuts):
        latents = t1[:num_tokens]
        cuts = [cut for cut in cuts if cut < num_tokens]
        wave = streamed(small_vocoder, latents, speaker, speed, cuts)
        expected = whole(small_vocoder, latents, speaker, speed)
        torch.testing.assert_close(wave, expected, rtol=0, atol=1e-5)

    check()


def test_a_last_span_without_new_tokens_flushes_the_rest(small_vocoder, t1, speaker):
    end = len(t1)
    first, rest = (
        small_vocoder.vocode([SpanRequest(span, t1, speaker)])[0]
        for span in (Span(0, end, False), Span(end, end, True))
    )
    assert len(rest) > 0
    expected = whole(small_vocoder, t1, speaker)
    torch.testing.assert_close(torch.cat([first, rest]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("batching", [None, Batching(16, 64, 400)], ids=["cpu", "padded and split"])
def test_spans_of_different_requests_at_once_equal_each_alone(golden, small_vocoder, speaker, batching):
    """Different texts, voices, speeds and positions; some windows are as long as others."""
    vocoder = LatentVocoder(small_vocoder.architecture, small_vocoder.generator.tensors, batching)
    items = []
    for i, text in enumerate(("t0", "t1", "t1", "t2", "t3")):
        latents = torch.from_numpy(golden[f"{text}_gpt_latents"][0])
        items += requests(vocoder, latents, speaker.roll(i), 1.3 if i == 2 else 1.0, [8, 20])
    together = vocoder.vocode(items)
    for item, wave in zip(items, together, strict=True):
        torch.testing.assert_close(wave, vocoder.vocode([item])[0], rtol=0, atol=1e-5)


def test_streams_are_as_long_as_published_ones(golden, golden_vocoder):
    for name, speed in (("t1_stream_c20_o1024", 1.0), ("t1_stream_c7_o512_speed1.3", 1.3)):
        assert golden_vocoder.num_samples(45, True, speed) == golden[f"{name}_sizes"].sum()


@pytest.mark.parametrize(("num_tokens", "num_frames"), [(3, 0), (4, 2), (5, 6), (8, 19), (12, 37), (40, 158)])
def test_frames_that_are_final_after_the_first_tokens(golden_vocoder, num_tokens, num_frames):
    assert golden_vocoder.num_samples(num_tokens, is_last=False) == 256 * num_frames


def test_bfloat16_stays_within_50_db(golden_config, golden_weights, golden_vocoder, t1, speaker):
    tensors = prepare_vocoder(golden_weights, golden_config.architecture, torch.bfloat16)
    low = whole(LatentVocoder(golden_config.architecture, tensors), t1[:20], speaker)
    full = whole(golden_vocoder, t1[:20], speaker)
    assert 10 * torch.log10(full.square().mean() / (low - full).square().mean()) > 50


def test_latents_of_a_bfloat16_engine_are_taken(small_vocoder, t1, speaker):
    wave = whole(small_vocoder, t1.bfloat16(), speaker)
    torch.testing.assert_close(wave, whole(small_vocoder, t1.bfloat16().float(), speaker), rtol=0, atol=0)
