"""What a decoder is told: the shape that its submissions share, and an utterance to speak."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from providers.decoding.blocks import DecoderWeights
from providers.decoding.kv_cache import PrefixKV
from providers.decoding.sampler import PLAIN_RULE, SamplingRule
from providers.interface import SamplingParams


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """What all submissions of one engine share."""

    layers: int
    channels: int
    heads: int
    vocabulary: int
    stop_token: int
    max_prompt: int  # inputs before the first drawn token
    max_tokens: int  # drawn tokens, with the stop token if it counts
    rule: SamplingRule = PLAIN_RULE
    counts_stop: bool = True  # the stop token is one of an utterance's tokens, with a latent
    kv_dtype: torch.dtype | None = None  # of cached keys and values; None: the engine's

    @property
    def capacity(self) -> int:
        """Tokens per slot in the KV pool; fused attention kernels want masks of a multiple of eight."""
        return -(-(self.max_prompt + self.max_tokens) // 8) * 8

    @property
    def head_channels(self) -> int:
        return self.channels // self.heads


@dataclass(frozen=True, slots=True, eq=False)
class PrefillInput:
    """One utterance for one slot."""

    weights: DecoderWeights
    embeddings: Tensor  # [T, C], T >= 2: inputs after the prefix; the first decode step consumes the last one
    position: int  # row of the position table for the first drawn token
    seen: Collection[int]  # tokens that the repetition penalty counts from the start
    sampling: SamplingParams
    utterance_index: int = 0
    prefix: PrefixKV | None = None
    bidirectional: int = 0  # of the embeddings, so many at the front see each other: text before audio

    @property
    def prefix_tokens(self) -> int:
        return self.prefix.num_tokens if self.prefix else 0

    @property
    def num_tokens(self) -> int:
        return self.prefix_tokens + len(self.embeddings)

    @property
    def num_run(self) -> int:
        """Of the embeddings, those that prefill runs: not the last one, unless others see it."""
        return max(len(self.embeddings) - 1, self.bidirectional)
