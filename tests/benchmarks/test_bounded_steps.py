"""What steps cost at least: against what torch counts that they multiply, and on machines of known rates."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks import bounds, random_gpt_sovits
from benchmarks.bounded_steps import (
    SHAPES,
    Step,
    counted_cost,
    faster,
    measured_machine,
    vocoder_cost,
)
from benchmarks.bounds import Cost, Machine
from benchmarks.engine_steps import load, own_utterance, own_voice, submit
from benchmarks.random_xtts import SIZES, write_submission
from models_store.store import ModelsStore
from providers import registry
from providers.gpt_sovits import t2s
from providers.interface import Admission, EngineSettings, Prompt, SamplingParams, Span

CPU = torch.device("cpu")


@pytest.fixture
def spoken(tmp_path, monkeypatch):
    """A tiny XTTS whose products torch can count, and what it is to say to so many."""
    monkeypatch.setattr("providers.decoding.linear.can_pack", lambda device, dtype: False)
    submit(write_submission(tmp_path / "submission", SIZES["tiny"]), tmp_path / "home")
    store = ModelsStore(tmp_path / "home" / "store")
    files = store.files(store.resolve("measured").id)
    engine = load(files, EngineSettings("cpu", "float32", 8), {})
    conditioning = engine.condition(files.submission.id, own_voice(files))
    utterance = own_utterance(files, num_tokens=40)
    shape = SHAPES["xtts"](registry.provider("xtts").architecture(files), conditioning, utterance.prompt)
    return SimpleNamespace(
        engine=engine,
        shape=shape,
        admit=lambda count: dict.fromkeys(range(count), Admission(utterance, conditioning)),
        condition=lambda: engine.condition(files.submission.id, own_voice(files)),
    )


def counted(call, *operators):
    # It imports Triton, which must not happen before other tests have asked for its interpreter.
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return sum(
        flops for operator, flops in counter.get_flop_counts()["Global"].items() if str(operator) in operators
    )


@pytest.mark.parametrize("batch", [4, 8])
def test_a_decode_step_has_the_products_that_are_counted(spoken, batch):
    """Without those of attention, whose bags torch doesn't count."""
    spoken.engine.prefill(spoken.admit(batch))
    flops = counted(lambda: spoken.engine.decode(list(range(batch)), 3), "aten.addmm", "aten.mm")
    assert flops == 3 * bounds.decode_step(spoken.shape.decoder, batch, context=0).flops


@pytest.mark.parametrize("batch", [1, 4])
def test_a_prefill_has_the_products_that_are_counted(spoken, batch):
    """Rows are filled up to a multiple of 4. The bound counts half of the attention besides."""
    spoken.engine.prefill(spoken.admit(1))  # the voice's prefix is made once
    spoken.engine.release([0])
    flops = counted(lambda: spoken.engine.prefill(spoken.admit(batch)), "aten.addmm", "aten.mm")
    decoder, rows = spoken.shape.decoder, batch * spoken.shape.run_tokens
    per_row = 2 * 12 * decoder.layers * decoder.channels**2
    assert flops == (rows + -rows % 4) * per_row
    attention = bounds.prefill(decoder, batch, spoken.shape.run_tokens).flops - rows * per_row
    assert attention == batch * 2 * decoder.layers * decoder.channels * spoken.shape.run_tokens**2


def test_a_conditioning_is_counted_with_its_attention(spoken):
    q = torch.randn(1, 2, 10, 16)
    attention = counted_cost(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))
    assert attention.flops == 2 * (2 * 2 * 10 * 10 * 16)
    assert counted_cost(spoken.condition).flops > 1e8


def test_gpt_sovits_caches_all_but_the_last_token_of_its_prompt():
    architecture = random_gpt_sovits.ARCHITECTURES["tiny"]("v2")
    decoder = architecture.text_to_semantic
    state = random_gpt_sovits.gpt_state(decoder, torch.Generator().manual_seed(0))
    tensors = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    weights = t2s.prepare_text_to_semantic(tensors, decoder, CPU, torch.float32)
    conditioning = SimpleNamespace(phones=(1,) * 12, tokens=(2,) * 9)
    prompt = Prompt(ids=(3,) * 7, text="", language="en")
    sampling = SamplingParams(1.0, 15, 1.0, 1.35, max_tokens=4, seed=0)
    prefill = weights.utterance((*conditioning.phones, *prompt.ids), None, conditioning.tokens, sampling)
    shape = SHAPES["gpt_sovits"](architecture, conditioning, prompt)
    assert shape.prompt_tokens == shape.run_tokens == prefill.num_run


def test_a_vocoder_costs_what_is_counted(spoken):
    """Besides, upsampling multiplies with zeros at the ends, and every stage takes in the speaker."""
    spoken.engine.prefill(spoken.admit(1))
    tokens = spoken.engine.decode([0], 16)[0].num_tokens
    waves = {}
    whole = {0: Span(0, tokens, is_last=True)}
    flops = counted_cost(lambda: waves.update(spoken.engine.vocode(whole))).flops
    bound = vocoder_cost(spoken.shape.vocoder, len(waves[0])).flops
    assert bound < flops < 1.05 * bound


def test_a_step_is_set_against_what_limits_it():
    machine = Machine(bytes_per_s=100, flops_per_s=1000)
    moving = Step("decode_1", 4.0, Cost(bytes=200, flops=1000), "bfloat16").figures(machine)
    assert moving == {
        "decode_1_ms": 4000,
        "decode_1_bytes": 200,
        "decode_1_flops": 1000,
        "decode_1_bound_ms": 2000,
        "decode_1_percent_of_bound": 50,
    }
    multiplying = Step("decode_8", 4.0, Cost(bytes=200, flops=3000), "bfloat16").figures(machine)
    assert multiplying["decode_8_bound_ms"] == 3000
    assert multiplying["decode_8_percent_of_bound"] == 75


def test_the_machine_has_the_best_rates_of_two_measurements():
    assert faster(Machine(1, 20), Machine(10, 2)) == Machine(10, 20)
    measured = measured_machine(CPU, torch.bfloat16)
    assert 1e8 < measured.bytes_per_s < 1e13  # any CPU's
    assert 1e8 < measured.flops_per_s < 1e14
