"""One kernel draws and moves slots on as `sample` and `SlotState.advance` do, run by Triton's interpreter."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("triton", reason="needs Triton")

from providers.decoding.backend import draw
from providers.decoding.fused import draw_fused
from providers.decoding.sampler import SamplingRule
from providers.decoding.spec import DecoderSpec
from providers.decoding.state import FULL, RUNNING, STOPPED, SlotStart, SlotState
from providers.interface import SamplingParams

pytestmark = pytest.mark.kernels

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
VOCABULARY, STOP, CHANNELS, MAX_TOKENS = 70, 69, 16, 9
PLAIN = SamplingParams(1.0, 0, 1.0, 1.0, max_tokens=7, seed=0)
# temperature, top_k, top_p, repetition_penalty
PARAMETERS = [
    (0.0, 0, 1.0, 1.0),
    (0.0, 1, 1.0, 8.0),
    (1.0, 0, 1.0, 1.0),
    (0.7, 5, 1.0, 2.0),
    (0.7, 50, 0.6, 5.0),
    (1.3, 0, 0.3, 1.0),
    (1.0, 15, 0.9, 1.35),
    (1.0, 1, 0.01, 1.0),
]
RULES = [
    SamplingRule(),
    SamplingRule(filters="top_p_first", min_tokens=3, stops_if_likeliest=True),
]


def spec_of(rule: SamplingRule, counts_stop: bool) -> DecoderSpec:
    return DecoderSpec(1, CHANNELS, 1, VOCABULARY, STOP, 20, MAX_TOKENS, rule, counts_stop)


def started(generator: torch.Generator) -> SlotState:
    """A slot per row of parameters, and the scratch slot."""
    state = SlotState(len(PARAMETERS) + 1, MAX_TOKENS, VOCABULARY, CHANNELS, DEVICE, torch.float32)
    state.latents.zero_()
    for slot, (temperature, top_k, top_p, penalty) in enumerate(PARAMETERS):
        sampling = SamplingParams(temperature, top_k, top_p, penalty, max_tokens=7, seed=slot)
        seen = torch.randint(VOCABULARY, (12,), generator=generator).tolist()
        first = torch.zeros(CHANNELS)
        state.start({slot: SlotStart(slot, slot % 3, first, seen, sampling, utterance_index=slot)})
    return state


def tensors(state: SlotState) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(state).items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize(("rule", "counts_stop"), [(RULES[0], True), (RULES[1], False)], ids=["xtts", "t2s"])
def test_slots_move_on_as_in_plain_operations(rule, counts_stop):
    generator = torch.Generator().manual_seed(3)
    spec = spec_of(rule, counts_stop)
    plain = started(generator)
    fused = copy.deepcopy(plain)
    tables = [torch.randn(rows, CHANNELS, generator=generator).to(DEVICE) for rows in (VOCABULARY, 20)]
    slots = torch.tensor([3, 0, 1, 2, 4, 7, 6, 5], device=DEVICE)
    for _ in range(8):
        logits = (3 * torch.randn(len(slots), VOCABULARY, generator=generator)).to(DEVICE)
        logits[:, STOP] += 2.0  # some stop, some are full
        latents = torch.randn(len(slots), CHANNELS, generator=generator).to(DEVICE)
        draw(plain, spec, slots, latents, logits, lambda tokens, at: tables[0][tokens] + tables[1][at])
        addresses = torch.tensor([[table.data_ptr()] for table in tables], device=DEVICE)
        residents = torch.zeros(1, dtype=torch.int64, device=DEVICE)
        draw_fused(fused, spec, slots, latents, logits, addresses, residents, field=0, tile=16)
        for name, expected in tensors(plain).items():
            # What finished slots write behind their end, in a step of their own, is nobody's.
            torch.testing.assert_close(tensors(fused)[name], expected, rtol=0, atol=1e-6, msg=name)
    assert {STOPPED, FULL} <= set(plain.finish.tolist())
    assert RUNNING not in plain.finish.tolist()
