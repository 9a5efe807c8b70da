"""What a HiFi-GAN generator's samples depend on, in its input and between its layers, from their kernels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import NamedTuple

from models_store.checkpoints.architecture import HifiganArchitecture

# The two kernels that HiFi-GAN fixes and no published checkpoint changes.
PRE_KERNEL = 7
POST_KERNEL = 7


class ReceptiveField(NamedTuple):
    """Frames on either side of a frame that its samples depend on; in a layer, steps around its own."""

    left: int
    right: int


class _Reach(NamedTuple):
    """First and last step of a layer's input that a frame's samples depend on; the frame's own begin at 0."""

    first: int
    last: int

    def through_convolution(self, kernel: int, dilation: int = 1) -> _Reach:
        padding = same_padding(kernel, dilation)
        return _Reach(self.first - padding, self.last + padding)

    def through_upsampling(self, kernel: int, stride: int) -> _Reach:
        """Output o of a transposed convolution sees inputs i with 0 ≤ o + crop - i·stride < kernel."""
        crop = upsampling_crop(kernel, stride)
        first = -((kernel - 1 - self.first - crop) // stride)  # rounded up
        return _Reach(first, (self.last + crop) // stride)

    def around(self, num_steps: int) -> ReceptiveField:
        """What lies outside of the steps [0, num_steps)."""
        return ReceptiveField(-self.first, self.last - (num_steps - 1))


@lru_cache
def receptive_field(architecture: HifiganArchitecture) -> ReceptiveField:
    """Exact: a change just outside of it changes nothing, a change at its edge changes some sample."""
    *_, frames = _fields(architecture)
    return frames


@lru_cache
def stage_fields(architecture: HifiganArchitecture) -> tuple[ReceptiveField, ...]:
    """The same, as exact, in the input of every upsampling and of `conv_post`, each in its own steps."""
    *stages, _ = _fields(architecture)
    return tuple(reversed(stages))


def _fields(architecture: HifiganArchitecture) -> Iterator[ReceptiveField]:
    """In the input of `conv_post`, of the upsamplings from the last to the first and of `conv_pre`."""
    steps_per_frame = prod(architecture.upsample_strides)
    reach = _Reach(0, steps_per_frame - 1).through_convolution(POST_KERNEL)
    yield reach.around(steps_per_frame)
    upsamplings = zip(architecture.upsample_kernels, architecture.upsample_strides, strict=True)
    for kernel, stride in reversed(list(upsamplings)):
        reach = _through_residual_blocks(reach, architecture).through_upsampling(kernel, stride)
        steps_per_frame //= stride
        yield reach.around(steps_per_frame)
    yield reach.through_convolution(PRE_KERNEL).around(1)


def _through_residual_blocks(reach: _Reach, architecture: HifiganArchitecture) -> _Reach:
    """Blocks run side by side: the widest counts."""
    reaches = []
    kernels = zip(architecture.resblock_kernels, architecture.resblock_dilations, strict=True)
    for kernel, dilations in kernels:
        through = reach
        for dilation in dilations:
            through = through.through_convolution(kernel).through_convolution(kernel, dilation)
        reaches.append(through)
    return _Reach(min(r.first for r in reaches), max(r.last for r in reaches))


def same_padding(kernel: int, dilation: int = 1) -> int:
    """Zeros on either side that keep a convolution's length. The kernel must be odd."""
    if kernel % 2 == 0:
        raise ValueError(f"found a convolution kernel of {kernel}; HiFi-GAN's are odd")
    return dilation * (kernel - 1) // 2


def upsampling_crop(kernel: int, stride: int) -> int:
    """Samples that a transposed convolution drops at either end to make `stride` per input."""
    if kernel < stride or (kernel - stride) % 2:
        raise ValueError(
            f"found an upsampling kernel of {kernel} with stride {stride}; "
            "their difference must be even and not negative"
        )
    return (kernel - stride) // 2
