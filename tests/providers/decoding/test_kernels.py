"""The fused kernels, run by Triton's interpreter on a CPU, equal the plain path."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from providers.decoding import linear

if not torch.cuda.is_available():  # Triton reads this when kernels are defined
    os.environ.setdefault("TRITON_INTERPRET", "1")
pytest.importorskip("triton", reason="needs Triton")

from providers.decoding.fused import FusedBackend
from providers.decoding.plain import PlainBackend

# Interpreted on a CPU; where there is a device, they run on it.
DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


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
