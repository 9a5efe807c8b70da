"""Where every slot stands, in tensors on the device, so that a step needs nothing from the host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from providers.decoding.sampler import SamplingRows, random_key
from providers.host_copy import HostCopy
from providers.interface import FinishReason, SamplingParams

RUNNING, STOPPED, FULL = 0, 1, 2
FINISH_REASONS: dict[int, FinishReason | None] = {RUNNING: None, STOPPED: "stop", FULL: "length"}


@dataclass(frozen=True, slots=True, eq=False)
class SlotStart:
    """An utterance whose prompt is cached."""

    cached: int  # tokens in the KV pool
    position: int  # row of the position table for the first token
    next_input: Tensor  # [C], which the first step consumes
    seen: Collection[int]  # tokens that count as drawn before
    sampling: SamplingParams
    utterance_index: int


class SlotState:
    """One row per slot. Codes and latents have one more column: a finished slot writes behind its end."""

    def __init__(
        self,
        slots: int,
        max_tokens: int,
        vocabulary: int,
        channels: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        def whole(*size: int) -> Tensor:
            return torch.zeros(slots, *size, dtype=torch.int64, device=device)

        def real(*size: int) -> Tensor:
            return torch.ones(slots, *size, dtype=torch.float32, device=device)

        self.max_tokens = max_tokens
        self.cached = whole()  # tokens in the KV pool
        self.generated = whole()  # speech tokens so far
        self.limit = whole()  # of generated
        self.position = whole()  # row of the position table for the next token
        self.finish = torch.full((slots,), STOPPED, dtype=torch.int64, device=device)
        self.next_input = torch.zeros(slots, channels, dtype=dtype, device=device)
        self.codes = whole(max_tokens + 1)
        self.latents = torch.empty(slots, max_tokens + 1, channels, dtype=torch.float32, device=device)
        self.seen = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device)
        self._yes = torch.ones((), dtype=torch.bool, device=device)  # a graph cannot copy a host's True
        self.all_sampling = SamplingRows(
            temperature=real(),
            top_k=whole() + 1,  # the scratch slot's: 0 would have all of its tokens sorted
            top_p=real(),
            repetition_penalty=real(),
            key=whole(2),
        )

    def start(self, starts: Mapping[int, SlotStart]) -> None:
        """Put utterances into slots, all by a few copies and launches: nothing is decoded meanwhile."""
        device, dtype, rows = self.finish.device, self.next_input.dtype, self.all_sampling
        whole = torch.tensor([self._numbers(slot, start) for slot, start in starts.items()])
        real = torch.tensor([_odds(start.sampling) for start in starts.values()], dtype=torch.float32)
        seen = torch.tensor([(slot, token) for slot, start in starts.items() for token in start.seen])
        slots, cached, position, limit, top_k, *key = whole.to(device, non_blocking=True).unbind(1)
        temperature, top_p, repetition_penalty = real.to(device, non_blocking=True).unbind(1)
        next_input = torch.stack([start.next_input for start in starts.values()])
        self.cached[slots] = cached
        self.position[slots] = position
        self.limit[slots] = limit
        self.next_input[slots] = next_input.to(device, dtype)
        rows.top_k[slots] = top_k
        rows.key[slots] = torch.stack(key, dim=1)
        rows.temperature[slots] = temperature
        rows.top_p[slots] = top_p
        rows.repetition_penalty[slots] = repetition_penalty
        self.seen.index_fill_(0, slots, False)
        if len(seen):
            self.seen[seen.to(device, non_blocking=True).unbind(1)] = self._yes
        self.generated.index_fill_(0, slots, 0)
        self.finish.index_fill_(0, slots, RUNNING)

    def _numbers(self, slot: int, start: SlotStart) -> tuple[int, ...]:
        sampling = start.sampling
        limit = min(sampling.max_tokens, self.max_tokens)
        key = random_key(sampling.seed, start.utterance_index)
        return slot, start.cached, start.position, limit, sampling.top_k, *key

    def sampling(self, slots: Tensor) -> SamplingRows:
        return SamplingRows(*(field[slots] for field in self.all_sampling))

    def advance(
        self,
        slots: Tensor,
        tokens: Tensor,
        latents: Tensor,
        next_input: Tensor,
        stop_token: int,
        counts_stop: bool = True,
    ) -> None:
        """Record a step of slots [B]: tokens [B], latents and next_input [B, C]. Finished slots stay."""
        finish, generated = self.finish[slots], self.generated[slots]
        is_running = finish == RUNNING
        self.codes[slots, generated] = tokens
        self.latents[slots, generated] = latents
        self.seen[slots, tokens] = self._yes
        self.next_input[slots] = next_input
        is_stop = tokens == stop_token
        moved = (is_running if counts_stop else is_running & ~is_stop).long()
        generated = generated + moved
        self.generated[slots] = generated
        self.cached[slots] += moved
        self.position[slots] += moved
        reached = torch.where(generated >= self.limit[slots], FULL, RUNNING)
        reached = torch.where(is_stop, STOPPED, reached)
        self.finish[slots] = torch.where(is_running, reached, finish)

    def progress(self) -> HostCopy:
        """`generated` and `finish` of every slot as they are after what is queued by now: [2, slots]"""
        return HostCopy(torch.stack((self.generated, self.finish)))


def _odds(sampling: SamplingParams) -> tuple[float, float, float]:
    return sampling.temperature, sampling.top_p, sampling.repetition_penalty
