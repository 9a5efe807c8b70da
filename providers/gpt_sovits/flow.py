"""The flow, run backwards: latents of the prior → latents that the generator was trained on.

Residual couplings (Dinh et al. 2017, arXiv 1605.08803) whose shift comes from a gated convolutional network
in WaveNet's manner. Only means are shifted, so going backwards is a subtraction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import FlowArchitecture
from providers.gpt_sovits.encoders import Weights
from providers.vocoder.receptive_field import same_padding


class Flow:
    """Keeps no state: any thread may call it."""

    def __init__(self, architecture: FlowArchitecture, weights: Weights) -> None:
        """`weights`: float32, weight norm folded, by published name, on the device where this is to run."""
        self._layers = architecture.layers
        self._hidden_channels = architecture.hidden_channels
        self._padding = same_padding(architecture.kernel)
        self._weights = weights
        # A flip stands between two couplings, and one after the last.
        self._couplings = [f"flow.flows.{2 * i}" for i in reversed(range(architecture.couplings))]

    @property
    def reach(self) -> int:
        """Frames on either side that a frame's value depends on."""
        return len(self._couplings) * self._layers * self._padding

    def reverse(self, latents: Tensor, style: Tensor, is_real: Tensor | None = None) -> Tensor:
        """Latents [B, T, channels], style [B, style channels] → [B, T, channels].

        `is_real` [B, T] marks what isn't padding.
        """
        x = latents.transpose(1, 2)
        mask = None if is_real is None else is_real[:, None].to(x.dtype)
        for name in self._couplings:
            kept, changed = x.flip(1).chunk(2, dim=1)
            x = torch.cat([kept, changed - self._shift(kept, style, mask, name)], dim=1)
        return x.transpose(1, 2)

    def _shift(self, x: Tensor, style: Tensor, mask: Tensor | None, name: str) -> Tensor:
        """[B, channels / 2, T] → [B, channels / 2, T]"""
        offsets = self._offsets(style, f"{name}.enc.cond_layer")
        hidden = _masked(self._convolution(x, f"{name}.pre"), mask)
        skipped = torch.zeros_like(hidden)
        for layer, offset in enumerate(offsets):
            gated = self._convolution(hidden, f"{name}.enc.in_layers.{layer}", self._padding) + offset
            value, gate = gated.chunk(2, dim=1)
            update = self._convolution(value.tanh() * gate.sigmoid(), f"{name}.enc.res_skip_layers.{layer}")
            if layer < self._layers - 1:  # the last has no residual part
                residual, update = update.chunk(2, dim=1)
                hidden = _masked(hidden + residual, mask)
            skipped = skipped + update
        return _masked(self._convolution(skipped, f"{name}.post"), mask)

    def _offsets(self, style: Tensor, name: str) -> list[Tensor]:
        """What the style adds in each layer: [B, 2 · hidden channels, 1] each."""
        offsets = F.linear(style, self._weights[f"{name}.weight"].squeeze(2), self._weights[f"{name}.bias"])
        return list(offsets[:, :, None].split(2 * self._hidden_channels, dim=1))

    def _convolution(self, x: Tensor, name: str, padding: int = 0) -> Tensor:
        return F.conv1d(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], padding=padding)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
