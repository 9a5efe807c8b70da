"""The autoregressive engine: slots that decode tokens side by side, whatever the tokens mean.

Prefill caches keys and values of every input but the last. A decode step then consumes one input per slot,
keeps its hidden state as a latent, draws a token from it and looks up the next input: sampling happens in one
place, and a step needs nothing from the host.

Where inputs see each other in both directions up to the last one, prefill runs that one too. The first step
then writes the same keys and values over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from providers.decoding.attention import attend_prompt, prompt_visibility
from providers.decoding.backend import BackendFactory, BackendOptions, backend_of
from providers.decoding.blocks import DecoderWeights, run_blocks
from providers.decoding.kv_cache import PrefixKV, given_back, in_format
from providers.decoding.memory import raise_out_of_memory
from providers.decoding.spec import DecoderSpec, PrefillInput
from providers.decoding.state import FINISH_REASONS, SlotStart
from providers.errors import DeviceOutOfMemory
from providers.host_copy import HostCopy
from providers.interface import Decoding, Progress

__all__ = ["Decoder", "DecoderSpec", "PrefillInput"]

# The host reads which slots have finished after so many steps: on a CPU they are its own memory. A device
# that is read after every step has no queue to work off by itself.
STEPS_BETWEEN_READS = {"cpu": 1, "cuda": 16}


@dataclass(slots=True)
class _Occupant:
    weights: DecoderWeights
    longest: int  # upper bound of its tokens in the KV pool
    most: int  # that it can ever have there
    progress: Progress


@dataclass(slots=True, eq=False)
class _Call:
    """Implements `Decoding`."""

    decoder: Decoder
    occupants: Mapping[int, _Occupant]  # by slot, as they were when it began
    remaining: int  # steps that aren't queued yet
    reached: HostCopy | None = None  # where the queued ones lead, unless that was read

    def progress(self) -> dict[int, Progress]:
        return self.decoder._finish(self)


class Decoder:
    """One KV pool on one device. One thread drives it, except `cache_prefix`, which touches no slot."""

    def __init__(
        self,
        spec: DecoderSpec,
        num_slots: int,
        device: torch.device,
        dtype: torch.dtype,
        backend: BackendFactory | None = None,
        kv_bytes: int | None = None,
        use_graphs: bool = True,
        steps_between_reads: int | None = None,
    ) -> None:
        """Raises DeviceOutOfMemory when the pool does not fit.

        `backend` and `steps_between_reads` replace the device's own choice: see `backend_of` and
        `STEPS_BETWEEN_READS`. For the others see `BackendOptions`.
        """
        self.spec = spec
        self._device = device
        self._dtype = dtype
        self._occupants: dict[int, _Occupant] = {}
        make = backend or backend_of(spec, device)
        options = BackendOptions(num_slots, kv_bytes, use_graphs)
        with raise_out_of_memory(f"the state of {num_slots} slots"), torch.inference_mode():
            self._backend = make(spec, device, dtype, options)
        self._state = self._backend.state
        self.num_slots = self._backend.num_slots
        self._steps_between_reads = steps_between_reads or STEPS_BETWEEN_READS[device.type]

    @torch.inference_mode()
    def warm_up(self, weights: DecoderWeights) -> None:
        """Prepare what the first request would otherwise wait for, with any submission's weights."""
        with raise_out_of_memory("the graphs of decode steps"):
            self._backend.warm_up(weights)

    def room(self) -> int:
        """How many utterances of ordinary length could be prefilled now."""
        return self._backend.room()

    @torch.inference_mode()
    def cache_prefix(self, weights: DecoderWeights, embeddings: Tensor) -> PrefixKV:
        """Keys and values of a prefix [P, C] that starts many prompts of one submission."""
        kv_dtype = self.spec.kv_dtype or self._dtype
        keys: list[Tensor] = []
        values: list[Tensor] = []
        is_visible = prompt_visibility(len(embeddings), len(embeddings), 0, self._device)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys.append(given_back(k, kv_dtype))
            values.append(given_back(v, kv_dtype))
            return attend_prompt(q, keys[-1], values[-1], is_visible)

        with raise_out_of_memory(f"a prefix of {len(embeddings)} tokens"):
            run_blocks(weights, embeddings.to(self._device, self._dtype), attend)
            return PrefixKV(*(in_format(torch.stack(parts), kv_dtype) for parts in (keys, values)))

    @torch.inference_mode()
    def prefill(self, inputs: Mapping[int, PrefillInput]) -> None:
        """Start an utterance in each of these free slots.

        Raises DeviceOutOfMemory; then these slots are still free and the others as they were.
        """
        if not inputs:
            return
        for slot, prompt in inputs.items():
            self._check_admissible(slot, prompt)
        what = f"the prompts of {len(inputs)} slots"
        try:
            with raise_out_of_memory(what):
                if not all(self._backend.hold(slot, prompt.num_tokens) for slot, prompt in inputs.items()):
                    raise DeviceOutOfMemory(f"no room for the keys and values of {what}")
                # Last what takes the device longest: the first steps are queued behind it meanwhile.
                self._start(inputs)
                self._backend.cache_prompts(inputs)
        except BaseException:
            self.release([*inputs])
            raise

    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        """Advance each slot by up to `num_steps` tokens. A finished slot stays where it is, and so does one
        for whose next tokens there is no memory until others have ended.
        """
        return self.begin_decode(slots, num_steps).progress()

    @torch.inference_mode()
    def begin_decode(self, slots: Sequence[int], num_steps: int) -> Decoding:
        """The same in two parts. What the device does by itself meanwhile is up to it: a CUDA device has its
        first steps queued when this returns, a CPU makes all of them when it is asked for progress.
        """
        call = _Call(self, {slot: self._occupants[slot] for slot in slots}, num_steps)
        if self._steps_between_reads > 1:
            self._queue(call)
        return call

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
            self._backend.release(slot)

    def forget(self, weights: DecoderWeights) -> None:
        """Drop what was prepared for weights that leave the device. No slot may be using them."""
        self._backend.forget(weights)

    def _check_admissible(self, slot: int, prompt: PrefillInput) -> None:
        length = prompt.num_tokens
        if slot in self._occupants or not 0 <= slot < self.num_slots:
            raise ValueError(f"found slot {slot}; expected a free one of {self.num_slots}")
        if len(prompt.embeddings) < 2 or length > self.spec.max_prompt:
            raise ValueError(f"found a prompt of {length} inputs; expected 2 to {self.spec.max_prompt}")
        if not 0 <= prompt.bidirectional <= len(prompt.embeddings):
            raise ValueError(
                f"found {prompt.bidirectional} bidirectional inputs; expected 0 to {len(prompt.embeddings)}"
            )

    def _start(self, inputs: Mapping[int, PrefillInput]) -> None:
        starts = {slot: _slot_start(prompt) for slot, prompt in inputs.items()}
        self._state.start(starts)
        for slot, prompt in inputs.items():
            cached = starts[slot].cached
            most = cached + min(prompt.sampling.max_tokens, self.spec.max_tokens)
            self._occupants[slot] = _Occupant(prompt.weights, cached, most, Progress(0))

    def _movable(self, slots: Sequence[int], steps: int) -> list[int]:
        """Unfinished slots whose next tokens there is memory for."""

        def can_move(slot: int) -> bool:
            occupant = self._occupants[slot]
            if occupant.progress.finished:
                return False
            return self._backend.hold(slot, min(occupant.longest + steps, occupant.most))

        return [slot for slot in slots if can_move(slot)]

    def _by_weights(self, slots: Sequence[int]) -> dict[DecoderWeights, list[int]]:
        groups: dict[DecoderWeights, list[int]] = {}
        for slot in slots:
            groups.setdefault(self._occupants[slot].weights, []).append(slot)
        return groups

    def _lengthen(self, slots: Sequence[int], steps: int) -> int:
        """Count more tokens for these slots; return the longest. Some may have finished unread."""
        for slot in slots:
            occupant = self._occupants[slot]
            occupant.longest = min(occupant.longest + steps, occupant.most)
        return max(self._occupants[slot].longest for slot in slots)

    def _queue(self, call: _Call) -> bool:
        """Have the device make a call's next tokens, as many as it makes without being looked at.

        Whether there are any.
        """
        steps = min(call.remaining, self._steps_between_reads)
        moving = self._movable(self._present(call), steps) if steps else []
        if not moving:
            return False
        self._backend.run(self._by_weights(moving), steps, self._lengthen(moving, steps))
        call.remaining -= steps
        call.reached = self._state.progress()
        return True

    @torch.inference_mode()
    def _finish(self, call: _Call) -> dict[int, Progress]:
        while call.reached is not None or self._queue(call):
            assert call.reached is not None
            generated, finish = call.reached.wait().tolist()
            call.reached = None
            for slot, occupant in call.occupants.items():
                occupant.progress = Progress(generated[slot], FINISH_REASONS[finish[slot]])
        return {slot: call.occupants[slot].progress for slot in self._present(call)}

    def _present(self, call: _Call) -> list[int]:
        """The slots of a call whose utterances are still there."""
        return [slot for slot, occupant in call.occupants.items() if self._occupants.get(slot) is occupant]


def _slot_start(prompt: PrefillInput) -> SlotStart:
    return SlotStart(
        cached=prompt.num_tokens - 1,
        position=prompt.position,
        next_input=prompt.embeddings[-1],
        seen=prompt.seen,
        sampling=prompt.sampling,
        utterance_index=prompt.utterance_index,
    )
