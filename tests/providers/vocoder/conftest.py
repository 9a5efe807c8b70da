"""HiFi-GAN as its paper and published checkpoints have it, written plainly, and small random ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from models_store.checkpoints.architecture import HifiganArchitecture

Weights = Mapping[str, Tensor]


def _reference(
    architecture: HifiganArchitecture, weights: Weights, frames: Tensor, speaker: Tensor
) -> Tensor:
    """Frames [B, T, in_channels] → samples [B, S], in the weights' dtype, whole utterances only."""
    w, g = weights, speaker[:, :, None]
    x = F.conv1d(frames.mT, w["conv_pre.weight"], w["conv_pre.bias"], padding=3)
    x = x + F.conv1d(g, w["cond_layer.weight"], w["cond_layer.bias"])
    num_blocks = len(architecture.resblock_kernels)
    upsamplings = zip(architecture.upsample_strides, architecture.upsample_kernels, strict=True)
    for i, (stride, kernel) in enumerate(upsamplings):
        x = F.conv_transpose1d(
            F.leaky_relu(x, 0.1),
            w[f"ups.{i}.weight"],
            w[f"ups.{i}.bias"],
            stride=stride,
            padding=(kernel - stride) // 2,
        )
        if f"conds.{i}.weight" in w:
            x = x + F.conv1d(g, w[f"conds.{i}.weight"], w[f"conds.{i}.bias"])
        total = torch.zeros_like(x)
        for j, dilations in enumerate(architecture.resblock_dilations):
            y, block = x, f"resblocks.{i * num_blocks + j}"
            for k, dilation in enumerate(dilations):
                z = _same(F.leaky_relu(y, 0.1), w, f"{block}.convs1.{k}", dilation)
                y = y + _same(F.leaky_relu(z, 0.1), w, f"{block}.convs2.{k}")
            total = total + y
        x = total / num_blocks
    bias = w.get("conv_post.bias")
    return torch.tanh(F.conv1d(F.leaky_relu(x, 0.01), w["conv_post.weight"], bias, padding=3))[:, 0]


def _same(x: Tensor, weights: Weights, name: str, dilation: int = 1) -> Tensor:
    return F.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], dilation=dilation, padding="same")


@st.composite
def _architectures(draw: Any) -> HifiganArchitecture:
    strides = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    kernels = [stride + 2 * draw(st.integers(0, 4)) for stride in strides]
    dilations = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
    blocks = draw(st.lists(st.tuples(st.sampled_from((1, 3, 5, 7)), dilations), min_size=1, max_size=3))
    return HifiganArchitecture(
        in_channels=draw(st.integers(1, 6)),
        initial_channels=16,
        upsample_strides=tuple(strides),
        upsample_kernels=tuple(kernels),
        resblock_kernels=tuple(kernel for kernel, _ in blocks),
        resblock_dilations=tuple(dilations for _, dilations in blocks),
        speaker_channels=draw(st.integers(1, 4)),
    )


@pytest.fixture(scope="session")
def reference_hifigan() -> Callable[..., Tensor]:
    return _reference


@pytest.fixture(scope="session")
def architectures() -> st.SearchStrategy[HifiganArchitecture]:
    return _architectures()
