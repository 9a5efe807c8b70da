"""The least time that a step can take on a device: bytes that must move and operations that must be done.

Counted from an architecture alone, so that a measurement can be given as a share of what is possible. What
counts as unavoidable: every weight of the step once per submission, every live key and value once, every
multiplication. Activations are left out: they fit into caches.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from models_store.checkpoints.architecture import HifiganArchitecture
from providers.decoding.decoder import DecoderSpec


class Cost(NamedTuple):
    bytes: float
    flops: float

    def plus(self, other: Cost) -> Cost:
        return Cost(self.bytes + other.bytes, self.flops + other.flops)


@dataclass(frozen=True, slots=True)
class Machine:
    """Rates that a device reaches on plain copies and on large products."""

    bytes_per_s: float
    flops_per_s: float

    def least_s(self, cost: Cost) -> float:
        return max(cost.bytes / self.bytes_per_s, cost.flops / self.flops_per_s)

    def figures(self, cost: Cost, seconds: float) -> dict[str, float]:
        """What something costs that took `seconds`, and how far from possible these are."""
        least_s = self.least_s(cost)
        share = {"bound_ms": 1e3 * least_s, "percent_of_bound": 100 * least_s / seconds}
        return cost._asdict() | share


# An H200's rates as measured on large copies and bfloat16 products; others have no bound to compare with.
MACHINES = {"NVIDIA H200": Machine(bytes_per_s=4.3e12, flops_per_s=790e12)}


def decode_step(
    spec: DecoderSpec, streams: int, context: float, submissions: int = 1, bytes_per_value: int = 2
) -> Cost:
    """One token for each of `streams` utterances, which have `context` tokens cached on average."""
    weights = decoder_weights(spec)
    cached = 2 * spec.layers * spec.channels * context  # keys and values of one utterance
    bytes_per_cached = spec.kv_dtype.itemsize if spec.kv_dtype else bytes_per_value
    return Cost(
        bytes=bytes_per_value * submissions * weights + bytes_per_cached * streams * cached,
        flops=2 * streams * (weights + cached),
    )


def prefill(spec: DecoderSpec, prompts: int, tokens: int, bytes_per_value: int = 2) -> Cost:
    """Prompts of one submission, of so many tokens each; half of all pairs of tokens see each other."""
    blocks = decoder_weights(spec) - spec.vocabulary * spec.channels
    attention = 2 * spec.layers * spec.channels * tokens / 2
    return Cost(
        bytes=bytes_per_value * (blocks + 2 * spec.layers * spec.channels * prompts * tokens),
        flops=2 * prompts * tokens * (blocks + attention),
    )


def decoder_weights(spec: DecoderSpec) -> int:
    """Values that a step multiplies with: four products per block, and the head."""
    return 12 * spec.layers * spec.channels**2 + spec.vocabulary * spec.channels


def vocoder_frame(architecture: HifiganArchitecture) -> Cost:
    """One frame through a HiFi-GAN generator; its weights stay in caches, so only operations count."""
    products = 7 * architecture.in_channels * architecture.initial_channels
    channels, rate = architecture.initial_channels, 1
    taps = sum(
        2 * kernel * len(dilations)
        for kernel, dilations in zip(
            architecture.resblock_kernels, architecture.resblock_dilations, strict=True
        )
    )
    stages = zip(architecture.upsample_strides, architecture.upsample_kernels, strict=True)
    for stride, kernel in stages:
        # Every input of a transposed convolution is multiplied with every tap once.
        products += rate * kernel * channels * (channels // 2)
        channels, rate = channels // 2, rate * stride
        products += rate * taps * channels**2
    assert rate == prod(architecture.upsample_strides)
    return Cost(bytes=0, flops=2 * (products + 7 * rate * channels))
