"""The prior encoder: the published stages, and that neighbours in a batch change nothing."""

from __future__ import annotations

import pytest
import torch

from providers.gpt_sovits.encoders import Padded, PriorEncoder, PriorInput, pad

VARIANTS = ("v1", "v2", "v2Pro")


@pytest.fixture
def prior(golden_model):
    def make(variant):
        model = golden_model(variant)
        return PriorEncoder(model.architecture, model.weights)

    return make


def whole(sequence):
    return Padded(sequence[None], None)


def test_golden_stages(prior, golden_model, golden_tokens, gpt_sovits_golden, check_golden):
    encoder, model = prior("v2"), golden_model("v2")
    (text,) = encoder.encode_texts(model.phones[:1])
    speech = encoder.encode_speech(encoder.codebook_frames(golden_tokens("v2", 0))[None], None)
    fused = encoder.fuse(speech, whole(text), model.style.prior_style[None])
    made = {"encoder_text": text, "encoder_ssl": speech[0], "mrte": fused[0]}
    for stage, frames in made.items():
        name = f"v2_{stage}_text0"
        check_golden(name, frames.T, gpt_sovits_golden[name], 1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_distributions(variant, prior, golden_model, golden_tokens, gpt_sovits_golden, check_golden):
    encoder, model = prior(variant), golden_model(variant)
    (text,) = encoder.encode_texts(model.phones[:1])
    (made,) = encoder([PriorInput(golden_tokens(variant, 0), text, model.style.prior_style)])
    for stage, frames in (("mp", made.mean), ("logsp", made.log_deviation)):
        name = f"{variant}_{stage}_text0"
        check_golden(name, frames.T, gpt_sovits_golden[name], 1e-4)


def test_a_batch_equals_each_alone(prior, golden_model, golden_tokens):
    encoder, model = prior("v2"), golden_model("v2")
    texts = encoder.encode_texts(model.phones)
    for text, phones in zip(texts, model.phones, strict=True):
        torch.testing.assert_close(text, encoder.encode_texts([phones])[0], rtol=0, atol=1e-5)
    tokens = [golden_tokens("v2", i)[:n] for i, n in enumerate((31, 50, 1, 7))]
    inputs = [PriorInput(t, text, model.style.prior_style) for t, text in zip(tokens, texts, strict=True)]
    for made, item in zip(encoder(inputs), inputs, strict=True):
        (alone,) = encoder([item])
        assert made.mean.shape == (2 * len(item.tokens), 32)
        torch.testing.assert_close(made.mean, alone.mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(made.log_deviation, alone.log_deviation, rtol=0, atol=1e-5)


def test_every_frame_hears_every_token(prior, golden_model, golden_tokens):
    """Which is why a stream has to freeze frames at some point."""
    encoder, model = prior("v2"), golden_model("v2")
    (text,) = encoder.encode_texts(model.phones[:1])
    tokens = golden_tokens("v2", 0)
    changed = torch.cat([tokens[:-1], (tokens[-1:] + 1) % 1024])
    before, after = encoder([PriorInput(t, text, model.style.prior_style) for t in (tokens, changed)])
    assert (before.mean != after.mean).any(dim=1).all()


def test_sequences_of_one_length_need_no_mask():
    assert pad([torch.ones(3, 2), torch.ones(3, 2)]).is_real is None
    rows, is_real = pad([torch.ones(1, 2), torch.ones(3, 2)])
    assert is_real.tolist() == [[True, False, False], [True, True, True]]
    assert rows[0].tolist() == [[1, 1], [0, 0], [0, 0]]
