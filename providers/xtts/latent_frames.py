"""From latents, one per speech token, to vocoder frames: two or three linear interpolations in a row.

Published XTTS interpolates the whole utterance's latents to the speed, then to the frame rate at the GPT's
sample rate (×4), then to the vocoder's sample rate (×1.088). Here any frames can be had by themselves:
positions are absolute, so a window of frames equals that slice of the whole, and a frame counts as known only
when no later latent can change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models_store.checkpoints.architecture import XttsArchitecture
from providers.vocoder.interpolation import LinearInterpolation

MIN_SPEED = 0.05  # as published: slower is this slow


class LatentWeights(NamedTuple):
    """Frames are `matrix @ latents[first : first + matrix.shape[1]]`."""

    first: int
    matrix: NDArray[np.float32]  # [frames, latents]


@dataclass(frozen=True, slots=True)
class LatentFrames:
    """The interpolations of an utterance, in the order in which they apply."""

    stages: tuple[LinearInterpolation, ...]

    @staticmethod
    def at_speed(speed: float, architecture: XttsArchitecture) -> LatentFrames:
        scales = (
            1.0 / max(speed, MIN_SPEED),
            architecture.code_stride / architecture.output_hop,
            architecture.output_sample_rate_hz / architecture.input_sample_rate_hz,
        )
        return LatentFrames(tuple(LinearInterpolation(scale) for scale in scales if scale != 1.0))

    def num_known(self, num_latents: int, is_last: bool) -> int:
        """Frames whose values are final once `num_latents` latents are known; all if these are the last."""
        count = num_latents
        for stage in self.stages:
            count = stage.num_outputs(count) if is_last else stage.num_final_outputs(count)
        return count

    def weights(self, start: int, stop: int, num_latents: int) -> LatentWeights:
        """How frames [start, stop) are made of the utterance's latents.

        `num_latents` counts those known so far. If more will come, `stop` must not exceed
        `num_known(num_latents, is_last=False)`.
        """
        num_inputs = [num_latents]  # of every stage
        for stage in self.stages:
            num_inputs.append(stage.num_outputs(num_inputs[-1]))
        # Back from the frames to the latents: every stage splits each source into its two neighbours.
        sources = np.arange(start, stop)[:, None]
        weights = np.ones(sources.shape)
        for stage, length in zip(reversed(self.stages), reversed(num_inputs[:-1]), strict=True):
            left, right_weight = stage.sources(sources)
            sources = np.concatenate([left, left + 1], axis=1).clip(max=length - 1)
            weights = np.concatenate([weights * (1 - right_weight), weights * right_weight], axis=1)
        first, end = (int(sources.min()), int(sources.max()) + 1) if sources.size else (0, 0)
        matrix = np.zeros((stop - start, end - first), dtype=np.float32)
        np.add.at(matrix, (np.arange(stop - start)[:, None], sources - first), weights)
        return LatentWeights(first, matrix)
