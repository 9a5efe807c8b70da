"""Batched, interrupted, cached and padded decoding equals one utterance alone; that equals one full pass."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch

from providers.decoding.attention import RowAttention, attend_prompt, prompt_visibility
from providers.decoding.blocks import run_blocks
from providers.decoding.kv_pages import PagePool
from providers.decoding.linear import can_pack
from providers.decoding.plain import PlainBackend
from providers.decoding.sampler import SamplingRule
from providers.decoding.step_graph import StepGraphs
from providers.errors import DeviceOutOfMemory
from providers.interface import Progress

CPU = torch.device("cpu")
# The device's own path, and the static-shape path of a CUDA device run on the CPU.
STATIC = partial(PlainBackend, attention=RowAttention, steps=StepGraphs)
PATHS = {
    "cpu": {},
    "static": {"backend": STATIC, "steps_between_reads": 16},
}
# Packed rows and bags do not depend on their neighbours at all; padded products may round differently.
EXACT = {"cpu": can_pack(CPU, torch.bfloat16), "static": False}


@pytest.fixture(params=PATHS)
def path(request):
    return request.param


@pytest.fixture
def prompts(weights, make_prompt):
    """Utterances of different lengths, seeds and parameters; two of them bidirectional, one to its end."""
    return [
        make_prompt(weights, 9, seed=3),
        make_prompt(weights, 40, seed=4, bidirectional=25, temperature=0.7, top_k=10, repetition_penalty=5.0),
        make_prompt(weights, 33, seed=3, top_p=0.8, max_tokens=11),
        make_prompt(weights, 2, seed=5, temperature=0.0, repetition_penalty=10.0, max_tokens=50),
        make_prompt(weights, 70, seed=6, index=2, bidirectional=70),
        make_prompt(weights, 31, seed=7, max_tokens=1),
    ]


def finish(decoder, slot):
    """Decode one slot to its end: (codes, latents)."""
    progress = decoder.decode([slot], 100)[slot]
    assert progress.finished
    return decoder.codes(slot), decoder.latents(slot, 0, progress.num_tokens).clone()


def alone(make_decoder, prompt, path="cpu", **kw):
    decoder = make_decoder(**PATHS[path], **kw)
    decoder.prefill({0: prompt})
    return finish(decoder, 0)


def assert_same(actual, expected, exact):
    assert actual[0] == expected[0]
    torch.testing.assert_close(actual[1], expected[1], rtol=0, atol=0 if exact else 1e-5)


def full_pass(weights, inputs, bidirectional):
    """Latents [T, C] of all inputs [T, C] at once."""
    is_visible = prompt_visibility(len(inputs), len(inputs), bidirectional, CPU)
    with torch.inference_mode():
        hidden = run_blocks(weights, inputs, lambda layer, q, k, v: attend_prompt(q, k, v, is_visible))
        return weights.latents(hidden)


def test_prefill_and_decode_equal_one_full_pass(make_decoder, prompts, path):
    for prompt in prompts:
        codes, latents = alone(make_decoder, prompt, path)
        weights = prompt.weights
        drawn = torch.tensor(codes[:-1], dtype=torch.long)
        inputs = torch.cat((prompt.embeddings, weights.embed(drawn, 1 + torch.arange(len(drawn)))))
        expected = full_pass(weights, inputs, prompt.bidirectional)[len(prompt.embeddings) - 1 :]
        torch.testing.assert_close(latents, expected, rtol=0, atol=1e-5)


def test_greedy_codes_are_the_likeliest_of_the_full_pass(make_decoder, weights, make_prompt, path):
    prompt = make_prompt(weights, 12, temperature=0.0, repetition_penalty=1.0)
    codes, latents = alone(make_decoder, prompt, path)
    assert codes == weights.head(latents).argmax(-1).tolist()


def test_a_batch_equals_each_alone(make_decoder, prompts, path):
    decoder = make_decoder(num_slots=6, **PATHS[path])
    decoder.prefill(dict(enumerate(prompts)))
    progress = decoder.decode(range(6), 100)
    for slot, prompt in enumerate(prompts):
        together = decoder.codes(slot), decoder.latents(slot, 0, progress[slot].num_tokens)
        assert_same(together, alone(make_decoder, prompt, path), EXACT[path])


def test_one_step_at_a_time_equals_all_at_once(make_decoder, prompts, path):
    at_once, stepwise = (make_decoder(num_slots=6, **PATHS[path]) for _ in range(2))
    for decoder in (at_once, stepwise):
        decoder.prefill(dict(enumerate(prompts)))
    at_once.decode(range(6), 50)
    for _ in range(50):
        stepwise.decode(range(6), 1)
    for slot in range(6):
        assert stepwise.codes(slot) == at_once.codes(slot)


@pytest.mark.parametrize("steps", [1, 7, 20])
def test_progress_counts_tokens_until_the_end(make_decoder, make_prompt, weights, path, steps):
    decoder = make_decoder(**PATHS[path])
    decoder.prefill({1: make_prompt(weights, max_tokens=23)})
    codes, _ = alone(make_decoder, make_prompt(weights, max_tokens=23))
    total = 0
    while not (progress := decoder.decode([1], steps)[1]).finished:
        total += steps
        assert progress.num_tokens == total
    assert decoder.codes(1) == codes
    assert decoder.decode([1], steps)[1] == progress


def test_utterances_join_and_leave_in_mid_flight(make_decoder, prompts, path):
    expected = [alone(make_decoder, prompt, path) for prompt in prompts]
    decoder = make_decoder(num_slots=2, **PATHS[path])
    waiting, running, ended = list(range(6)), {}, {}
    while waiting or running:
        for slot in {0, 1} - running.keys():
            if waiting:
                running[slot] = waiting.pop(0)
                decoder.prefill({slot: prompts[running[slot]]})
        for slot, progress in decoder.decode(list(running), 3).items():
            if progress.finished:
                latents = decoder.latents(slot, 0, progress.num_tokens).clone()
                ended[running.pop(slot)] = decoder.codes(slot), latents
                decoder.release([slot])
    for i in range(6):
        assert_same(ended[i], expected[i], EXACT[path])


def test_a_slot_released_in_mid_flight_serves_the_next(make_decoder, prompts, path):
    decoder = make_decoder(num_slots=1, **PATHS[path])
    for prompt in prompts:
        decoder.prefill({0: prompts[4]})
        decoder.decode([0], 5)
        decoder.release([0])
        decoder.prefill({0: prompt})
        assert_same(finish(decoder, 0), alone(make_decoder, prompt, path), exact=True)
        decoder.release([0])


def test_draws_do_not_depend_on_slot_neighbours_or_chunking(make_decoder, weights, make_prompt, path):
    expected, _ = alone(make_decoder, make_prompt(weights, 9, seed=11), path)
    for slot in (0, 3):
        for others in (0, 1, 3):
            decoder = make_decoder(num_slots=4, **PATHS[path])
            free = [i for i in range(4) if i != slot][:others]
            decoder.prefill({slot: make_prompt(weights, 9, seed=11)})
            decoder.prefill({i: make_prompt(weights, 20 + i, seed=i) for i in free})
            decoder.decode([slot, *free], 3)
            decoder.decode([slot], 4)
            decoder.decode([*free, slot], 100)
            assert decoder.codes(slot) == expected


def test_seed_and_utterance_choose_the_draws(make_decoder, make_weights, make_prompt):
    weights = make_weights(seed=0, stop_bias=-100.0)

    def codes(**choice):
        return tuple(alone(make_decoder, make_prompt(weights, 9, **choice))[0])

    assert codes(seed=1) == codes(seed=1)
    assert len({codes(seed=seed, index=index) for seed in (1, 2, 2**62) for index in (0, 1)}) == 6


def test_tokens_are_codes_on_the_device(make_decoder, prompts, path):
    decoder = make_decoder(**PATHS[path])
    decoder.prefill({1: prompts[0]})
    count = decoder.decode([1], 9)[1].num_tokens
    tokens = decoder.tokens(1, 2, count)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == decoder.codes(1)[2:]
    assert len(tokens) == 7


def test_finished_slots_do_not_move(make_decoder, prompts, path):
    decoder = make_decoder(num_slots=6, **PATHS[path])
    decoder.prefill(dict(enumerate(prompts)))
    decoder.decode([2, 5], 100)
    before = {slot: (decoder.codes(slot), decoder.latents(slot, 0, 50).clone()) for slot in (2, 5)}
    progress = decoder.decode(range(6), 100)
    assert progress[2] == Progress(11, "length")
    assert progress[5] == Progress(1, "length")
    for slot, (codes, latents) in before.items():
        assert decoder.codes(slot) == codes
        assert decoder.latents(slot, 0, len(codes)).equal(latents[: len(codes)])


def test_the_stop_token_ends_an_utterance_and_counts(make_decoder, make_weights, make_prompt, spec, path):
    weights = make_weights(seed=0, stop_bias=4.0)
    ended = set()
    for seed in range(20):
        codes, latents = alone(make_decoder, make_prompt(weights, seed=seed, max_tokens=50), path)
        assert codes.index(spec.stop_token) == len(codes) - 1
        assert len(latents) == len(codes)
        ended.add(len(codes))
    assert len(ended) > 3


def test_a_stop_token_without_sound_does_not_count(make_decoder, make_weights, make_prompt, spec, path):
    weights = make_weights(seed=0, stop_bias=2.0)
    silent = dataclasses.replace(spec, counts_stop=False)
    ended = set()
    for seed in range(10):
        prompt = make_prompt(weights, seed=seed, max_tokens=8)
        decoder = make_decoder(spec=silent, **PATHS[path])
        decoder.prefill({0: prompt})
        progress = decoder.decode([0], 100)[0]
        counted, latents = alone(make_decoder, prompt, path)
        codes = [code for code in counted if code != spec.stop_token]
        assert decoder.codes(0) == codes
        assert progress == Progress(len(codes), "length" if len(codes) == 8 else "stop")
        torch.testing.assert_close(decoder.latents(0, 0, len(codes)), latents[: len(codes)])
        ended.add(progress.finished)
    assert ended == {"stop", "length"}


def test_the_stop_token_waits_for_the_least_tokens(make_decoder, make_weights, make_prompt, spec, path):
    """It is all but certain to be drawn as soon as it can be; utterances count for themselves."""
    weights = make_weights(seed=0, stop_bias=100.0)
    late = dataclasses.replace(spec, rule=SamplingRule(min_tokens=7), counts_stop=False)
    decoder = make_decoder(spec=late, **PATHS[path])
    decoder.prefill({0: make_prompt(weights, 9)})
    decoder.decode([0], 3)
    decoder.prefill({1: make_prompt(weights, 12), 2: make_prompt(weights, 5, temperature=0.0)})
    assert set(decoder.decode(range(3), 50).values()) == {Progress(7, "stop")}


def test_the_models_own_limit_holds(make_decoder, make_weights, make_prompt, spec, path):
    weights = make_weights(seed=0, stop_bias=-100.0)
    prompt = make_prompt(weights, spec.max_prompt, top_k=5, max_tokens=10_000, seed=1)
    codes, _ = alone(make_decoder, prompt, path)
    assert len(codes) == spec.max_tokens


def test_several_submissions_share_the_pool(make_decoder, make_weights, make_prompt, path):
    several = [make_weights(seed=seed) for seed in (1, 2, 3)]
    prompts = {slot: make_prompt(several[slot % 3], 5 + slot, seed=slot) for slot in range(6)}
    decoder = make_decoder(num_slots=6, **PATHS[path])
    decoder.prefill(prompts)
    decoder.decode(range(6), 4)
    decoder.decode(range(6), 100)
    for slot, prompt in prompts.items():
        assert decoder.codes(slot) == alone(make_decoder, prompt, path)[0]
    decoder.release(range(6))
    decoder.forget(several[1])
    decoder.prefill({0: prompts[0], 1: prompts[1]})
    decoder.decode([0, 1], 100)
    assert decoder.codes(1) == alone(make_decoder, prompts[1], path)[0]


@pytest.mark.parametrize("prefix_length", [1, 32, 33])
def test_a_cached_prefix_equals_a_fresh_one(make_decoder, weights, make_prompt, path, prefix_length):
    fresh = make_prompt(weights, 50, seed=2, max_tokens=30)
    decoder = make_decoder(num_slots=2, **PATHS[path])
    prefix = decoder.cache_prefix(weights, fresh.embeddings[:prefix_length])
    cached = dataclasses.replace(fresh, embeddings=fresh.embeddings[prefix_length:], prefix=prefix)
    assert prefix.num_tokens == prefix_length
    decoder.prefill({0: fresh, 1: cached})
    progress = decoder.decode([0, 1], 100)
    assert decoder.codes(1) == decoder.codes(0)
    latents = [decoder.latents(slot, 0, progress[slot].num_tokens) for slot in (0, 1)]
    torch.testing.assert_close(latents[1], latents[0], rtol=0, atol=1e-5)


def test_a_prefix_serves_many_slots_and_stays_as_it_was(make_decoder, weights, make_prompt):
    decoder = make_decoder(num_slots=3)
    whole = make_prompt(weights, 40, seed=2)
    prefix = decoder.cache_prefix(weights, whole.embeddings[:16])
    keys, values = prefix.keys.clone(), prefix.values.clone()
    part = dataclasses.replace(whole, embeddings=whole.embeddings[16:], prefix=prefix)
    decoder.prefill({0: part, 2: part})
    decoder.decode([0, 2], 30)
    assert decoder.codes(0) == decoder.codes(2) == alone(make_decoder, whole)[0]
    assert prefix.keys.equal(keys)
    assert prefix.values.equal(values)


def test_bfloat16_is_close(make_decoder, make_weights, make_prompt, path):
    """The same prompt and the first step: latents have unit scale, bfloat16 has three digits."""
    latents = {}
    for dtype in (torch.float32, torch.bfloat16):
        decoder = make_decoder(dtype=dtype, **PATHS[path])
        decoder.prefill({0: make_prompt(make_weights(seed=0, dtype=dtype), 40)})
        decoder.decode([0], 1)
        latents[dtype] = decoder.latents(0, 0, 1).clone()
    assert latents[torch.bfloat16].dtype == torch.float32
    error = (latents[torch.bfloat16] - latents[torch.float32]).square().mean().sqrt()
    assert 0 < error < 0.03


def test_bfloat16_batches_equal_each_alone(make_decoder, make_weights, make_prompt):
    if not can_pack(CPU, torch.bfloat16):
        pytest.skip("no oneDNN kernels here")
    weights = make_weights(seed=0, dtype=torch.bfloat16)
    prompts = {slot: make_prompt(weights, 5 + 9 * slot, seed=slot) for slot in range(5)}
    decoder = make_decoder(num_slots=5, dtype=torch.bfloat16)
    decoder.prefill(prompts)
    decoder.decode(range(5), 100)
    for slot, prompt in prompts.items():
        assert decoder.codes(slot) == alone(make_decoder, prompt, dtype=torch.bfloat16)[0]


def test_a_slot_in_use_or_out_of_range_is_refused(make_decoder, weights, make_prompt):
    decoder = make_decoder(num_slots=2)
    decoder.prefill({0: make_prompt(weights)})
    decoder.decode([0], 3)
    for slot in (0, 2, -1):
        with pytest.raises(ValueError, match=f"found slot {slot}; expected a free one of 2"):
            decoder.prefill({1: make_prompt(weights), slot: make_prompt(weights)})
    assert decoder.decode([0], 1)[0].num_tokens == 4
    decoder.prefill({1: make_prompt(weights)})


def test_a_prompt_of_the_wrong_length_is_refused(make_decoder, weights, make_prompt, spec):
    decoder = make_decoder()
    for length in (1, spec.max_prompt + 1):
        with pytest.raises(ValueError, match=f"found a prompt of {length} inputs"):
            decoder.prefill({0: make_prompt(weights, length)})
    prefix = decoder.cache_prefix(weights, torch.zeros(8, spec.channels))
    prompt = dataclasses.replace(make_prompt(weights, spec.max_prompt - 7), prefix=prefix)
    with pytest.raises(ValueError, match=f"found a prompt of {spec.max_prompt + 1} inputs"):
        decoder.prefill({0: prompt})


@pytest.mark.parametrize("bidirectional", [-1, 10])
def test_more_bidirectional_inputs_than_there_are_are_refused(
    make_decoder, weights, make_prompt, bidirectional
):
    with pytest.raises(ValueError, match=f"found {bidirectional} bidirectional inputs; expected 0 to 9"):
        make_decoder().prefill({0: make_prompt(weights, 9, bidirectional=bidirectional)})


def test_running_out_of_memory_in_prefill_leaves_the_others_as_they_were(make_decoder, weights, make_prompt):
    class Full(list):
        """Blocks on a device that is full after the first one."""

        def __iter__(self):
            yield weights.blocks[0]
            torch.empty(2**60)

    decoder = make_decoder()
    decoder.prefill({0: make_prompt(weights, 9)})
    decoder.decode([0], 5)
    full = dataclasses.replace(weights, blocks=Full())
    with pytest.raises(DeviceOutOfMemory, match="the prompts of 2 slots"):
        decoder.prefill({1: make_prompt(weights, 20), 2: make_prompt(full, 20)})
    decoder.prefill({1: make_prompt(weights, 30), 2: make_prompt(weights, 31)})
    decoder.decode([0, 1, 2], 100)
    for slot, length in ((0, 9), (1, 30), (2, 31)):
        assert decoder.codes(slot) == alone(make_decoder, make_prompt(weights, length))[0]


def test_a_pool_that_does_not_fit_is_out_of_memory(make_decoder):
    with pytest.raises(DeviceOutOfMemory, match="the state of 1000000000000 slots"):
        make_decoder(num_slots=10**12)


def test_releasing_a_free_slot_is_nothing(make_decoder):
    make_decoder().release([0, 1])


class Paged(PlainBackend):
    """Plain, but with the memory of three pages, of which every utterance here comes to need two."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.pool = PagePool(num_pages=3, most_pages=2)

    def hold(self, slot, tokens):
        return self.pool.hold(slot, tokens)

    def release(self, slot):
        self.pool.release(slot)


