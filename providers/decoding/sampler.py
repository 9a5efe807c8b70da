"""Draws one token per row, each row with its own parameters, in tensor operations of static shape.

Published models filter in different orders and stop by different rules: `SamplingRule`. Random numbers are a
hash of (seed, utterance, step, token): a row's draw depends on nothing else, so not on its neighbours, its
slot, or how steps were grouped into calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_MASK_32 = 0xFFFFFFFF
_MASK_64 = 0xFFFFFFFFFFFFFFFF
_GOLDEN_RATIO_32 = 0x9E3779B9
_FEW = 64  # XTTS's top-k is 50

Filters = Literal["top_k_first", "top_p_first"]


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """How one published model draws and stops, whatever a request's parameters."""

    filters: Filters = "top_k_first"
    min_tokens: int = 0  # drawn before the stop token can be
    stops_if_likeliest: bool = False  # also where the stop token was likeliest but another was drawn


PLAIN_RULE = SamplingRule()  # XTTS's


class SamplingRows(NamedTuple):
    """`SamplingParams` of B rows."""

    temperature: Tensor  # [B] float32; 0 is greedy
    top_k: Tensor  # [B] int64; 0 is off
    top_p: Tensor  # [B] float32
    repetition_penalty: Tensor  # [B] float32
    key: Tensor  # [B, 2] int64, 32 bits each: see `random_key`


def sample(
    logits: Tensor, seen: Tensor, rows: SamplingRows, steps: Tensor, rule: SamplingRule, stop_token: int
) -> Tensor:
    """Draw tokens [B] from logits [B, V] float32; seen [B, V] bool; steps [B] count an utterance's draws.

    Where the rule says that an utterance stops, the token is the stop token.
    """
    if rule.min_tokens:
        logits = _block(logits, stop_token, steps < rule.min_tokens)
    penalised = penalise(logits, seen, rows.repetition_penalty)
    is_greedy = rows.temperature == 0
    drawn = _draw(penalised, rows._replace(top_k=torch.where(is_greedy, 1, rows.top_k)), steps, rule)
    likeliest = penalised.argmax(dim=-1)
    if rule.stops_if_likeliest:
        is_greedy |= likeliest == stop_token
    return torch.where(is_greedy, likeliest, drawn)


def _draw(logits: Tensor, rows: SamplingRows, steps: Tensor, rule: SamplingRule) -> Tensor:
    """Tokens [B]. On a CPU, rows that keep few tokens have only a few sorted: all of a vocabulary of 5,250
    took a fifth of its decode step. Which rows these are depends on each alone, so its token does, too.
    """
    everything = torch.arange(logits.shape[-1], device=logits.device).expand_as(logits)
    if logits.device.type != "cpu" or rule.filters != "top_k_first" or logits.shape[-1] <= _FEW:
        return _draw_among(everything, logits, rows, steps, rule)
    values, likely = logits.topk(_FEW + 1)
    least = values.gather(-1, (rows.top_k.clamp(1, _FEW) - 1)[:, None])[:, 0]
    is_few = (rows.top_k > 0) & (rows.top_k <= _FEW) & (values[:, -1] < least)  # top-k keeps ties
    drawn = torch.empty_like(steps)
    for which, tokens in ((is_few, likely[:, :-1].sort(dim=-1).values), (~is_few, everything)):
        if which.any():
            own = SamplingRows(*(field[which] for field in rows))
            drawn[which] = _draw_among(tokens[which], logits[which], own, steps[which], rule)
    return drawn


def _draw_among(
    tokens: Tensor, logits: Tensor, rows: SamplingRows, steps: Tensor, rule: SamplingRule
) -> Tensor:
    """One of `tokens` [B, n], ascending, among which are all that the filters leave of logits [B, V]."""
    kept = logits.gather(-1, tokens)
    probabilities = filter_probabilities(kept, rows.temperature, rows.top_k, rows.top_p, rule.filters)
    # The least of exponential variates with rates p is at token t with probability p[t].
    variates = -torch.log(uniform(rows.key, steps, tokens))
    return tokens.gather(-1, (probabilities / variates).argmax(dim=-1, keepdim=True))[:, 0]


def _block(logits: Tensor, token: int, where: Tensor) -> Tensor:
    """Make one token impossible in the rows [B] that `where` tells."""
    is_token = torch.arange(logits.shape[-1], device=logits.device) == token
    return logits.masked_fill(where[:, None] & is_token, -torch.inf)


def penalise(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Make seen tokens less likely: a negative logit times the penalty, a positive one divided by it."""
    penalty = penalty[:, None]
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def filter_probabilities(
    logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, filters: Filters = "top_k_first"
) -> Tensor:
    """Temperature, top-k (ties kept) and top-p (at least one kept) in a rule's order, then softmax: [B, V].

    Rows with temperature 0 are treated as temperature 1.
    """
    ascending, order = logits.sort(dim=-1, stable=True)
    temperature = torch.where(temperature == 0, 1.0, temperature)[:, None]
    kept = _FILTERS[filters](ascending, temperature, top_k[:, None], top_p[:, None])
    probabilities = kept.softmax(dim=-1)
    return torch.empty_like(probabilities).scatter_(-1, order, probabilities)


# Each takes ascending logits [B, V] and temperature, top_k, top_p [B, 1], and gives logits [B, V] of which
# those not kept are minus infinity.
Filter = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _top_k_first(ascending: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Hugging Face's order, which the published XTTS uses. Top-p keeps the token that reaches the mass."""
    ascending = _keep_top_k(ascending / temperature, top_k)
    return _drop_tail(ascending, ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p)


def _top_p_first(ascending: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """GPT-SoVITS's order: top-p at temperature 1, and it drops the token that would exceed the mass."""
    no_less_likely = ascending.softmax(dim=-1).cumsum(dim=-1)
    less_likely = F.pad(no_less_likely[:, :-1], (1, 0))
    return _keep_top_k(_drop_tail(ascending, less_likely < 1 - top_p) / temperature, top_k)


_FILTERS: dict[Filters, Filter] = {"top_k_first": _top_k_first, "top_p_first": _top_p_first}


def _keep_top_k(ascending: Tensor, top_k: Tensor) -> Tensor:
    vocabulary = ascending.shape[-1]
    kept = torch.where(top_k == 0, vocabulary, top_k).clamp(max=vocabulary)
    least = ascending.gather(-1, vocabulary - kept)
    return ascending.masked_fill(ascending < least, -torch.inf)


def _drop_tail(ascending: Tensor, is_tail: Tensor) -> Tensor:
    """All but the likeliest may be dropped."""
    is_tail[:, -1] = False
    return ascending.masked_fill(is_tail, -torch.inf)


def random_key(seed: int, utterance_index: int) -> tuple[int, int]:
    """Two 32-bit words that stand for an utterance's random numbers."""
    word = _mix_64(_mix_64(seed) + utterance_index)
    return word & _MASK_32, word >> 32


def uniform(key: Tensor, steps: Tensor, tokens: Tensor) -> Tensor:
    """float32 [B, n] in (0, 1), one number per (key, step, token); tokens [n] or [B, n]."""
    step_word = _mix_32(key[:, 0] + steps * _GOLDEN_RATIO_32)
    words = _mix_32(_mix_32(tokens ^ step_word[:, None]) + key[:, 1:])
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
