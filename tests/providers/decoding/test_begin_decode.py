"""Decoding in two parts: what is made between the two is the same, and nobody is told of it before."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from providers.decoding.attention import RowAttention
from providers.decoding.plain import PlainBackend
from providers.decoding.step_graph import StepGraphs
from providers.interface import Progress

# A CPU's own way, and the way of a device with a queue: steps are made before they are waited for.
WAYS = {
    "when waited for": {},
    "at once": {
        "backend": partial(PlainBackend, attention=RowAttention, steps=StepGraphs),
        "steps_between_reads": 16,
    },
}


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def endless(make_weights):
    """Weights that never draw the stop token."""
    return make_weights(seed=0, stop_bias=-100.0)


@pytest.fixture
def alone(make_decoder, way):
    """`alone(prompt)`: its codes and latents, decoded at one go."""

    def speak(prompt):
        decoder = make_decoder(**WAYS[way])
        decoder.prefill({0: prompt})
        (progress,) = decoder.decode([0], 100).values()
        return decoder.codes(0), decoder.latents(0, 0, progress.num_tokens)

    return speak


def test_only_a_device_with_a_queue_begins_before_it_is_waited_for(
    make_decoder, make_prompt, endless, alone, way
):
    prompt = make_prompt(endless, 9)
    expected, _ = alone(prompt)
    decoder = make_decoder(**WAYS[way])
    decoder.prefill({0: prompt})
    decoding = decoder.begin_decode([0], 3)
    has_begun = decoder.tokens(0, 0, 3).tolist() == expected[:3]
    assert has_begun == (way == "at once")
    assert decoder.codes(0) == []
    assert decoding.progress() == {0: Progress(3)}
    assert decoder.codes(0) == expected[:3]


def test_what_is_known_can_be_read_while_more_is_decoded(make_decoder, make_prompt, endless, alone, way):
    prompts = {slot: make_prompt(endless, 9 + slot, seed=slot) for slot in range(3)}
    expected = {slot: alone(prompt) for slot, prompt in prompts.items()}
    decoder = make_decoder(**WAYS[way])
    decoder.prefill(prompts)
    progress = decoder.decode(range(3), 4)
    while not all(each.finished for each in progress.values()):
        decoding = decoder.begin_decode(range(3), 7)
        for slot, (known, _) in progress.items():
            codes, latents = expected[slot]
            assert decoder.codes(slot) == codes[:known]
            torch.testing.assert_close(decoder.latents(slot, 0, known), latents[:known], rtol=0, atol=1e-5)
        progress = decoding.progress()
    for slot, (codes, _) in expected.items():
        assert decoder.codes(slot) == codes


def test_more_steps_than_fit_between_two_reads_are_made_all_the_same(
    make_decoder, make_prompt, endless, alone, way
):
    prompt = make_prompt(endless, 9, max_tokens=41)
    decoder = make_decoder(**WAYS[way])
    decoder.prefill({0: prompt})
    assert decoder.begin_decode([0], 100).progress() == {0: Progress(41, "length")}
    assert decoder.codes(0) == alone(prompt)[0]


def test_a_slot_that_is_released_meanwhile_is_nobodys(make_decoder, make_prompt, endless, alone, way):
    gone, stays, comes = (make_prompt(endless, 20, seed=seed) for seed in range(3))
    decoder = make_decoder(**WAYS[way])
    decoder.prefill({0: gone, 1: stays})
    decoding = decoder.begin_decode([0, 1], 5)
    decoder.release([0])
    assert decoding.progress() == {1: Progress(5)}
    decoder.prefill({0: comes})
    assert decoder.decode([0, 1], 100).keys() == {0, 1}
    assert decoder.codes(0) == alone(comes)[0]
    assert decoder.codes(1) == alone(stays)[0]


def test_progress_is_of_the_utterances_that_it_was_begun_for(make_decoder, make_prompt, endless, alone, way):
    """The slot has the next one already when the call for the last one is waited for."""
    gone, stays, comes = (make_prompt(endless, 20, seed=seed) for seed in range(3))
    decoder = make_decoder(**WAYS[way])
    decoder.prefill({0: gone, 1: stays})
    decoding = decoder.begin_decode([0, 1], 5)
    decoder.release([0])
    decoder.prefill({0: comes})
    assert decoding.progress() == {1: Progress(5)}
    assert decoder.codes(0) == []
    decoder.decode([0, 1], 100)
    assert decoder.codes(0) == alone(comes)[0]
    assert decoder.codes(1) == alone(stays)[0]


def test_when_all_are_released_nothing_more_is_made(make_decoder, make_prompt, endless, way):
    decoder = make_decoder(**WAYS[way])
    decoder.prefill({0: make_prompt(endless, 20)})
    decoding = decoder.begin_decode([0], 50)
    decoder.release([0])
    assert decoding.progress() == {}
