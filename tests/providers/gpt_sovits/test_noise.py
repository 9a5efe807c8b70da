from __future__ import annotations

import torch

from providers.decoding.sampler import random_key
from providers.gpt_sovits.noise import FrameNoise


def noise(seed=7, utterance=0, scale=1.0):
    return FrameNoise.of(seed, utterance, scale, "cpu")


def test_a_frame_has_its_noise_wherever_a_window_begins():
    whole = noise().frames(0, 60, 192)
    assert torch.equal(noise().frames(23, 60, 192), whole[23:])
    assert torch.equal(noise().frames(23, 24, 192), whole[23:24])
    assert noise().frames(5, 5, 192).shape == (0, 192)


def test_it_is_normal_and_uncorrelated():
    numbers = noise().frames(0, 2000, 192).double()
    assert abs(numbers.mean()) < 0.006  # 4 standard errors
    assert abs(numbers.std() - 1) < 0.005
    assert abs((numbers.abs() < 1).double().mean() - 0.6827) < 0.004
    assert abs(numbers.pow(4).mean() - 3) < 0.07
    for neighbours in (numbers[1:] * numbers[:-1], numbers[:, 1:] * numbers[:, :-1]):
        assert abs(neighbours.mean()) < 0.007


def test_seeds_and_utterances_have_their_own():
    frames = [noise(*which).frames(0, 50, 192).flatten() for which in ((7, 0), (8, 0), (7, 1))]
    correlations = torch.corrcoef(torch.stack(frames)).fill_diagonal_(0)
    assert correlations.abs().max() < 0.05


def test_it_is_not_what_tokens_are_drawn_with():
    assert noise(7, 0).key.tolist() not in [list(random_key(7, index)) for index in range(1000)]


def test_scale():
    assert torch.equal(noise(scale=0.5).frames(0, 9, 4), noise().frames(0, 9, 4) * 0.5)
    assert torch.equal(noise(scale=0).frames(0, 9, 4), torch.zeros(9, 4))
