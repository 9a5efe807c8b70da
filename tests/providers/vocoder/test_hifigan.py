from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.vocoder.hifigan import HifiganGenerator, prepare_hifigan, upsampling_as_convolution


def generator(architecture, weights, dtype=torch.float32):
    return HifiganGenerator(architecture, prepare_hifigan(weights, architecture, dtype))


def inputs(architecture, num_frames, batch=1, seed=1):
    random = torch.Generator().manual_seed(seed)
    frames = torch.randn(batch, num_frames, architecture.in_channels, generator=random)
    return frames, torch.randn(batch, architecture.speaker_channels, generator=random)


def test_equals_the_published_form_for_any_architecture(architectures, reference_hifigan, random_hifigan):
    @settings(max_examples=60, deadline=None)
    @given(architectures, st.integers(1, 12), st.booleans(), st.booleans())
    def check(architecture, num_frames, per_stage_speaker, post_bias):
        weights = random_hifigan(architecture, 0, per_stage_speaker, post_bias)
        frames, speaker = inputs(architecture, num_frames, batch=2)
        ours = generator(architecture, weights)(frames, speaker)
        expected = reference_hifigan(architecture, weights, frames, speaker)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)

    check()


@pytest.mark.parametrize(("kernel", "stride"), [(16, 8), (4, 2), (16, 10), (8, 8), (9, 5)])
def test_upsampling_by_convolution_equals_the_transposed_one(kernel, stride):
    weight, x = torch.randn(3, 5, kernel), torch.randn(2, 3, 7)
    expected = torch.nn.functional.conv_transpose1d(x, weight, stride=stride)
    taps = -(-kernel // stride)
    y = torch.nn.functional.conv1d(x, upsampling_as_convolution(weight, stride), padding=taps - 1)
    samples = y.mT.reshape(2, -1, 5).mT[:, :, : expected.shape[2]]
    torch.testing.assert_close(samples, expected, rtol=0, atol=1e-5)


def test_a_batch_equals_each_alone(small_hifigan, random_hifigan):
    vocoder = generator(small_hifigan, random_hifigan(small_hifigan))
    frames, speaker = inputs(small_hifigan, 20, batch=5)
    together = vocoder(frames, speaker)
    alone = torch.cat([vocoder(frames[i : i + 1], speaker[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_frames_that_only_surround_others_change_nothing_but_the_length(architectures, random_hifigan):
    @settings(max_examples=60, deadline=None)
    @given(architectures, st.integers(1, 9), st.integers(0, 30), st.integers(0, 30))
    def check(architecture, num_frames, left, right):
        vocoder = generator(architecture, random_hifigan(architecture))
        frames, speaker = inputs(architecture, left + num_frames + right, batch=2)
        scale = vocoder.samples_per_frame
        expected = vocoder(frames, speaker)[:, left * scale : (left + num_frames) * scale]
        samples = vocoder(frames, speaker, (left, right))
        torch.testing.assert_close(samples, expected, rtol=0, atol=1e-5)

    check()


def test_frames_that_only_surround_others_are_dropped_layer_by_layer(
    small_hifigan, random_hifigan, monkeypatch
):
    vocoder = generator(small_hifigan, random_hifigan(small_hifigan))
    steps, convolution = [], torch.nn.functional.conv2d

    def counted(x, *arguments, **options):
        steps.append(x.shape[3])
        return convolution(x, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    vocoder(*inputs(small_hifigan, 33), (13, 13))
    of_layer = [steps[0], *steps[1:-1:19], steps[-1]]  # an upsampling and 3 blocks of 6 convolutions in turn
    assert of_layer == [33, 7 + 20, 8 * 7 + 28, 64 * 7 + 94, 128 * 7 + 64, 256 * 7 + 6]
    assert len(steps) == 2 + 4 * 19


def test_inputs_are_left_as_they_are(small_hifigan, random_hifigan):
    vocoder = generator(small_hifigan, random_hifigan(small_hifigan))
    frames, speaker = inputs(small_hifigan, 9)
    before = frames.clone(), speaker.clone()
    first = vocoder(frames, speaker)
    assert torch.equal(frames, before[0])
    assert torch.equal(speaker, before[1])
    assert torch.equal(vocoder(frames, speaker), first)


def test_only_residual_blocks_are_in_low_precision(small_hifigan, random_hifigan):
    tensors = prepare_hifigan(random_hifigan(small_hifigan), small_hifigan, torch.bfloat16)
    low = {name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16}
    assert low == {name for name in tensors if name.startswith("resblocks.")}


def test_the_speaker_is_heard_after_every_upsampling(small_hifigan, random_hifigan):
    frames, speaker = inputs(small_hifigan, 9)
    heard = []
    for silenced in ("cond_layer", "conds.0", "conds.1", "conds.2", "conds.3"):
        weights = random_hifigan(small_hifigan)
        weights[f"{silenced}.weight"].zero_()
        heard.append(generator(small_hifigan, weights)(frames, speaker))
    whole = generator(small_hifigan, random_hifigan(small_hifigan))(frames, speaker)
    assert all((whole - other).abs().max() > 1e-3 for other in heard)
