"""How many latent frames an utterance's tokens make at a speed, and of which frames of the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from providers.gpt_sovits.encoders import PriorFrames
from providers.vocoder.interpolation import LinearInterpolation


@dataclass(frozen=True, slots=True)
class FrameTiming:
    frames_per_token: int
    stretch: LinearInterpolation | None  # None at speed 1

    @staticmethod
    def at_speed(speed: float, frames_per_token: int) -> FrameTiming:
        return FrameTiming(frames_per_token, None if speed == 1 else LinearInterpolation(1 / speed))

    def num_frames(self, tokens: int, is_last: bool) -> int:
        """Frames whose values don't change when more tokens come; all if these are the last."""
        frames = tokens * self.frames_per_token
        if self.stretch is None:
            return frames
        return self.stretch.num_outputs(frames) if is_last else self.stretch.num_final_outputs(frames)

    def of_prior(self, prior: PriorFrames, start: int, stop: int) -> PriorFrames:
        """Frames [start, stop), interpolated between those that the prior gave."""
        if self.stretch is None:
            return PriorFrames(*(frames[start:stop] for frames in prior))
        left, right_weight = self.stretch.sources(np.arange(start, stop))
        device = prior.mean.device
        lower = torch.from_numpy(left).to(device)
        upper = (lower + 1).clamp(max=len(prior.mean) - 1)
        weight = torch.from_numpy(right_weight.astype(np.float32)).to(device)[:, None]
        return PriorFrames(*(frames[lower].lerp(frames[upper], weight) for frames in prior))
