"""The speaker vector of v2Pro and v2ProPlus: ERes2NetV2 (Chen et al. 2024, arXiv 2406.02167) over Kaldi's
filter banks, up to the map that fuses its last two stages, averaged over time.

One base model for all submissions: `eres2netv2` in the table of base models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from providers.audio.fbank import log_filter_banks

NUM_MELS = 80
CLIP = 20.0  # of the network's ReLUs, but for the first and those of the attention
EPSILON = 1e-5
CLASSIFIER = "seg_1."


class SpeakerVectors:
    """A recording → its speaker's vector. Keeps no state: any thread may call it."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """`weights`: float32, by published name, on the device where this is to run."""
        self._weights = weights
        self._blocks = _block_names(weights)

    @staticmethod
    def read(path: Path) -> SpeakerVectors:
        """Of a safetensors file, without the classifier behind the averaging."""
        weights = load_file(path)
        return SpeakerVectors(
            {name: tensor.float() for name, tensor in weights.items() if not name.startswith(CLASSIFIER)}
        )

    def to(self, device: torch.device) -> SpeakerVectors:
        return SpeakerVectors({name: tensor.to(device) for name, tensor in self._weights.items()})

    @property
    def size_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._weights.values())

    @torch.inference_mode()
    def __call__(self, samples: Tensor) -> Tensor:
        """Samples float32 [n] at 16 kHz → [20480]"""
        return self.embed(log_filter_banks(samples, NUM_MELS))

    def embed(self, filter_banks: Tensor) -> Tensor:
        """[frames, 80] → [20480]"""
        x = filter_banks.T[None, None]  # [1, 1, mels, frames]
        x = F.relu(self._norm(self._convolution(x, "conv1"), "bn1"))
        stages = []
        for stage, blocks in enumerate(self._blocks):
            for i, name in enumerate(blocks):
                x = self._block(x, name, stride=2 if stage > 0 and i == 0 else 1)
            stages.append(x)
        third = self._convolution(stages[2], "layer3_ds", stride=2)
        return self._fuse(stages[3], third, "fuse34").flatten(1, 2).mean(dim=2)[0]

    def _block(self, x: Tensor, name: str, stride: int) -> Tensor:
        """Channels in groups, each of which also hears the one before it."""
        parts = self._relu(self._norm(self._convolution(x, f"{name}.conv1", stride), f"{name}.bn1"))
        width = self._weights[f"{name}.convs.0.weight"].shape[0]
        heard: list[Tensor] = []
        for i, part in enumerate(parts.split(width, dim=1)):
            if i > 0:
                part = self._join(heard[-1], part, f"{name}.fuse_models.{i - 1}")
            part = self._convolution(part, f"{name}.convs.{i}")
            heard.append(self._relu(self._norm(part, f"{name}.bns.{i}")))
        y = self._norm(self._convolution(torch.cat(heard, dim=1), f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.shortcut.0.weight" in self._weights:
            shortcut = self._convolution(x, f"{name}.shortcut.0", stride)
            x = self._norm(shortcut, f"{name}.shortcut.1")
        return self._relu(y + x)

    def _join(self, previous: Tensor, part: Tensor, name: str) -> Tensor:
        """The first two stages add what the others weigh."""
        if f"{name}.local_att.0.weight" in self._weights:
            return self._fuse(previous, part, name)
        return previous + part

    def _fuse(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Attentional feature fusion (Dai et al. 2021, arXiv 2009.14082); the weights sum to two."""
        name = f"{name}.local_att"
        hidden = F.silu(self._norm(self._convolution(torch.cat([x, y], dim=1), f"{name}.0"), f"{name}.1"))
        lean = self._norm(self._convolution(hidden, f"{name}.3"), f"{name}.4").tanh()
        return x * (1 + lean) + y * (1 - lean)

    def _convolution(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self._weights[f"{name}.weight"]
        bias, padding = self._weights.get(f"{name}.bias"), weight.shape[2] // 2
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        w = self._weights
        mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, w[f"{name}.weight"], w[f"{name}.bias"], eps=EPSILON)

    def _relu(self, x: Tensor) -> Tensor:
        return x.clamp(0, CLIP)


def _block_names(weights: Mapping[str, Tensor]) -> list[list[str]]:
    """The residual blocks of each of the four stages, in order."""
    blocks = []
    for stage in range(1, 5):
        present = {name.split(".")[1] for name in weights if name.startswith(f"layer{stage}.")}
        blocks.append([f"layer{stage}.{i}" for i in sorted(map(int, present))])
    return blocks
