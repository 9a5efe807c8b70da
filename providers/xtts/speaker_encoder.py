"""The speaker encoder: H/ASP (Heo et al. 2020, arXiv 2009.14153), a ResNet with squeeze-and-excitation and
attentive statistics pooling over log-mel frames.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.checkpoints.architecture import SpeakerEncoderArchitecture
from providers.audio.mel import MelSpectrogram
from providers.audio.resample import resample

SAMPLE_RATE_HZ = 16_000
PRE_EMPHASIS = 0.97
EPSILON = 1e-5  # of the normalisations and of the pooled variance


class SpeakerEncoder:
    """A recording → what the vocoder knows of its speaker. Keeps no state: any thread may call it."""

    def __init__(self, architecture: SpeakerEncoderArchitecture, weights: Mapping[str, Tensor]) -> None:
        """`weights`: float32, names below "speaker_encoder." in the published checkpoint."""
        self._architecture = architecture
        self._weights = weights
        self._spectrogram = MelSpectrogram(
            sample_rate_hz=SAMPLE_RATE_HZ,
            fft_length=512,
            window_length=400,
            hop_length=160,
            num_mels=architecture.mel_bins,
            max_frequency_hz=SAMPLE_RATE_HZ / 2,
            window="hamming",
        )

    @torch.inference_mode()
    def __call__(self, samples: Tensor, sample_rate_hz: int) -> Tensor:
        """Samples [n] in [-1, 1] → embedding [embedding_channels] of length 1."""
        return self.embed(self.power_mel(resample(samples, sample_rate_hz, SAMPLE_RATE_HZ)))

    def power_mel(self, samples: Tensor) -> Tensor:
        """Samples [n] at 16 kHz → [mel_bins, frames]."""
        previous = F.pad(samples[None], (1, 0), mode="reflect")[0, :-1]
        return self._spectrogram(samples - PRE_EMPHASIS * previous)

    def embed(self, power_mel: Tensor) -> Tensor:
        """[mel_bins, frames] → [embedding_channels]"""
        log_mel = (power_mel + 1e-6).log()
        x = F.instance_norm(log_mel[None], eps=EPSILON)[None]  # [1, 1, mel_bins, frames]
        x = self._batch_norm(F.relu(self._conv(x, "conv1", bias=True, padding=1)), "bn1")
        for stage, num_blocks in enumerate(self._architecture.blocks, start=1):
            for block in range(num_blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = self._residual_block(x, f"layer{stage}.{block}", stride)
        return self._pool(x.flatten(1, 2))

    def _residual_block(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = F.relu(self._conv(x, f"{name}.conv1", stride=stride, padding=1))
        y = self._conv(self._batch_norm(y, f"{name}.bn1"), f"{name}.conv2", padding=1)
        y = self._squeeze_and_excite(self._batch_norm(y, f"{name}.bn2"), f"{name}.se.fc")
        if f"{name}.downsample.0.weight" in self._weights:
            shortcut = self._conv(x, f"{name}.downsample.0", stride=stride)
            x = self._batch_norm(shortcut, f"{name}.downsample.1")
        return F.relu(x + y)

    def _squeeze_and_excite(self, x: Tensor, name: str) -> Tensor:
        """Scales every channel by a gate that sees all channels' means."""
        gate = self._linear(F.relu(self._linear(x.mean(dim=(2, 3)), f"{name}.0")), f"{name}.2")
        return x * gate.sigmoid()[:, :, None, None]

    def _pool(self, x: Tensor) -> Tensor:
        """[1, channels, frames] → mean and deviation over time under attention, projected: [embedding]"""
        hidden = F.relu(self._pointwise(x, "attention.0"))
        attention = self._pointwise(self._batch_norm(hidden, "attention.2"), "attention.3").softmax(dim=2)
        mean = (x * attention).sum(dim=2)
        variance = (x.square() * attention).sum(dim=2) - mean.square()
        statistics = torch.cat([mean, variance.clamp(min=EPSILON).sqrt()], dim=1)
        return F.normalize(self._linear(statistics, "fc"), dim=1)[0]

    def _conv(self, x: Tensor, name: str, *, bias: bool = False, stride: int = 1, padding: int = 0) -> Tensor:
        weights = self._weights
        bias_tensor = weights[f"{name}.bias"] if bias else None
        return F.conv2d(x, weights[f"{name}.weight"], bias_tensor, stride=stride, padding=padding)

    def _pointwise(self, x: Tensor, name: str) -> Tensor:
        return F.conv1d(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _batch_norm(self, x: Tensor, name: str) -> Tensor:
        w = self._weights
        return F.batch_norm(
            x,
            w[f"{name}.running_mean"],
            w[f"{name}.running_var"],
            w[f"{name}.weight"],
            w[f"{name}.bias"],
            eps=EPSILON,
        )
