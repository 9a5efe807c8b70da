from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.vocoder.hifigan import HifiganGenerator, prepare_hifigan
from providers.vocoder.vocoder import CPU_BATCHING, CUDA_BATCHING, Batching, Vocoder, VocoderInput
from providers.vocoder.windows import frame_span

TINY_WINDOWS = Batching(length_multiple=7, max_window_frames=33, max_batch_frames=100)
BATCHINGS = {"cpu": CPU_BATCHING, "cuda": CUDA_BATCHING, "tiny": TINY_WINDOWS}


@pytest.fixture(scope="module")
def generator(small_hifigan, random_hifigan):
    return HifiganGenerator(
        small_hifigan, prepare_hifigan(random_hifigan(small_hifigan), small_hifigan, torch.float32)
    )


def utterance(generator, num_frames, seed=0):
    random = torch.Generator().manual_seed(seed)
    frames = torch.randn(num_frames, generator.architecture.in_channels, generator=random)
    return frames, torch.randn(generator.architecture.speaker_channels, generator=random)


def vocoder_input(generator, frames, speaker, before, now):
    """What is to be vocoded when the known frames grow from `before` to `now`."""
    field = generator.receptive_field
    span = frame_span(before, now, now == len(frames), field)
    start, stop = span.context(field)
    return VocoderInput(span, frames[start:stop], speaker)


def streamed(vocoder, frames, speaker, cuts):
    steps = pairwise([0, *cuts, len(frames)])
    inputs = [vocoder_input(vocoder.generator, frames, speaker, *step) for step in steps]
    return torch.cat([vocoder.vocode([item])[0] for item in inputs])


@pytest.mark.parametrize("batching", BATCHINGS.values(), ids=BATCHINGS)
@pytest.mark.parametrize("num_frames", [1, 5, 26, 27, 60, 120])
def test_any_cuts_give_the_samples_of_the_whole(generator, batching, num_frames):
    frames, speaker = utterance(generator, num_frames)
    whole = generator(frames[None], speaker[None])[0]
    vocoder = Vocoder(generator, batching)

    @settings(max_examples=8, deadline=None)
    @given(st.lists(st.integers(0, num_frames - 1), max_size=6).map(sorted))
    def check(cuts):
        samples = streamed(vocoder, frames, speaker, cuts)
        torch.testing.assert_close(samples, whole, rtol=0, atol=1e-5)

    check()


@pytest.mark.parametrize("batching", BATCHINGS.values(), ids=BATCHINGS)
def test_spans_of_several_utterances_at_once_equal_each_alone(generator, batching):
    """First, middle and last spans, whole utterances and empty spans, some of equal length."""
    steps = [
        (40, 0, 20),
        (40, 20, 40),
        (40, 0, 40),
        (90, 0, 20),
        (90, 20, 60),
        (90, 60, 90),
        (90, 0, 5),
        (8, 0, 8),
    ]
    inputs = [
        vocoder_input(generator, *utterance(generator, total, seed=i), before, now)
        for i, (total, before, now) in enumerate(steps)
    ]
    vocoder = Vocoder(generator, batching)
    together = vocoder.vocode(inputs)
    alone = [vocoder.vocode([item])[0] for item in inputs]
    assert [len(samples) for samples in together] == [256 * n for n in (7, 33, 40, 7, 40, 43, 0, 8)]
    for ours, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_windows_of_equal_length_share_a_pass(generator):
    class Counting(HifiganGenerator):
        batches: list[int]

        def __call__(self, frames, *rest):
            self.batches.append(len(frames))
            return super().__call__(frames, *rest)

    counting = Counting(generator.architecture, generator.tensors)
    counting.batches = []
    items = [
        vocoder_input(generator, *utterance(generator, 90, seed=i), before, now)
        for i, (before, now) in enumerate([(0, 30), (0, 30), (30, 60), (0, 32)])
    ]
    Vocoder(counting, Batching(16, 512, 512)).vocode(items)
    assert counting.batches == [3, 1]  # 30, 30 and 32 frames; 60 - 30 + 2 · 13 = 56
    counting.batches.clear()
    Vocoder(counting, Batching(64, 512, 512)).vocode(items)
    assert counting.batches == [3, 1]  # all of 64 frames; those that start an utterance have no context there
    counting.batches.clear()
    Vocoder(counting, Batching(16, 512, 64)).vocode(items)
    assert counting.batches == [2, 1, 1]


def test_a_change_of_weights_or_speaker_is_heard(generator, small_hifigan, random_hifigan):
    frames, speaker = utterance(generator, 30)
    item = vocoder_input(generator, frames, speaker, 0, 30)
    other = HifiganGenerator(
        small_hifigan, prepare_hifigan(random_hifigan(small_hifigan, seed=5), small_hifigan, torch.float32)
    )
    ours, theirs = Vocoder(generator).vocode([item])[0], Vocoder(other).vocode([item])[0]
    assert (ours - theirs).abs().max() > 1e-2


def test_nothing_to_vocode_gives_nothing(generator):
    assert Vocoder(generator).vocode([]) == []
