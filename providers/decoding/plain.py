"""Decoding in plain tensor operations: what runs on every device, and what the fused kernels are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from providers.decoding.attention import (
    Attention,
    AttentionFactory,
    BagAttention,
    RowAttention,
    attend_prompt,
    prompt_visibility,
)
from providers.decoding.backend import BackendOptions, draw
from providers.decoding.blocks import Attend, DecoderWeights, run_blocks
from providers.decoding.kv_cache import KVShape, given_back
from providers.decoding.linear import CPU_PROMPT_ROWS
from providers.decoding.spec import DecoderSpec, PrefillInput
from providers.decoding.state import SlotState
from providers.decoding.step_graph import EagerSteps, StepGraphs, StepRunnerFactory


class PlainBackend:
    """Implements `Backend`. Submissions have a pass each, one after the other."""

    def __init__(
        self,
        spec: DecoderSpec,
        device: torch.device,
        dtype: torch.dtype,
        options: BackendOptions,
        attention: AttentionFactory | None = None,
        steps: StepRunnerFactory | None = None,
    ) -> None:
        """`attention` and `steps` replace the device's own: rows and graphs on CUDA, bags and eager steps on
        a CPU.
        """
        on_cpu = device.type == "cpu"
        attention = attention or (BagAttention if on_cpu else RowAttention)
        steps = steps or (EagerSteps if on_cpu or not options.use_graphs else StepGraphs)
        self._spec, self._device, self._dtype = spec, device, dtype
        self._kv_dtype = spec.kv_dtype or dtype
        self.num_slots = self._affordable_slots(options)
        slots = self.num_slots + 1
        shape = KVShape(spec.layers, spec.heads, spec.head_channels, slots, spec.capacity)
        self._attention: Attention = attention(shape, device, dtype)
        self.state = SlotState(slots, spec.max_tokens, spec.vocabulary, spec.channels, device, dtype)
        self._steps = steps(self._step, self.num_slots, spec.capacity, device)
        self._taken: set[int] = set()

    def warm_up(self, weights: DecoderWeights) -> None:
        pass  # its graphs belong to one submission each: they are captured when it speaks

    def hold(self, slot: int, tokens: int) -> bool:
        self._taken.add(slot)
        return True  # every slot has room for the longest

    def room(self) -> int:
        return self.num_slots - len(self._taken)

    def cache_prompts(self, prompts: Mapping[int, PrefillInput]) -> None:
        groups: dict[DecoderWeights, dict[int, PrefillInput]] = {}
        for slot, prompt in prompts.items():
            groups.setdefault(prompt.weights, {})[slot] = prompt
        for weights, group in groups.items():
            self._cache_group(weights, group)

    def run(self, groups: Mapping[DecoderWeights, Sequence[int]], steps: int, longest: int) -> None:
        for _ in range(steps):
            for weights, slots in groups.items():
                self._steps.run(weights, slots, longest)

    def release(self, slot: int) -> None:
        self._taken.discard(slot)

    def forget(self, weights: DecoderWeights) -> None:
        self._steps.forget(weights)

    def _affordable_slots(self, options: BackendOptions) -> int:
        if options.kv_bytes is None:
            return options.num_slots
        spec = self._spec
        slot_bytes = 2 * spec.layers * spec.channels * spec.capacity * self._dtype.itemsize
        return max(1, min(options.num_slots, options.kv_bytes // slot_bytes))

    def _cache_group(self, weights: DecoderWeights, prompts: Mapping[int, PrefillInput]) -> None:
        """Run several prompts as one sequence of rows: only attention sees them apart."""
        lengths = [prompt.num_run for prompt in prompts.values()]
        padding = -sum(lengths) % CPU_PROMPT_ROWS if self._device.type == "cpu" else 0
        attentions = [self._prompt_attention(slot, prompt) for slot, prompt in prompts.items()]

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            split = [x[: len(x) - padding].split(lengths) for x in (queries, keys, values)]
            parts = zip(*split, strict=True)
            attended = [one(layer, *part) for one, part in zip(attentions, parts, strict=True)]
            return F.pad(torch.cat(attended), (0, 0, 0, padding))

        rows = torch.cat([prompt.embeddings[: prompt.num_run] for prompt in prompts.values()])
        run_blocks(weights, F.pad(rows.to(self._device, self._dtype), (0, 0, 0, padding)), attend)

    def _prompt_attention(self, slot: int, prompt: PrefillInput) -> Attend:
        """Caches what a prompt's inputs attend to, and attends."""
        prefix = prompt.prefix
        total = prompt.num_run + prompt.prefix_tokens
        is_visible = prompt_visibility(prompt.num_run, total, prompt.bidirectional, self._device)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            keys, values = self._remembered(keys), self._remembered(values)
            if prefix is not None:
                keys = torch.cat((prefix.keys[layer].to(keys), keys))
                values = torch.cat((prefix.values[layer].to(values), values))
            self._attention.write_prompt(layer, slot, keys, values)
            return attend_prompt(queries, keys, values, is_visible)

        return attend

    def _step(self, weights: DecoderWeights, slots: Tensor, bound: int) -> None:
        """One decode step of slots [B]. All that it reads and writes is on the device, at fixed addresses."""
        state = self.state
        plan = self._attention.plan(slots, state.cached[slots], bound)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return self._attention(layer, plan, queries, self._remembered(keys), self._remembered(values))

        latents = weights.latents(run_blocks(weights, state.next_input[slots], attend))
        draw(state, self._spec, slots, latents, weights.head(latents), weights.embed)

    def _remembered(self, x: Tensor) -> Tensor:
        """Keys or values as the cache's format gives them back. Here they take the engine's all the same."""
        return given_back(x, self._kv_dtype)
