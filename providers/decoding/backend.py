"""How prompts and steps run on a device: what `Decoder` drives, and which one a device gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
import torch

from providers.decoding.blocks import DecoderWeights
from providers.decoding.sampler import sample
from providers.decoding.spec import DecoderSpec, PrefillInput
from providers.decoding.state import SlotState
from providers.errors import EngineError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What an engine wants of its backend."""

    num_slots: int
    kv_bytes: int | None = None  # most that keys and values may take; None: what all slots could need
    use_graphs: bool = True  # capture steps as CUDA graphs


class Backend(Protocol):
    """Owns the KV pool and the state of one engine's slots. The slot behind the last is scratch."""

    state: SlotState
    num_slots: int

    def warm_up(self, weights: DecoderWeights) -> None:
        """Prepare for the first request whatever can be, with any submission's weights."""

    def hold(self, slot: int, tokens: int) -> bool:
        """Have memory for so many tokens of a slot. If there is none now, nothing has changed."""

    def room(self) -> int:
        """How many utterances of ordinary length could start now beside those that run."""

    def cache_prompts(self, prompts: Mapping[int, PrefillInput]) -> None:
        """Keys and values of what `PrefillInput.num_run` says, into slots that hold memory for them."""

    def run(self, groups: Mapping[DecoderWeights, Sequence[int]], steps: int, longest: int) -> None:
        """So many tokens for each of these slots; `longest` bounds a slot's tokens with the new ones."""

    def release(self, slot: int) -> None: ...

    def forget(self, weights: DecoderWeights) -> None:
        """Drop what was prepared for weights that leave the device."""


class BackendFactory(Protocol):
    def __call__(
        self, spec: DecoderSpec, device: torch.device, dtype: torch.dtype, options: BackendOptions
    ) -> Backend: ...


class Embed(Protocol):
    def __call__(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor: ...


def draw(
    state: SlotState,
    spec: DecoderSpec,
    slots: torch.Tensor,
    latents: torch.Tensor,
    logits: torch.Tensor,
    embed: Embed,
) -> None:
    """The end of every step: draw a token per row of `slots` [B], look its input up, move the slots on."""
    tokens = sample(
        logits, state.seen[slots], state.sampling(slots), state.generated[slots], spec.rule, spec.stop_token
    )
    next_input = embed(tokens, state.position[slots])
    state.advance(slots, tokens, latents, next_input, spec.stop_token, spec.counts_stop)


def backend_of(spec: DecoderSpec, device: torch.device) -> BackendFactory:
    """The fastest that runs here: fused kernels on a CUDA device with a working Triton, else plain torch.

    Raises EngineError where keys and values are to have a format of their own, which plain torch only
    imitates. A CPU may imitate it: that is how it is measured.
    """
    from providers.decoding.plain import PlainBackend

    if device.type != "cuda":
        return PlainBackend
    if (problem := _problem_with_kernels(spec, device)) is not None:
        if spec.kv_dtype is not None:
            raise EngineError(
                "found VOICECORE_KV_CACHE=fp8 where the fused kernels, which it needs, don't run "
                f"({problem}). Set it to auto."
            )
        log.warning("decoding without fused kernels, which is slower", problem=problem)
        return PlainBackend
    from providers.decoding.fused import FusedBackend

    return FusedBackend


def _problem_with_kernels(spec: DecoderSpec, device: torch.device) -> str | None:
    """Why the fused kernels can't run, if they can't: they are compiled on the machine that they run on."""
    try:
        from providers.decoding import fused
    except ImportError as error:
        return str(error)
    return fused.problem(spec, device)
