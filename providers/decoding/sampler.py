"""Draws one token per row, each row with its own parameters, in tensor operations of static shape.

The order of the filters is Hugging Face's, which the published XTTS uses: repetition penalty, temperature,
top-k, top-p, softmax. Random numbers are a hash of (seed, utterance, step, token): a row's draw depends on
nothing else, so not on its neighbours, its slot, or how steps were grouped into calls.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_MASK_32 = 0xFFFFFFFF
_MASK_64 = 0xFFFFFFFFFFFFFFFF
_GOLDEN_RATIO_32 = 0x9E3779B9


class SamplingRows(NamedTuple):
    """`SamplingParams` of B rows."""

    temperature: Tensor  # [B] float32; 0 is greedy
    top_k: Tensor  # [B] int64; 0 is off
    top_p: Tensor  # [B] float32
    repetition_penalty: Tensor  # [B] float32
    key: Tensor  # [B, 2] int64, 32 bits each: see `random_key`


def sample(logits: Tensor, seen: Tensor, rows: SamplingRows, steps: Tensor) -> Tensor:
    """Draw tokens [B] from logits [B, V] float32; seen [B, V] bool; steps [B] count an utterance's draws."""
    penalised = penalise(logits, seen, rows.repetition_penalty)
    probabilities = filter_probabilities(penalised, rows.temperature, rows.top_k, rows.top_p)
    # The least of exponential variates with rates p is at token t with probability p[t].
    variates = -torch.log(uniform(rows.key, steps, logits.shape[-1]))
    drawn = (probabilities / variates).argmax(dim=-1)
    return torch.where(rows.temperature == 0, penalised.argmax(dim=-1), drawn)


def penalise(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Make seen tokens less likely: a negative logit times the penalty, a positive one divided by it."""
    penalty = penalty[:, None]
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def filter_probabilities(logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Temperature, top-k (ties kept), top-p (at least one kept), softmax: [B, V] → [B, V].

    Rows with temperature 0 are treated as temperature 1.
    """
    vocabulary = logits.shape[-1]
    scaled = logits / torch.where(temperature == 0, 1.0, temperature)[:, None]
    ascending, order = scaled.sort(dim=-1, stable=True)
    kept = torch.where(top_k == 0, vocabulary, top_k).clamp(max=vocabulary)
    least = ascending.gather(-1, (vocabulary - kept)[:, None])
    ascending = ascending.masked_fill(ascending < least, -torch.inf)
    is_tail = ascending.softmax(dim=-1).cumsum(dim=-1) <= (1 - top_p)[:, None]
    is_tail[:, -1] = False
    probabilities = ascending.masked_fill(is_tail, -torch.inf).softmax(dim=-1)
    return torch.empty_like(probabilities).scatter_(-1, order, probabilities)


def random_key(seed: int, utterance_index: int) -> tuple[int, int]:
    """Two 32-bit words that stand for an utterance's random numbers."""
    word = _mix_64(_mix_64(seed) + utterance_index)
    return word & _MASK_32, word >> 32


def uniform(key: Tensor, steps: Tensor, count: int) -> Tensor:
    """float32 [B, count] in (0, 1), one number per (key, step, token)."""
    step_word = _mix_32(key[:, 0] + steps * _GOLDEN_RATIO_32)
    token = torch.arange(count, device=key.device)
    words = _mix_32(_mix_32(token ^ step_word[:, None]) + key[:, 1:])
    # 23 bits and a half are exact in float32; with more the largest would round to one, whose logarithm is 0.
    return ((words >> 9).float() + 0.5) * 2.0**-23


def _mix_32(words: Tensor) -> Tensor:
    """A 32-bit finaliser (https://nullprogram.com/blog/2018/07/31/, "lowbias32") on words held in int64.

    Products wrap modulo 2^64, which leaves their low 32 bits right.
    """
    words = words & _MASK_32
    words = ((words ^ (words >> 16)) * 0x7FEB352D) & _MASK_32
    words = ((words ^ (words >> 15)) * 0x846CA68B) & _MASK_32
    return words ^ (words >> 16)


def _mix_64(word: int) -> int:
    """A step of the splitmix64 generator (https://prng.di.unimi.it/splitmix64.c)."""
    word = (word + 0x9E3779B97F4A7C15) & _MASK_64
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return word ^ (word >> 31)
