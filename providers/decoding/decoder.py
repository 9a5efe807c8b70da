"""The autoregressive engine: slots that decode tokens side by side, whatever the tokens mean.

Prefill caches keys and values of every input but the last. A decode step then consumes one input per slot,
keeps its hidden state as a latent, draws a token from it and looks up the next input: sampling happens in one
place, and a step needs nothing from the host.

Where inputs see each other in both directions up to the last one, prefill runs that one too. The first step
then writes the same keys and values over it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from providers.decoding.attention import (
    Attention,
    AttentionFactory,
    BagAttention,
    RowAttention,
    attend_prompt,
    prompt_visibility,
)
from providers.decoding.blocks import Attend, DecoderWeights, run_blocks
from providers.decoding.kv_cache import KVShape, PrefixKV
from providers.decoding.memory import raise_out_of_memory
from providers.decoding.sampler import PLAIN_RULE, SamplingRule, sample
from providers.decoding.state import FINISH_REASONS, SlotState
from providers.decoding.step_graph import EagerSteps, StepGraphs, StepRunnerFactory
from providers.interface import Progress, SamplingParams


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

    @property
    def capacity(self) -> int:
        """Tokens per slot in the KV pool; fused attention kernels want masks of a multiple of eight."""
        return -(-(self.max_prompt + self.max_tokens) // 8) * 8


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


# The host reads which slots have finished after so many steps: on a CPU they are its own memory.
STEPS_BETWEEN_READS = {"cpu": 1, "cuda": 16}


@dataclass(slots=True)
class _Occupant:
    weights: DecoderWeights
    longest: int  # upper bound of its tokens in the KV pool
    progress: Progress


class Decoder:
    """One KV pool on one device. One thread drives it, except `cache_prefix`, which touches no slot."""

    def __init__(
        self,
        spec: DecoderSpec,
        num_slots: int,
        device: torch.device,
        dtype: torch.dtype,
        attention: AttentionFactory | None = None,
        steps: StepRunnerFactory | None = None,
        steps_between_reads: int | None = None,
    ) -> None:
        """Raises DeviceOutOfMemory when the pool does not fit.

        The last three replace the device's own choice: rows and graphs on CUDA, bags and eager steps on a
        CPU, `STEPS_BETWEEN_READS`.
        """
        on_cpu = device.type == "cpu"
        attention = attention or (BagAttention if on_cpu else RowAttention)
        steps = steps or (EagerSteps if on_cpu else StepGraphs)
        self.spec = spec
        self._device = device
        self._dtype = dtype
        self._scratch_slot = num_slots
        self._occupants: dict[int, _Occupant] = {}
        head_channels = spec.channels // spec.heads
        shape = KVShape(spec.layers, spec.heads, head_channels, num_slots + 1, spec.capacity)
        with raise_out_of_memory(f"the state of {num_slots} slots"), torch.inference_mode():
            self._attention: Attention = attention(shape, device, dtype)
            self._state = SlotState(
                num_slots + 1, spec.max_tokens, spec.vocabulary, spec.channels, device, dtype
            )
        self._steps = steps(self._step, self._scratch_slot, spec.capacity, device)
        self._steps_between_reads = steps_between_reads or STEPS_BETWEEN_READS[device.type]

    @torch.inference_mode()
    def cache_prefix(self, weights: DecoderWeights, embeddings: Tensor) -> PrefixKV:
        """Keys and values of a prefix [P, C] that starts many prompts of one submission."""
        keys: list[Tensor] = []
        values: list[Tensor] = []
        is_visible = prompt_visibility(len(embeddings), len(embeddings), 0, self._device)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys.append(k)
            values.append(v)
            return attend_prompt(q, k, v, is_visible)

        with raise_out_of_memory(f"a prefix of {len(embeddings)} tokens"):
            run_blocks(weights, embeddings.to(self._device, self._dtype), attend)
            return PrefixKV(torch.stack(keys), torch.stack(values))

    @torch.inference_mode()
    def prefill(self, inputs: Mapping[int, PrefillInput]) -> None:
        """Start an utterance in each of these free slots.

        Raises DeviceOutOfMemory; then these slots are still free and the others as they were.
        """
        for slot, prompt in inputs.items():
            self._check_admissible(slot, prompt)
        groups: dict[DecoderWeights, dict[int, PrefillInput]] = {}
        for slot, prompt in inputs.items():
            groups.setdefault(prompt.weights, {})[slot] = prompt
        with raise_out_of_memory(f"the prompts of {len(inputs)} slots"):
            for weights, group in groups.items():
                self._cache_prompts(weights, group)
            for slot, prompt in inputs.items():
                self._start(slot, prompt)

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        """Advance each slot by up to `num_steps` tokens; a finished slot stays where it is."""
        remaining = num_steps
        while remaining > 0 and (running := [s for s in slots if not self._occupants[s].progress.finished]):
            steps = min(remaining, self._steps_between_reads)
            for _ in range(steps):
                for weights, group in self._by_weights(running):
                    self._steps.run(weights, group, self._lengthen(group))
            self._read_progress(running)
            remaining -= steps
        return {slot: self._occupants[slot].progress for slot in slots}

    def latents(self, slot: int, start: int, stop: int) -> Tensor:
        """[stop - start, C] float32 of drawn tokens; valid until the slot is released."""
        return self._state.latents[slot, start:stop]

    def tokens(self, slot: int, start: int, stop: int) -> Tensor:
        """[stop - start] int64 of drawn tokens, on the device; valid until the slot is released."""
        return self._state.codes[slot, start:stop]

    def codes(self, slot: int) -> list[int]:
        """The tokens drawn so far, with the stop token if it counts."""
        return self.tokens(slot, 0, self._occupants[slot].progress.num_tokens).tolist()

    def release(self, slots: Sequence[int]) -> None:
        """Free slots, finished or not. Slots that are free already stay so."""
        for slot in slots:
            self._occupants.pop(slot, None)

    def forget(self, weights: DecoderWeights) -> None:
        """Drop the graphs of weights that leave the device. No slot may be using them."""
        self._steps.forget(weights)

    def _check_admissible(self, slot: int, prompt: PrefillInput) -> None:
        prefix_length = prompt.prefix.num_tokens if prompt.prefix else 0
        length = prefix_length + len(prompt.embeddings)
        if slot in self._occupants or not 0 <= slot < self._scratch_slot:
            raise ValueError(f"found slot {slot}; expected a free one of {self._scratch_slot}")
        if len(prompt.embeddings) < 2 or length > self.spec.max_prompt:
            raise ValueError(f"found a prompt of {length} inputs; expected 2 to {self.spec.max_prompt}")
        if not 0 <= prompt.bidirectional <= len(prompt.embeddings):
            raise ValueError(
                f"found {prompt.bidirectional} bidirectional inputs; expected 0 to {len(prompt.embeddings)}"
            )

    def _cache_prompts(self, weights: DecoderWeights, prompts: Mapping[int, PrefillInput]) -> None:
        """Run several prompts as one sequence of rows, without padding: only attention sees them apart."""
        lengths = [max(len(prompt.embeddings) - 1, prompt.bidirectional) for prompt in prompts.values()]
        attentions = [
            self._prompt_attention(slot, prompt, length)
            for (slot, prompt), length in zip(prompts.items(), lengths, strict=True)
        ]

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            parts = zip(queries.split(lengths), keys.split(lengths), values.split(lengths), strict=True)
            return torch.cat([one(layer, *part) for one, part in zip(attentions, parts, strict=True)])

        rows = [prompt.embeddings[:length] for prompt, length in zip(prompts.values(), lengths, strict=True)]
        run_blocks(weights, torch.cat(rows).to(self._device, self._dtype), attend)

    def _prompt_attention(self, slot: int, prompt: PrefillInput, length: int) -> Attend:
        """Caches what a prompt's first `length` inputs attend to, and attends."""
        prefix = prompt.prefix
        total = length + (prefix.num_tokens if prefix else 0)
        is_visible = prompt_visibility(length, total, prompt.bidirectional, self._device)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            if prefix is not None:
                keys = torch.cat((prefix.keys[layer], keys))
                values = torch.cat((prefix.values[layer], values))
            self._attention.write_prompt(layer, slot, keys, values)
            return attend_prompt(queries, keys, values, is_visible)

        return attend

    def _start(self, slot: int, prompt: PrefillInput) -> None:
        prefix_length = prompt.prefix.num_tokens if prompt.prefix else 0
        cached = prefix_length + len(prompt.embeddings) - 1
        self._state.start(
            slot,
            cached=cached,
            position=prompt.position,
            next_input=prompt.embeddings[-1],
            seen=prompt.seen,
            sampling=prompt.sampling,
            utterance_index=prompt.utterance_index,
        )
        self._occupants[slot] = _Occupant(prompt.weights, cached, Progress(0))

    def _step(self, weights: DecoderWeights, slots: Tensor, bound: int) -> None:
        """One decode step of slots [B]. All that it reads and writes is on the device, at fixed addresses."""
        state, spec = self._state, self.spec
        plan = self._attention.plan(slots, state.cached[slots], bound)
        hidden = run_blocks(
            weights,
            state.next_input[slots],
            lambda layer, queries, keys, values: self._attention(layer, plan, queries, keys, values),
        )
        latents = weights.latents(hidden)
        tokens = sample(
            weights.head(latents),
            state.seen[slots],
            state.sampling(slots),
            state.generated[slots],
            spec.rule,
            spec.stop_token,
        )
        next_input = weights.embed(tokens, state.position[slots])
        state.advance(slots, tokens, latents, next_input, spec.stop_token, spec.counts_stop)

    def _by_weights(self, slots: Sequence[int]) -> Iterator[tuple[DecoderWeights, list[int]]]:
        groups: dict[DecoderWeights, list[int]] = {}
        for slot in slots:
            groups.setdefault(self._occupants[slot].weights, []).append(slot)
        return iter(groups.items())

    def _lengthen(self, slots: Sequence[int]) -> int:
        """Count one more token for these slots; return the longest. Some may have finished unread."""
        for slot in slots:
            occupant = self._occupants[slot]
            occupant.longest = min(occupant.longest + 1, self.spec.capacity)
        return max(self._occupants[slot].longest for slot in slots)

    def _read_progress(self, slots: Sequence[int]) -> None:
        generated, finish = self._state.read_progress()
        for slot in slots:
            self._occupants[slot].progress = Progress(generated[slot], FINISH_REASONS[finish[slot]])