def test_an_utterance_waits_for_memory_and_then_says_the_same(make_decoder, make_weights, make_prompt):
    weights = make_weights(seed=0, stop_bias=-100.0)
    prompts = {slot: make_prompt(weights, 40, seed=slot, max_tokens=45) for slot in range(3)}
    decoder = make_decoder(backend=Paged)
    decoder.prefill({0: prompts[0], 1: prompts[1]})
    with pytest.raises(DeviceOutOfMemory, match="no room for the keys and values of the prompts of 1 slots"):
        decoder.prefill({2: prompts[2]})
    progress = decoder.decode([1, 0], 100)
    assert progress[0] == Progress(45, "length")
    assert progress[1].finished is None
    assert decoder.decode([1, 0], 100) == progress, "nothing has ended"
    decoder.release([0])
    decoder.prefill({2: prompts[2]})
    decoder.decode([1], 100)
    decoder.release([1])
    decoder.decode([2], 100)
    assert decoder.codes(2) == alone(make_decoder, prompts[2])[0]
    later = make_decoder(backend=Paged)
    later.prefill({0: prompts[0], 1: prompts[1]})
    later.decode([0, 1], 100)
    later.release([0])
    later.decode([1], 100)
    assert later.codes(1) == alone(make_decoder, prompts[1])[0]
