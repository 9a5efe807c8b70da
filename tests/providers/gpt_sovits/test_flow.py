from __future__ import annotations

import pytest
import torch

from providers.gpt_sovits.encoders import pad
from providers.gpt_sovits.flow import Flow

VARIANTS = ("v1", "v2", "v2Pro")


@pytest.fixture
def flow(golden_model):
    def make(variant):
        model = golden_model(variant)
        return Flow(model.architecture.flow, model.weights)

    return make


@pytest.fixture(scope="module")
def latents():
    return torch.randn(100, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden(variant, flow, golden_model, gpt_sovits_golden, check_golden):
    mean = torch.from_numpy(gpt_sovits_golden[f"{variant}_mp_text0"]).T
    made = flow(variant).reverse(mean[None], golden_model(variant).style.style[None])[0]
    name = f"{variant}_z_text0"
    check_golden(name, made.T, gpt_sovits_golden[name], 1e-4)


def test_a_window_with_its_reach_equals_the_whole(flow, golden_model, latents):
    backwards, style = flow("v2"), golden_model("v2").style.style[None]
    reach = backwards.reach
    whole = backwards.reverse(latents[None], style)[0]
    window = backwards.reverse(latents[None, 40 - reach : 55 + reach], style)[0, reach:-reach]
    torch.testing.assert_close(window, whole[40:55], rtol=0, atol=1e-5)


def test_the_reach_is_no_longer_than_needed(flow, golden_model, latents):
    backwards, style = flow("v2"), golden_model("v2").style.style[None]
    changed = latents.clone()
    changed[50] += 1e3
    before, after = (backwards.reverse(x[None], style) for x in (latents, changed))
    moved = (before != after).any(dim=2)[0].nonzero()[:, 0]
    assert moved.min() >= 50 - backwards.reach
    assert moved.max() <= 50 + backwards.reach
    assert (
        moved.max() - moved.min() > backwards.reach
    )  # the golden weights are sparse and don't use all of it


def test_a_padded_batch_equals_each_alone(flow, golden_model, latents):
    backwards, style = flow("v2Pro"), golden_model("v2Pro").style.style
    sequences = [latents[:9], latents[20:100], latents[3:4]]
    rows, is_real = pad(sequences)
    together = backwards.reverse(rows, style.expand(3, -1), is_real)
    for row, sequence in zip(together, sequences, strict=True):
        alone = backwards.reverse(sequence[None], style[None])[0]
        torch.testing.assert_close(row[: len(sequence)], alone, rtol=0, atol=1e-5)
