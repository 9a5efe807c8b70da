"""Gaussian noise that belongs to its place: a latent frame has the same whoever computes it, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from providers.decoding.sampler import random_key, uniform

# Beyond every utterance's index, so that no noise has the numbers that a token was drawn with.
NOISE_STREAM = 2**32


@dataclass(frozen=True, slots=True, eq=False)
class FrameNoise:
    """One utterance's noise: a number per (seed, utterance, frame, channel)."""

    key: Tensor  # int64 [2]
    scale: float  # standard deviations; 0 makes the latents the prior's means

    @staticmethod
    def of(seed: int, utterance_index: int, scale: float, device: torch.device | str) -> FrameNoise:
        key = torch.tensor(random_key(seed, NOISE_STREAM + utterance_index), device=device)
        return FrameNoise(key, scale)

    def frames(self, start: int, stop: int, channels: int) -> Tensor:
        """float32 [stop - start, channels], scaled."""
        frames = torch.arange(start, stop, device=self.key.device)
        if self.scale == 0:
            return torch.zeros(len(frames), channels, device=self.key.device)
        numbers = torch.arange(2 * channels, device=self.key.device)
        variates = uniform(self.key.expand(len(frames), 2), frames, numbers)
        radius, turn = variates.chunk(2, dim=1)  # uniform; Box and Muller make a normal number of two
        return (-2 * radius.log()).sqrt() * (2 * math.pi * turn).cos() * self.scale
