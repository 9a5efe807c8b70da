"""A reference recording → what conditions a submission's speech.

Its semantic tokens: HuBERT features, brought to the token rate, and the codebook vector nearest to each. Its
style: the mean over time of a small attention network on the magnitudes of its spectrogram, in v2Pro and
v2ProPlus joined by the speaker vector.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from providers.gpt_sovits.encoders import CODEBOOK, Weights

# What is used for nothing else.
PREFIXES = ("ssl_proj.", "ref_enc.", "sv_emb.", "ge_to512.", "prelu.")
MAGNITUDE_FLOOR = 1e-8  # added to the power, as in training


class Style(NamedTuple):
    """One voice, as the flow and the generator hear it and as the prior encoder does."""

    style: Tensor  # [style channels]: the published ge
    prior_style: Tensor  # [mrte channels]: the same, but where v2Pro brings it to another width


def reference_weights(weights: Weights) -> dict[str, Tensor]:
    """The part of a SoVITS that `ReferenceEncoder` needs, in float32. No copy if it is that."""
    return {name: weights[name].float() for name in weights if name.startswith((*PREFIXES, CODEBOOK))}


class ReferenceEncoder:
    """One submission's part of the way from recordings to conditionings. Any thread may call it."""

    def __init__(self, architecture: GptSovitsArchitecture, weights: Weights) -> None:
        """`weights`: float32, by published name, on the device where this is to run."""
        self._architecture = architecture
        self._weights = weights

    def tokens(self, features: Tensor) -> Tensor:
        """HuBERT's [T, ssl channels] → int64 [T // 2], the semantic tokens of a recording."""
        projected = F.conv1d(
            features.T[None], self._weights["ssl_proj.weight"], self._weights["ssl_proj.bias"], stride=2
        )[0].T
        codebook = self._weights[CODEBOOK]
        # |x - e|² without |x|², which is the same for every e.
        return (codebook.square().sum(dim=1) - 2 * projected @ codebook.T).argmin(dim=1)

    def style(self, spectrogram: Tensor, speaker_vector: Tensor | None) -> Tensor:
        """Magnitudes [bins, frames] of one recording → [style channels].

        `speaker_vector` is wanted by the variants that have one, and by no other.
        """
        style = self.spectrogram_style(spectrogram)
        if self._architecture.speaker_vector_channels is None:
            return style
        assert speaker_vector is not None
        style = style + self._linear(speaker_vector, "sv_emb")
        return F.prelu(style[None], self._weights["prelu.weight"])[0]

    def mean_style(self, styles: list[Tensor]) -> Style:
        """Of one or several recordings, each [style channels]."""
        style = torch.stack(styles).mean(dim=0)
        if self._architecture.speaker_vector_channels is None:
            return Style(style, style)
        return Style(style, self._linear(style, "ge_to512"))

    def spectrogram_style(self, spectrogram: Tensor) -> Tensor:
        """Magnitudes [bins, frames] → [style channels]"""
        style = self._architecture.style
        x = spectrogram[: style.bins].T  # [frames, bins]
        for layer in (0, 3):
            x = F.mish(self._linear(x, f"ref_enc.spectral.{layer}.fc"))
        for layer in (0, 1):
            x = x + self._gated_convolution(x, f"ref_enc.temporal.{layer}.conv1.conv")
        x = x + self._attention(x)
        return self._linear(x, "ref_enc.fc.fc").mean(dim=0)

    def _gated_convolution(self, x: Tensor, name: str) -> Tensor:
        """[frames, C] → [frames, C]"""
        weight = self._weights[f"{name}.weight"]
        padding = weight.shape[2] // 2
        return F.glu(F.conv1d(x.T[None], weight, self._weights[f"{name}.bias"], padding=padding)[0], dim=0).T

    def _attention(self, x: Tensor) -> Tensor:
        """Every frame to every frame: [frames, C] → [frames, C]"""
        channels, heads = x.shape[1], self._architecture.style.heads
        query, key, value = (
            self._linear(x, f"ref_enc.slf_attn.w_{part}s").unflatten(1, (heads, -1)).transpose(0, 1)[None]
            for part in "qkv"
        )
        # The published scale counts the channels of all heads.
        attended = F.scaled_dot_product_attention(query, key, value, scale=channels**-0.5)
        return self._linear(attended[0].transpose(0, 1).flatten(1), "ref_enc.slf_attn.fc")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])


def at_full_scale(samples: Tensor) -> Tensor:
    """A recording that exceeds full scale is brought down to it, but by 6 dB at most, as published."""
    return samples / samples.abs().max().clamp(1, 2)


def spectrogram(samples: Tensor, window_length: int, hop_length: int) -> Tensor:
    """Samples [n] → magnitudes [window_length / 2 + 1, n // hop_length]. n must exceed half a window."""
    edge = (window_length - hop_length) // 2
    padded = F.pad(samples[None], (edge, edge), mode="reflect")[0]
    window = _hann_window(window_length).to(samples.device)
    spectrum = torch.stft(padded, window_length, hop_length, window=window, center=False, return_complex=True)
    return (spectrum.abs().square() + MAGNITUDE_FLOOR).sqrt()


@lru_cache(maxsize=4)
def _hann_window(length: int) -> Tensor:
    return torch.hann_window(length)
