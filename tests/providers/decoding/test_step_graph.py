from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from providers.decoding.attention import RowAttention
from providers.decoding.linear import CPU_MIN_ROWS
from providers.decoding.plain import PlainBackend
from providers.decoding.step_graph import EagerSteps, StepGraphs

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
CUDA = torch.device("cuda:0")


def fused_backend(*args):
    from providers.decoding.fused import FusedBackend

    return FusedBackend(*args)


# What a CUDA device can decode with; fused kernels are what it takes if it can.
EAGER = {"backend": partial(PlainBackend, attention=RowAttention, steps=EagerSteps)}
WAYS = {
    "graphs": {"backend": partial(PlainBackend, attention=RowAttention, steps=StepGraphs)},
    "fused": {"backend": fused_backend, "use_graphs": False},
    "fused with graphs": {"backend": fused_backend},
}
SCRATCH = 8


class Recorder:
    """A step that records its slots and bound."""

    def __init__(self):
        self.calls = []
        self.buffers = set()

    def __call__(self, weights, slots, bound):
        self.calls.append((weights, slots.tolist(), bound))
        self.buffers.add(slots.data_ptr())


def test_groups_are_padded_to_a_power_of_two_and_bounds_rounded():
    step = Recorder()
    graphs = StepGraphs(step, SCRATCH, 200, CPU)
    graphs.run("a", [3], 1)
    graphs.run("a", [3, 1, 2], 128)
    graphs.run("a", [3, 1, 2, 0, 5], 129)
    assert step.calls == [
        ("a", [3], 128),
        ("a", [3, 1, 2, SCRATCH], 128),
        ("a", [3, 1, 2, 0, 5, SCRATCH, SCRATCH, SCRATCH], 200),
    ]


def test_each_shape_has_one_static_buffer():
    step = Recorder()
    graphs = StepGraphs(step, SCRATCH, 1000, CPU)
    for slots in ([0, 1], [1, 2], [5, 4]):
        graphs.run("a", slots, 40)
    assert len(step.buffers) == 1
    graphs.run("a", [0, 1], 400)
    graphs.run("b", [0, 1], 40)
    assert len(step.buffers) == 3


def test_forgotten_weights_are_let_go():
    class Weights:
        def __del__(self):
            gone.append(True)

    gone = []
    graphs = StepGraphs(Recorder.__call__.__get__(Forgetful()), SCRATCH, 1000, CPU)
    weights = Weights()
    graphs.run(weights, [0], 1)
    graphs.forget(weights)
    del weights
    assert gone
    graphs.forget("never seen")


class Forgetful(Recorder):
    """Records nothing that would keep the weights alive."""

    calls = property(lambda self: [], lambda self, value: None)


def test_eager_steps_run_at_least_the_rows_that_packed_weights_like():
    step = Recorder()
    eager = EagerSteps(step, SCRATCH, 1000, CPU)
    eager.run("a", [3], 17)
    eager.run("a", list(range(6)), 17)
    assert step.calls == [("a", [3] + [SCRATCH] * (CPU_MIN_ROWS - 1), 17), ("a", list(range(6)), 17)]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_way_to_decode_equals_eager_steps(make_decoder, make_weights, make_prompt, dtype, kind):
    several = [make_weights(seed=seed, dtype=dtype, device=CUDA) for seed in (0, 1)]
    prompts = {slot: make_prompt(several[slot % 2], 5 + 9 * slot, seed=slot) for slot in range(6)}
    results = []
    for parts in (EAGER, WAYS[kind]):
        decoder = make_decoder(6, dtype, CUDA, **parts)
        decoder.warm_up(several[0])
        decoder.prefill(prompts)
        for slots in (range(6), [0, 3, 5], range(6)):
            decoder.decode(slots, 7)
        progress = decoder.decode(range(6), 100)
        latents = [decoder.latents(slot, 0, progress[slot].num_tokens).cpu() for slot in range(6)]
        results.append(([decoder.codes(slot) for slot in range(6)], latents))
    (eager_codes, eager_latents), (codes, latents) = results
    if dtype == torch.float32:  # buckets of another size may round a bfloat16 product differently
        assert codes == eager_codes
    for slot in range(6):
        pairs = zip(codes[slot], eager_codes[slot], strict=False)
        same = next((i for i, (code, eager_code) in enumerate(pairs) if code != eager_code), None)
        atol = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(latents[slot][:same], eager_latents[slot][:same], rtol=0, atol=atol)


@pytest.mark.parametrize("kind", ["graphs", "fused with graphs"])
def test_captured_steps_keep_to_a_devices_rules(
    make_decoder, make_weights, make_prompt, simulated_cuda, monkeypatch, kind
):
    """Slots that two submissions share, taken again when they are free; one submission leaves, one comes."""
    monkeypatch.setattr("providers.decoding.fused.MOST_WARM_TILES", 0)  # they would take a minute
    spoken = []
    for device, parts in ((CPU, {}), (CUDA, WAYS[kind])):
        first, second, third = (make_weights(seed=seed, device=device) for seed in range(3))
        decoder = make_decoder(3, torch.float32, device, **parts)
        decoder.warm_up(first)
        prefix = decoder.cache_prefix(first, make_prompt(first, 4).embeddings)
        decoder.prefill({0: replace(make_prompt(first, 5), prefix=prefix), 2: make_prompt(second, 7, seed=1)})
        decoder.decode([0, 2], 1)
        decoder.prefill({1: make_prompt(second, 3, seed=2, bidirectional=2)})
        decoder.decode(range(3), 1)
        spoken.append([decoder.codes(slot) for slot in range(3)])
        latents = [decoder.latents(slot, 0, 1).cpu().clone() for slot in range(3)]
        decoder.release([0])
        decoder.forget(first)
        del first
        decoder.prefill({0: make_prompt(third, 4)})
        decoder.decode([0, 1], 1)
        spoken[-1] += [decoder.codes(slot) for slot in (0, 1)]
        spoken[-1].append(torch.stack([*latents, decoder.latents(0, 0, 1).cpu()]))
    (*codes, latents), (*simulated_codes, simulated_latents) = spoken
    assert simulated_codes == codes
    torch.testing.assert_close(simulated_latents, latents, rtol=0, atol=2e-5)
    assert ("queries_keys_values" in simulated_cuda.kernels) == kind.startswith("fused")


@pytest.mark.gpu
def test_captured_passes_outlive_the_submission_that_they_were_captured_with(
    make_decoder, make_weights, make_prompt
):
    decoder = make_decoder(4, torch.float32, CUDA, **WAYS["fused with graphs"])
    first, second = (make_weights(seed=seed, device=CUDA) for seed in (0, 1))
    decoder.warm_up(first)
    decoder.forget(first)
    del first
    torch.cuda.empty_cache()
    decoder.prefill({2: make_prompt(second, 20)})
    decoder.decode([2], 50)
    alone = make_decoder(4, torch.float32, CUDA, **EAGER)
    alone.prefill({0: make_prompt(second, 20)})
    alone.decode([0], 50)
    assert decoder.codes(2) == alone.codes(0)


@pytest.mark.gpu
def test_a_gpu_draws_what_a_cpu_draws(make_decoder, make_weights, make_prompt):
    codes = []
    for device in (CPU, CUDA):
        weights = make_weights(seed=0, device=device)
        decoder = make_decoder(3, torch.float32, device)
        decoder.prefill({slot: make_prompt(weights, 9 + slot, seed=slot) for slot in range(3)})
        decoder.decode(range(3), 100)
        codes.append([decoder.codes(slot) for slot in range(3)])
    assert codes[0] == codes[1]
