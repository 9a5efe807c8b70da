from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.vocoder.interpolation import LinearInterpolation
from providers.xtts.latent_frames import LatentFrames

SPEEDS = [1.0, 0.8, 1.3, 0.25, 2.0, 4.0, 0.01]
speeds = st.floats(0.25, 4.0)


def published(latents, speed):
    """The whole utterance: latents [n, C] → frames [m, C]."""
    x = latents.T[None]
    if speed != 1.0:
        x = F.interpolate(x, scale_factor=1 / max(speed, 0.05), mode="linear")
    x = F.interpolate(x, scale_factor=4.0, mode="linear")
    return F.interpolate(x, scale_factor=24000 / 22050, mode="linear")[0].T


def frames_of(stages, latents, start, stop):
    first, matrix = stages.weights(start, stop, len(latents))
    return torch.from_numpy(matrix) @ latents[first : first + matrix.shape[1]]


def some_latents(count):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("num_latents", [12, 13, 100, 605])
def test_the_whole_equals_the_published_interpolations(golden_config, speed, num_latents):
    latents = some_latents(num_latents)
    stages = LatentFrames.at_speed(speed, golden_config.architecture)
    expected = published(latents, speed)
    assert stages.num_known(num_latents, is_last=True) == len(expected)
    # Equal to rounding even at position 13,000: a float32 position there has a step of 1e-3.
    ours = frames_of(stages, latents, 0, len(expected))
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("speed", [1.3, 0.8])
def test_golden_latents_at_a_speed(golden, check_golden, speed):
    latents = torch.from_numpy(golden["t1_gpt_latents"][0])
    stages = LatentFrames((LinearInterpolation(1 / speed),))
    ours = frames_of(stages, latents, 0, stages.num_known(len(latents), is_last=True))
    check_golden(f"t1_speed{speed}_gpt_latents", ours[None], golden[f"t1_speed{speed}_gpt_latents"], 1e-3)


@settings(max_examples=60, deadline=None)
@given(speeds, st.integers(0, 120), st.integers(0, 40), st.data())
def test_known_frames_stay_what_they_are_as_latents_follow(golden_config, speed, num_latents, more, data):
    stages = LatentFrames.at_speed(speed, golden_config.architecture)
    latents = some_latents(num_latents + more)
    total = stages.num_known(len(latents), is_last=True)
    known = stages.num_known(num_latents, is_last=False)
    assert known <= total
    start = data.draw(st.integers(0, known))
    stop = data.draw(st.integers(start, known))
    whole = frames_of(stages, latents, 0, total)
    window = frames_of(stages, latents[:num_latents], start, stop)
    torch.testing.assert_close(window, whole[start:stop], rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(speeds, st.integers(1, 120))
def test_frames_that_are_not_known_depend_on_what_follows(golden_config, speed, num_latents):
    """So no frame is held back without need: the first unknown one changes, or may not exist."""
    stages = LatentFrames.at_speed(speed, golden_config.architecture)
    known = stages.num_known(num_latents, is_last=False)
    if known == stages.num_known(num_latents, is_last=True):
        return
    longer = some_latents(num_latents + 60)
    now = frames_of(stages, longer[:num_latents], known, known + 1)
    first, matrix = stages.weights(known, known + 1, len(longer))
    # A frame right on a latent, or on what a stage made of them, sees no other, but its neighbour counts
    # as needed: weight 0.
    touches = first + matrix.shape[1] > num_latents
    is_on_a_source = stages.stages[-1].sources(np.array([known]))[1][0] == 0
    assert touches or is_on_a_source or not torch.equal(now, frames_of(stages, longer, known, known + 1))


def test_nothing_of_nothing(golden_config):
    stages = LatentFrames.at_speed(1.0, golden_config.architecture)
    assert stages.num_known(0, is_last=True) == stages.num_known(0, is_last=False) == 0
    assert stages.weights(0, 0, 0).matrix.shape == (0, 0)


def test_100_tokens_are_435_frames(golden_config):
    assert LatentFrames.at_speed(1.0, golden_config.architecture).num_known(100, is_last=True) == 435
