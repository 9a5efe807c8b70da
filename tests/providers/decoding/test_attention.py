"""Every way to attend, against softmax written out in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.decoding.attention import BagAttention, RowAttention, attend_prompt, prompt_visibility
from providers.decoding.kv_cache import PAGE_TOKENS, KVShape

CPU = torch.device("cpu")
LAYERS, HEADS, CHANNELS, SLOTS, CAPACITY = 2, 3, 16, 5, 100
SHAPE = KVShape(LAYERS, HEADS, CHANNELS, SLOTS, CAPACITY)
TOLERANCES = {torch.float32: 1e-6, torch.bfloat16: 3e-2}
ATTENTIONS = [BagAttention, RowAttention]


def random(*size, seed=0, dtype=torch.float32):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(dtype)


def plain(query, keys, values):
    """One query [H, D] over keys and values [T, H, D] → [H x D]."""
    scores = torch.einsum("hd,thd->ht", query.double(), keys.double()) * CHANNELS**-0.5
    return torch.einsum("ht,thd->hd", scores.softmax(-1), values.double()).reshape(-1)


def attend_all(attention, lengths, slots, dtype=torch.float32, spoil=None):
    """Fill slots with prompts, then attend one new token each; (actual, expected), each [B, H x D]."""
    prompts = [prompt_of(slot, length, dtype) for slot, length in zip(slots, lengths, strict=True)]
    query, key, value = (random(len(slots), HEADS, CHANNELS, seed=seed, dtype=dtype) for seed in (90, 91, 92))
    with torch.inference_mode():
        if spoil is not None:
            spoil(attention)
        for slot, (keys, values) in zip(slots, prompts, strict=True):
            if len(keys):
                attention.write_prompt(1, slot, keys, values)
        plan = attention.plan(torch.tensor(slots), torch.tensor(lengths), max(lengths) + 1)
        actual = attention(1, plan, query, key, value)
    expected = [
        plain(query[i], torch.cat((keys, key[i : i + 1])), torch.cat((values, value[i : i + 1])))
        for i, (keys, values) in enumerate(prompts)
    ]
    return actual, torch.stack(expected)


def prompt_of(slot, length, dtype=torch.float32):
    """A slot's cached keys and values, each [T, H, D]."""
    return tuple(random(length, HEADS, CHANNELS, seed=seed, dtype=dtype) for seed in (slot, 50 + slot))


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attends_to_what_each_slot_has_cached(kind, dtype):
    attention = kind(SHAPE, CPU, dtype)
    actual, expected = attend_all(attention, [40, 0, 64, 99], [2, 4, 0, 1], dtype)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=TOLERANCES[dtype])


@given(lengths=st.lists(st.integers(0, CAPACITY - 1), min_size=1, max_size=SLOTS), data=st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_any_lengths_in_any_slots(kind, lengths, data):
    slots = data.draw(st.permutations(range(SLOTS)))[: len(lengths)]
    actual, expected = attend_all(kind(SHAPE, CPU, torch.float32), lengths, slots)
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=TOLERANCES[torch.float32])


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_a_page_border_is_nothing_special(kind):
    """One token at a time over more than two pages equals the whole prompt at once."""
    keys, values = random(70, HEADS, CHANNELS), random(70, HEADS, CHANNELS, seed=1)
    attention = kind(SHAPE, CPU, torch.float32)
    with torch.inference_mode():
        for i in range(70):
            plan = attention.plan(torch.tensor([3]), torch.tensor([i]), i + 1)
            query = random(1, HEADS, CHANNELS, seed=i)
            actual = attention(0, plan, query, keys[i : i + 1], values[i : i + 1])
            expected = plain(query[0], keys[: i + 1], values[: i + 1])
            torch.testing.assert_close(actual[0].double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_what_the_last_occupant_left_does_not_matter(kind):
    def spoil(attention):
        infinite = torch.full((CAPACITY, HEADS, CHANNELS), torch.inf)
        for slot in range(SLOTS):
            attention.write_prompt(1, slot, infinite, infinite)

    actual, expected = attend_all(kind(SHAPE, CPU, torch.float32), [33, 5], [2, 0], spoil=spoil)
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-6)


def test_a_slot_attends_alike_in_every_company():
    """Bit for bit: bags are summed one by one, in the order of their rows."""
    lengths, slots = [40, 7, 64, 99], [2, 4, 0, 1]
    together, _ = attend_all(BagAttention(SHAPE, CPU, torch.float32), lengths, slots)
    query, key, value = (random(4, HEADS, CHANNELS, seed=seed) for seed in (90, 91, 92))
    for i, (length, slot) in enumerate(zip(lengths, slots, strict=True)):
        attention = BagAttention(SHAPE, CPU, torch.float32)
        keys, values = prompt_of(slot, length)
        with torch.inference_mode():
            attention.write_prompt(1, slot, keys, values)
            plan = attention.plan(torch.tensor([slot]), torch.tensor([length]), length + 1)
            alone = attention(1, plan, query[i : i + 1], key[i : i + 1], value[i : i + 1])
        assert torch.equal(alone[0], together[i])


def test_bags_read_live_tokens_only():
    """The plan's row lists are as long as the live tokens, whatever the longest slot."""
    attention = BagAttention(SHAPE, CPU, torch.float32)
    plan = attention.plan(torch.tensor([0, 1]), torch.tensor([2, 95]), 96)
    assert len(plan.value_rows) == HEADS * (3 + 96)
    assert len(plan.key_rows) == HEADS * CHANNELS * (1 + 96 // PAGE_TOKENS)


@pytest.mark.parametrize("bidirectional", [0, 4, 9])
@pytest.mark.parametrize("prefix", [0, 1, 20])
def test_a_prompt_sees_its_prefix_and_its_own_past(prefix, bidirectional):
    """And the first tokens, where they are bidirectional, each other."""
    keys, values = random(prefix + 9, HEADS, CHANNELS), random(prefix + 9, HEADS, CHANNELS, seed=1)
    queries = random(9, HEADS, CHANNELS, seed=2)
    is_visible = prompt_visibility(9, prefix + 9, bidirectional, CPU)
    actual = attend_prompt(queries, keys, values, is_visible)
    for i in range(9):
        visible = prefix + (bidirectional if i < bidirectional else i + 1)
        expected = plain(queries[i], keys[:visible], values[:visible])
        torch.testing.assert_close(actual[i].double(), expected, rtol=0, atol=1e-6)
