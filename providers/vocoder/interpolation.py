"""Linear interpolation over time, at chosen positions: what changes a rate or a speed before a vocoder.

Positions are absolute, so a window of outputs equals that slice of the whole, and which outputs are final is
known before the end is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LinearInterpolation:
    """`torch.nn.functional.interpolate(mode="linear", scale_factor=scale)` at chosen positions.

    But for one thing: where an input is so short, or the scale so close to 1, that the output is as long as
    the input, torch copies. That would make every value depend on the final length, so here it doesn't.
    """

    scale: float

    def num_outputs(self, num_inputs: int) -> int:
        return floor(num_inputs * self.scale)

    def num_final_outputs(self, num_inputs: int) -> int:
        """Outputs whose values and existence don't depend on whether more inputs follow."""
        left, _ = self.sources(np.arange(self.num_outputs(num_inputs)))
        return int(np.searchsorted(left, num_inputs - 1))

    def sources(self, outputs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The left one of the two neighbouring inputs of each output, and the weight of the right one."""
        # Rounded to float32 where torch rounds: the step, and the position after a fused multiply-add. By
        # position 1,024 the step's rounding alone is worth 1e-4 in the weights.
        step = float(np.float32(1.0 / self.scale))
        positions = np.maximum(step * (outputs + 0.5) - 0.5, 0.0).astype(np.float32)
        left = positions.astype(np.int64)
        return left, (positions - left).astype(np.float64)
