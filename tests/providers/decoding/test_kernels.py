"""The fused kernels, run by Triton's interpreter on a CPU, equal the plain path."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from providers.decoding import linear

pytest.importorskip("triton", reason="needs Triton")

from providers.decoding.fused import FusedBackend
from providers.decoding.plain import PlainBackend

pytestmark = pytest.mark.kernels

# Interpreted on a CPU; where there is a device, they run on it.
CPU = torch.device("cpu")
DEVICE = torch.device("cuda:0") if torch.cuda.is_available() else CPU


@pytest.fixture(autouse=True)
def plain_weights(monkeypatch):
    """Kernels read plain tensors; on a CPU, weights are packed otherwise."""
    monkeypatch.setattr(linear, "can_pack", lambda device, dtype: False)


def spoken(decoder, prompts, steps):
    """(codes, latents) of each slot."""
    decoder.prefill(prompts)
    progress = decoder.decode([*prompts], steps)
    return {
        slot: (decoder.codes(slot), decoder.latents(slot, 0, progress[slot].num_tokens).clone())
        for slot in prompts
    }


@pytest.mark.parametrize(("norm", "activation"), [("pre", "gelu_tanh"), ("post", "relu")])
def test_two_submissions_in_one_pass_equal_the_plain_path(
    make_decoder, make_weights, make_prompt, norm, activation
):
    """A prompt behind a prefix of more than a page, one that sees itself whole, and one that stops early."""
    several = [make_weights(seed=seed, device=DEVICE, norm=norm, activation=activation) for seed in (1, 2)]
    if norm == "post":
        several = [dataclasses.replace(weights, final_norms=()) for weights in several]
    results = []
    for backend in (PlainBackend, FusedBackend):
        decoder = make_decoder(4, device=DEVICE, backend=backend)
        prefix = decoder.cache_prefix(several[0], make_prompt(several[0], 65).embeddings)
        prompts = {
            0: dataclasses.replace(make_prompt(several[0], 5, seed=1), prefix=prefix),
            2: make_prompt(several[1], 7, seed=2, bidirectional=7),
            3: make_prompt(several[0], 2, seed=4, temperature=0.0, max_tokens=1),
        }
        results.append(spoken(decoder, prompts, steps=2))
    plain, fused = results
    for slot, (codes, latents) in plain.items():
        assert fused[slot][0] == codes
        torch.testing.assert_close(fused[slot][1], latents, rtol=0, atol=2e-5)
    assert [len(codes) for codes, _ in plain.values()] == [2, 2, 1]


@pytest.mark.parametrize(("norm", "activation"), [("pre", "gelu_tanh"), ("post", "relu")])
def test_keys_and_values_of_eight_bits_are_the_plain_paths(
    spec, make_decoder, make_weights, make_prompt, norm, activation
):
    """Those of a prefix, of prompts and of steps: where rounding is heard, another rounding would be, too."""
    weights = make_weights(seed=1, device=DEVICE, norm=norm, activation=activation)
    if norm == "post":
        weights = dataclasses.replace(weights, final_norms=())
    eight_bits = dataclasses.replace(spec, kv_dtype=torch.float8_e4m3fn)
    results = []
    for backend, shape in ((PlainBackend, spec), (PlainBackend, eight_bits), (FusedBackend, eight_bits)):
        decoder = make_decoder(2, device=DEVICE, backend=backend, spec=shape)
        prefix = decoder.cache_prefix(weights, make_prompt(weights, 65).embeddings)
        prompts = {
            0: dataclasses.replace(make_prompt(weights, 2, seed=1, temperature=0.0), prefix=prefix),
            1: make_prompt(weights, 3, seed=2, bidirectional=3, temperature=0.0),
        }
        results.append(spoken(decoder, prompts, steps=2))
    exact, plain, fused = results
    for slot, (codes, latents) in plain.items():
        assert fused[slot][0] == codes
        # A sum in another order can take a key to the next step of the grid: on a device, that is.
        torch.testing.assert_close(fused[slot][1], latents, rtol=0, atol=2e-5 if DEVICE == CPU else 1e-2)
        assert (latents[0] - exact[slot][1][0]).abs().max() > 0.03


def test_eight_bits_make_pages_and_prefixes_smaller(spec, make_decoder, make_weights, make_prompt):
    weights, kv_bytes = make_weights(seed=1, device=DEVICE), 2**17
    found = {}
    for kv_dtype in (None, torch.float8_e4m3fn):
        shape = dataclasses.replace(spec, kv_dtype=kv_dtype)
        decoder = make_decoder(64, device=DEVICE, backend=FusedBackend, spec=shape, kv_bytes=kv_bytes)
        found[kv_dtype] = decoder.room(), decoder.cache_prefix(weights, make_prompt(weights, 9).embeddings)
    (room, prefix), (room_of_eight_bits, prefix_of_eight_bits) = found.values()
    assert room_of_eight_bits >= 4 * room > 0
    assert prefix.size_bytes == 4 * prefix_of_eight_bits.size_bytes


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 0.01), (torch.bfloat16, 0.1)])
def test_captured_steps_over_eight_bits_follow_the_plain_path(
    spec, make_decoder, make_weights, make_prompt, dtype, most
):
    """As far as rounding lets them: a bfloat16 between two 8-bit numbers is often nearly in the middle."""
    weights = make_weights(seed=1, dtype=dtype, device=DEVICE)
    eight_bits = dataclasses.replace(spec, kv_dtype=torch.float8_e4m3fn)
    said = []
    for backend in (PlainBackend, FusedBackend):
        decoder = make_decoder(6, dtype, DEVICE, spec=eight_bits, backend=backend)
        decoder.warm_up(weights)
        prefix = decoder.cache_prefix(weights, make_prompt(weights, 9).embeddings)
        prompts = {slot: make_prompt(weights, 5 + 9 * slot, seed=slot) for slot in range(6)}
        prompts[0] = dataclasses.replace(prompts[0], prefix=prefix)
        said.append(spoken(decoder, prompts, steps=20))
    plain, fused = said
    for slot, (codes, latents) in plain.items():
        pairs = zip(codes, fused[slot][0], strict=False)
        same = next((i for i, (code, other) in enumerate(pairs) if code != other), len(codes))
        assert same >= 1
        difference = fused[slot][1][:same] - latents[:same]
        assert difference.norm() < most * latents[:same].norm()
