"""The HiFi-GAN generator (Kong et al. 2020, arXiv 2010.05646) with a speaker embedding added after `conv_pre`
and, where the weights have `conds`, after every upsampling too.

Activations are [batch, channels, 1, time] with the channels side by side in memory: in this layout neither
oneDNN nor cuDNN reorders anything, and a transposed convolution is a plain one that makes the channels of
`stride` samples at once, since reading its output as samples is a reshape.

The trunk is float32: `conv_pre`, the upsamplings, the residual stream, the mean over residual blocks and
`conv_post`. Only the convolutions inside the residual blocks, 96 % of the arithmetic, run in the dtype that
the weights were prepared in. That costs bfloat16 a few per cent of its speed and is worth 19 dB.

Of frames that only surround others, each layer computes no more than what the layers behind it need: all
layers together reach 13 frames far in XTTS, those behind the first upsampling, 78 % of the arithmetic, 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.checkpoints.architecture import HifiganArchitecture
from providers.vocoder.receptive_field import (
    ReceptiveField,
    receptive_field,
    same_padding,
    stage_fields,
    upsampling_crop,
)

SLOPE = 0.1  # of the leaky ReLU before every convolution but the last
POST_SLOPE = 0.01


def prepare_hifigan(
    weights: Mapping[str, Tensor], architecture: HifiganArchitecture, dtype: torch.dtype
) -> dict[str, Tensor]:
    """A generator's published tensors, as `HifiganGenerator` takes them; residual blocks in `dtype`.

    `weights` has HiFi-GAN's own names ("conv_pre.weight", "ups.0.bias", "resblocks.0.convs1.0.weight" …) with
    weight norm folded; the speaker's layers are "cond_layer" and, if every stage has one, "conds.0" ….
    """
    prepared = {
        "conv_pre.weight": _channels_last(weights["conv_pre.weight"], torch.float32),
        "conv_post.weight": _channels_last(weights["conv_post.weight"], torch.float32),
        **_prepare_offsets(weights, architecture),
    }
    if "conv_post.bias" in weights:
        prepared["conv_post.bias"] = weights["conv_post.bias"].float()
    for i, stride in enumerate(architecture.upsample_strides):
        weight = upsampling_as_convolution(weights[f"ups.{i}.weight"], stride)
        prepared[f"ups.{i}.weight"] = _channels_last(weight, torch.float32)
    for name, tensor in weights.items():
        if name.startswith("resblocks."):
            prepared[name] = _channels_last(tensor, dtype) if tensor.ndim == 3 else tensor.to(dtype)
    return prepared


def upsampling_as_convolution(weight: Tensor, stride: int) -> Tensor:
    """Weights [in, out, kernel] of a transposed convolution → [stride·out, in, taps] of the convolution that
    makes `stride` samples of every step; taps = ceil(kernel / stride), the tail filled with zeros.
    """
    taps = -(-weight.shape[2] // stride)
    weight = F.pad(weight, (0, taps * stride - weight.shape[2])).unflatten(2, (taps, stride))
    # Sample `phase` of step t sums weight[tap·stride + phase] · x[t - tap]; a convolution reads x forwards.
    return weight.flip(2).permute(3, 1, 0, 2).flatten(0, 1)


def _channels_last(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """[out, in, kernel] → [out, in, 1, kernel] with the input channels side by side in memory."""
    return weight.to(dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _prepare_offsets(weights: Mapping[str, Tensor], architecture: HifiganArchitecture) -> dict[str, Tensor]:
    """The biases of `conv_pre` and the upsamplings and what the speaker adds there, as one linear layer."""
    rows, biases = [], []
    layers = [("conv_pre", "cond_layer")]
    layers += [(f"ups.{i}", f"conds.{i}") for i in range(len(architecture.upsample_strides))]
    for layer, speaker_layer in layers:
        bias = weights[f"{layer}.bias"].float()
        row = bias.new_zeros(len(bias), architecture.speaker_channels)
        if f"{speaker_layer}.weight" in weights:
            row = weights[f"{speaker_layer}.weight"].float().squeeze(2)
            bias = bias + weights[f"{speaker_layer}.bias"].float()
        rows.append(row)
        biases.append(bias)
    return {"speaker.weight": torch.cat(rows), "speaker.bias": torch.cat(biases)}


@dataclass(frozen=True, slots=True, eq=False)
class _Convolution:
    weight: Tensor  # [out, in, 1, kernel]
    bias: Tensor | None
    padding: int
    dilation: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=(0, self.padding), dilation=(1, self.dilation))


@dataclass(frozen=True, slots=True, eq=False)
class _Upsampling:
    convolution: _Convolution
    stride: int
    crop: int

    def __call__(self, x: Tensor) -> Tensor:
        """[B, in, 1, T] → [B, out, 1, T·stride]"""
        samples = x.shape[3] * self.stride
        y = self.convolution(x).permute(0, 2, 3, 1)  # [B, 1, T + taps - 1, stride·out]
        y = y.reshape(y.shape[0], 1, y.shape[2] * self.stride, -1)
        return y[:, :, self.crop : self.crop + samples].permute(0, 3, 1, 2)


def _crop(x: Tensor, context: tuple[int, int], field: ReceptiveField) -> tuple[Tensor, tuple[int, int]]:
    """x [..., T] without the steps of its context that lie beyond `field`, and the context that is left."""
    left, right = max(context[0] - field.left, 0), max(context[1] - field.right, 0)
    return x[..., left : x.shape[-1] - right], (context[0] - left, context[1] - right)


_ResidualBlock = tuple[tuple[_Convolution, _Convolution], ...]  # per dilation: the dilated one, the plain one


class HifiganGenerator:
    """Frames → samples. Holds no state but its tensors; the same input gives the same output in any batch."""

    def __init__(self, architecture: HifiganArchitecture, tensors: Mapping[str, Tensor]) -> None:
        """`tensors`: what `prepare_hifigan` made, on the device where the generator is to run."""
        self.architecture = architecture
        self.tensors = tensors
        self.samples_per_frame = prod(architecture.upsample_strides)
        self.receptive_field: ReceptiveField = receptive_field(architecture)
        self._pre = self._convolution("conv_pre")
        self._post = self._convolution("conv_post")
        self._upsamplings = [self._upsampling(i) for i in range(len(architecture.upsample_strides))]
        self._blocks = [self._residual_blocks(i) for i in range(len(architecture.upsample_strides))]
        self._fields = stage_fields(architecture)
        self._offset_channels = [
            architecture.initial_channels >> i for i in range(len(architecture.upsample_strides) + 1)
        ]

    @property
    def dtype(self) -> torch.dtype:
        """Of the residual blocks' convolutions."""
        return self.tensors["resblocks.0.convs1.0.weight"].dtype

    @property
    def device(self) -> torch.device:
        return self.tensors["conv_pre.weight"].device

    @torch.inference_mode()
    def __call__(self, frames: Tensor, speaker: Tensor, context: tuple[int, int] = (0, 0)) -> Tensor:
        """Frames [B, T, in_channels], speaker embeddings [B, speaker_channels] → samples float32 [B, S] in
        [-1, 1].

        `context`: how many of the frames on the left and on the right only surround the others; they get no
        samples, S = (T - left - right) · samples_per_frame. The others' are the same as without it.
        """
        offset, *stage_offsets = self._offsets(speaker)
        x = self._pre(frames.float().unsqueeze(1).permute(0, 3, 1, 2)) + offset
        *fields, post_field = self._fields
        stages = zip(self._upsamplings, self._blocks, stage_offsets, fields, strict=True)
        for upsampling, blocks, offset, field in stages:
            x, context = _crop(x, context, field)
            x = upsampling(F.leaky_relu_(x, SLOPE)) + offset
            x = self._mean_over_blocks(x, blocks)
            context = (context[0] * upsampling.stride, context[1] * upsampling.stride)
        x, context = _crop(x, context, post_field)
        samples = self._post(F.leaky_relu_(x, POST_SLOPE)).tanh_()
        return _crop(samples, context, ReceptiveField(0, 0))[0].flatten(1)

    def _offsets(self, speaker: Tensor) -> list[Tensor]:
        """What is added after `conv_pre` and after each upsampling: float32 [B, channels, 1, 1]."""
        offsets = F.linear(speaker.float(), self.tensors["speaker.weight"], self.tensors["speaker.bias"])
        return [offset[:, :, None, None] for offset in offsets.split(self._offset_channels, dim=1)]

    def _mean_over_blocks(self, x: Tensor, blocks: list[_ResidualBlock]) -> Tensor:
        activated = F.leaky_relu(x, SLOPE).to(self.dtype)
        outputs = (self._residual_block(x, activated, block) for block in blocks)
        return reduce(Tensor.add_, outputs).div_(len(blocks))

    def _residual_block(self, x: Tensor, activated: Tensor, block: _ResidualBlock) -> Tensor:
        """`activated` is the block's first activation of `x`, which its neighbours share."""
        for i, (dilated, plain) in enumerate(block):
            if i > 0:
                activated = F.leaky_relu(x, SLOPE).to(self.dtype)
            update = plain(F.leaky_relu_(dilated(activated), SLOPE))
            x = x + update if i == 0 else x.add_(update)
        return x

    def _convolution(self, name: str, dilation: int = 1) -> _Convolution:
        weight = self.tensors[f"{name}.weight"]
        padding = same_padding(weight.shape[3], dilation)
        return _Convolution(weight, self.tensors.get(f"{name}.bias"), padding, dilation)

    def _upsampling(self, i: int) -> _Upsampling:
        stride, kernel = self.architecture.upsample_strides[i], self.architecture.upsample_kernels[i]
        weight = self.tensors[f"ups.{i}.weight"]
        # Every step reaches `taps` steps of samples, so the first and the last step's start outside of x.
        convolution = _Convolution(weight, None, padding=weight.shape[3] - 1)
        return _Upsampling(convolution, stride, upsampling_crop(kernel, stride))

    def _residual_blocks(self, stage: int) -> list[_ResidualBlock]:
        first = stage * len(self.architecture.resblock_kernels)
        return [
            tuple(
                (
                    self._convolution(f"resblocks.{block}.convs1.{i}", dilation),
                    self._convolution(f"resblocks.{block}.convs2.{i}"),
                )
                for i, dilation in enumerate(dilations)
            )
            for block, dilations in enumerate(self.architecture.resblock_dilations, start=first)
        ]
