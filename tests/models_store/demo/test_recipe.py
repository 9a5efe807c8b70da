"""What is trained is what is served, and the bookkeeping of what it is trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

from models_store.demo.recipe import export, speaker_encoder, style_encoder
from models_store.demo.recipe.corpus import Utterance
from models_store.demo.recipe.gpt import (
    CONDITIONING_LATENTS,
    LOOKING_HEADS,
    START,
    STOP,
    STOP_TEXT,
    TEXT_TOKENS,
    Gpt,
    collate,
    guide,
    losses,
    text_ids,
)
from models_store.demo.recipe.settings import SIZES
from models_store.demo.recipe.style_encoder import HEAD_CHANNELS, speaker_latents
from models_store.demo.recipe.synthesiser import PHONES, Segment, Spoken
from models_store.demo.recipe.tokens import (
    FEATURES,
    FRAMES,
    NUM_STATES,
    PATCH,
    PLACES,
    QUARTERS,
    SAMPLE_RATE_HZ,
    LogMel,
    patches,
)
from models_store.demo.recipe.vocoder import Generator, absorb, upsampled
from models_store.intake import read_submission
from providers.xtts.conditioning import StyleEncoder

SIZE = replace(SIZES["tiny"], vocoder_channels=32)
TEXT = "well, i said hello."


@pytest.fixture
def utterance() -> Utterance:
    rng = np.random.default_rng(0)
    n = 20
    phones = rng.integers(0, len(PHONES), n)
    chars = np.minimum(np.arange(n), len(TEXT) - 1)
    return Utterance(
        text=TEXT,
        speaker=1,
        tokens=(PLACES * (QUARTERS * phones + rng.integers(0, QUARTERS, n)) + chars % PLACES).astype(
            np.int16
        ),
        next_phones=np.roll(phones, -1).astype(np.int16),
        chars=chars.astype(np.int16),
        features=rng.standard_normal((n, FEATURES)).astype(np.float16),
        samples=None,
    )


@pytest.fixture
def gpt() -> Gpt:
    torch.manual_seed(3)
    return Gpt(SIZE.channels, SIZE.layers).eval()


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(4)
    return Generator(FEATURES, SIZE.vocoder_channels).eval()


def test_speech_tokens_say_what_is_spoken_and_where_in_the_text() -> None:
    phones = [("pau", -1), ("hh", 0), ("ay", 0), ("pau", -1), ("y", 1), ("uw", 1), ("pau", -1)]
    segments = [Segment(phone, 0.2 * (i + 1), token) for i, (phone, token) in enumerate(phones)]
    samples = (3000 * np.sin(np.arange(int(16_000 * 1.4)) / 20)).astype(np.int16)
    spoken = Spoken(samples, 16_000, segments, np.full(280, 120, np.float32))

    made = patches("hi, you", spoken, LogMel())

    assert made is not None
    states = made.tokens // PLACES
    assert states.max() < NUM_STATES
    said = [PHONES[state // QUARTERS] for state in states]
    assert list(dict.fromkeys(said)) == ["hh", "ay", "pau", "y", "uw"]
    # "hi" is two letters for two phones; the silence after it is at the comma; "you" three letters for two.
    at = {phone: {int(made.chars[i]) for i, p in enumerate(said) if p == phone} for phone in set(said)}
    assert {phone: at[phone] for phone in ("hh", "ay", "pau", "y", "uw")} == {
        "hh": {0},
        "ay": {1},
        "pau": {2, 6},
        "y": {4},
        "uw": {6},
    }
    np.testing.assert_array_equal(made.tokens % PLACES, made.chars % PLACES)
    # A phone of 200 ms ends four or five patches of 46 ms, so it is gone through quarter by quarter.
    quarters = [int(state % QUARTERS) for state, phone in zip(states, said, strict=True) if phone == "uw"]
    assert quarters == sorted(quarters)
    assert set(quarters) >= {0, 1, 2}
    # The silence before the first sound is cut to a patch, and the patches cover the rest.
    assert len(made.tokens) == -(-len(made.samples) * SAMPLE_RATE_HZ // (16_000 * PATCH))
    assert len(made.log_mel) == FRAMES * len(made.tokens)


def test_a_batch_has_text_then_speech_that_is_one_token_ahead(utterance: Utterance) -> None:
    batch = collate([utterance, replace(utterance, text="hi.", chars=np.zeros(20, np.int16))])

    text, n = text_ids(TEXT), len(utterance.tokens)
    row = batch.ids[0].tolist()
    assert row[1 : 1 + len(text)] == text
    assert row[1 + len(text)] == STOP_TEXT
    assert row[len(text) + 2] == TEXT_TOKENS + START
    assert row[len(text) + 3 :] == (TEXT_TOKENS + utterance.tokens[1:]).tolist()
    assert batch.tokens[:n].tolist() == [*utterance.tokens[1:].tolist(), STOP]
    assert int(batch.is_speech.sum()) == 2 * n == len(batch.features)


def test_heads_look_at_the_place_of_the_last_token_from_the_start(gpt: Gpt, utterance: Utterance) -> None:
    batch, looks = collate([utterance]), guide([utterance])
    attention = {}

    def look(layer: int, x: torch.Tensor) -> None:
        qkv = gpt.blocks[layer].attn_in(gpt.blocks[layer].ln_1(x)).unflatten(2, (3, -1, HEAD_CHANNELS))
        query, key, _ = (part[:, :, 0] for part in qkv.unbind(2))
        attention[layer] = (query @ key.transpose(1, 2) / HEAD_CHANNELS**0.5)[0]

    for layer in LOOKING_HEADS:
        gpt.blocks[layer].register_forward_pre_hook(lambda _, x, layer=layer: look(layer, x[0]))
    with torch.no_grad():
        gpt.latents(batch, speaker_latents(SIZE.channels))

    first_char = CONDITIONING_LATENTS + 2
    text = slice(first_char, first_char + len(TEXT))
    # Position k was told of the character of token k, and is to look there before anything is learnt.
    rows = looks.positions[1:]
    for scores in attention.values():
        assert scores[rows, text].argmax(dim=1).tolist() == utterance.chars[1:].tolist()


def test_losses_fall_when_one_utterance_is_learnt(gpt: Gpt, utterance: Utterance) -> None:
    optimizer = torch.optim.Adam(gpt.parameters(), 1e-3)
    totals = []
    for _ in range(8):
        loss = losses(gpt, [utterance], guided=True).total(0.2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        totals.append(loss.item())
    assert totals[-1] < 0.75 * totals[0]


def test_absorbing_the_features_layer_changes_nothing(gpt: Gpt, generator: Generator) -> None:
    latents = torch.randn(SIZE.channels, 12)
    features = gpt.features(latents.T).T
    embedding = speaker_encoder.speaker_embeddings()[:1]
    with torch.no_grad():
        expected = generator(upsampled(features)[None], embedding)
        made = absorb(generator, gpt.features)(upsampled(latents)[None], embedding)
    margin = 256 * 20  # at the ends the convolution's zeros are zero features, not those of zero latents
    torch.testing.assert_close(made[:, margin:-margin], expected[:, margin:-margin], atol=2e-5, rtol=0)


def test_intake_takes_what_is_exported(gpt: Gpt, generator: Generator, tmp_path: Path) -> None:
    folder, scratch = tmp_path / "submission", tmp_path / "scratch"
    for path in (folder, scratch):
        path.mkdir()
    style = {"mel_stats": torch.full((80,), 4.0)} | style_encoder.initial_weights(SIZE.channels)
    vocoder = absorb(generator, gpt.features)
    tensors = export.state_dict(gpt, vocoder, style, speaker_encoder.initial_weights())
    torch.save({"model": tensors}, folder / "model.pth")
    (folder / "config.json").write_text(json.dumps(export.config(gpt)))
    (folder / "vocab.json").write_text(json.dumps(export.vocabulary()))
    soundfile.write(folder / "audio.wav", 0.3 * np.sin(np.arange(32_000) / 9), 16_000, subtype="PCM_16")

    checked = read_submission(folder, scratch)

    assert not checked.report.problems
    assert checked.accepted().languages == ("en",)


def test_the_served_style_encoder_is_the_trained_one() -> None:
    torch.manual_seed(6)
    weights = style_encoder.initial_weights(SIZE.channels)
    encoder = style_encoder.style_encoder(weights, SIZE.channels)
    assert isinstance(encoder, StyleEncoder)
    with torch.no_grad():
        latents = encoder.perceive(encoder.encode(torch.randn(80, 50)))
    assert latents.shape == speaker_latents(SIZE.channels).shape[1:]
    torch.testing.assert_close(
        F.normalize(latents, dim=1) * latents.norm(dim=1, keepdim=True), latents, atol=1e-5, rtol=1e-5
    )
    norms = speaker_latents(SIZE.channels).norm(dim=2)
    torch.testing.assert_close(latents.norm(dim=1), norms[0], atol=1e-3, rtol=0)
