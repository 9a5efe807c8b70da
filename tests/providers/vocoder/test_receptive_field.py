from __future__ import annotations

import dataclasses
from math import prod

import pytest
import torch
from hypothesis import given, settings

from providers.vocoder.receptive_field import ReceptiveField, receptive_field, stage_fields


def measured(reference, architecture, weights) -> ReceptiveField:
    """Which frames have a gradient at the samples of the middle one. With positive weights none cancels."""
    weights = {name: tensor.double().abs() / 4 for name, tensor in weights.items()}
    weights["conv_post.weight"] *= 1e-9  # keeps tanh from saturating
    bound = 200
    frames = torch.ones(1, 2 * bound + 1, architecture.in_channels, dtype=torch.double, requires_grad=True)
    samples = reference(architecture, weights, frames, torch.zeros(1, architecture.speaker_channels).double())
    scale = prod(architecture.upsample_strides)
    samples[0, bound * scale : (bound + 1) * scale].sum().backward()
    seen = frames.grad[0].abs().sum(dim=1).nonzero().flatten()
    return ReceptiveField(bound - int(seen[0]), int(seen[-1]) - bound)


def test_of_xtts_is_13_frames_on_either_side(small_hifigan, golden_config):
    assert receptive_field(golden_config.architecture.vocoder) == (13, 13)
    assert receptive_field(small_hifigan) == (13, 13)  # channels don't matter


def test_shrinks_from_layer_to_layer(golden_config):
    assert stage_fields(golden_config.architecture.vocoder) == (
        (10, 10),  # frames, before the first upsampling, by 8
        (14, 14),
        (47, 47),
        (32, 32),
        (3, 3),  # samples, before `conv_post`
    )


def test_equals_what_gradients_say(architectures, reference_hifigan, random_hifigan):
    @settings(max_examples=60, deadline=None)
    @given(architectures)
    def check(architecture):
        weights = random_hifigan(architecture)
        assert receptive_field(architecture) == measured(reference_hifigan, architecture, weights)

    check()


def test_equals_what_gradients_say_for_xtts(small_hifigan, reference_hifigan, random_hifigan):
    assert receptive_field(small_hifigan) == measured(
        reference_hifigan, small_hifigan, random_hifigan(small_hifigan)
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("resblock_kernels", (3, 4, 11), "kernel of 4"),
        ("upsample_kernels", (15, 16, 4, 4), "kernel of 15 with stride 8"),
        ("upsample_kernels", (6, 16, 4, 4), "kernel of 6 with stride 8"),
    ],
)
def test_kernels_that_would_change_the_length_are_refused(small_hifigan, field, value, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(dataclasses.replace(small_hifigan, **{field: value}))
