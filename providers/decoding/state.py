"""Where every slot stands, in tensors on the device, so that a step needs nothing from the host."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from providers.decoding.sampler import SamplingRows, random_key
from providers.host_copy import HostCopy
from providers.interface import FinishReason, SamplingParams

RUNNING, STOPPED, FULL = 0, 1, 2
FINISH_REASONS: dict[int, FinishReason | None] = {RUNNING: None, STOPPED: "stop", FULL: "length"}


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
            temperature=real(), top_k=whole(), top_p=real(), repetition_penalty=real(), key=whole(2)
        )

    def start(
        self,
        slot: int,
        *,
        cached: int,
        position: int,
        next_input: Tensor,
        seen: Collection[int],
        sampling: SamplingParams,
        utterance_index: int,
    ) -> None:
        """Put an utterance into a slot: its next step consumes `next_input` [C]."""
        self.cached[slot] = cached
        self.generated[slot] = 0
        self.limit[slot] = min(sampling.max_tokens, self.max_tokens)
        self.position[slot] = position
        self.next_input[slot] = next_input
        self.seen[slot] = False
        self.seen[slot, list(seen)] = True
        self.all_sampling.temperature[slot] = sampling.temperature
        self.all_sampling.top_k[slot] = sampling.top_k
        self.all_sampling.top_p[slot] = sampling.top_p
        self.all_sampling.repetition_penalty[slot] = sampling.repetition_penalty
        self.all_sampling.key[slot] = torch.tensor(random_key(sampling.seed, utterance_index))
        self.finish[slot] = RUNNING

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
