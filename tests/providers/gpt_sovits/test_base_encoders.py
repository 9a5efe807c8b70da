"""The base models as the store keeps them: what they make of the golden recording and texts."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.conditioning import PromptFeatures
from providers.interface import CharacterSpan, Prompt

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoders(base_models):
    return BaseEncoders.read(base_models, torch.float32, wants_speaker=True)


def test_golden_speech_features(encoders, gpt_sovits_golden, check_golden):
    samples = F.pad(torch.from_numpy(gpt_sovits_golden["ref_wav16k"]), (0, 9600))
    check_golden(
        "hubert_last_hidden", encoders.hubert(samples), gpt_sovits_golden["hubert_last_hidden"], 1e-4
    )


def test_golden_character_features(encoders, gpt_sovits_golden, gpt_sovits_golden_meta, check_golden):
    characters = gpt_sovits_golden_meta["versions"]["v2"]["t2s_texts"][1]["norm_text"]
    expected = gpt_sovits_golden["bert_char_feat_text1"]
    check_golden("bert_char_feat_text1", encoders.roberta(characters), expected, 2e-4)


def test_golden_phone_features(encoders, gpt_sovits_golden, gpt_sovits_golden_meta, check_golden):
    text = gpt_sovits_golden_meta["versions"]["v2"]["t2s_texts"][1]
    counts = tuple(1 if character in ",." else 2 for character in text["norm_text"])
    prompt = Prompt(
        tuple(text["phone_ids"]), text["norm_text"], "zh", (CharacterSpan(0, text["norm_text"], counts),)
    )
    features = PromptFeatures(encoders, 1024, zero_if_missing=False)(prompt)
    check_golden("bert_feat_text1", features.T, gpt_sovits_golden["bert_feat_text1"], 2e-4)


def test_only_characters_have_features(encoders):
    prompt = Prompt(
        tuple(range(20)), "", "zh", (CharacterSpan(3, "今天", (2, 2)), CharacterSpan(10, "好", (1,)))
    )
    features = PromptFeatures(encoders, 1024, zero_if_missing=False)(prompt)
    assert features.shape == (20, 1024)
    assert features.any(dim=1).nonzero()[:, 0].tolist() == [3, 4, 5, 6, 10]
    assert torch.equal(features[3], features[4])
    assert torch.equal(features[5:7], encoders.roberta("今天")[1].expand(2, -1))


def test_a_text_longer_than_the_positions_is_read_in_pieces(encoders):
    characters = "今天天气" * 150
    features = encoders.roberta(characters)
    assert features.shape == (600, 1024)
    assert torch.equal(features[510:], encoders.roberta(characters[510:]))


def test_every_character_has_features_whatever_it_is(encoders):
    assert encoders.roberta("今 \u200bA😀½ﬁ…").shape == (8, 1024)


def test_they_are_read_once(base_models):
    first, second = (BaseEncoders.read(base_models, torch.float32, wants_speaker=False) for _ in range(2))
    assert first.hubert is second.hubert
    assert first.roberta is second.roberta
    assert first.eres2netv2 is None


def test_they_are_copied_to_a_device_once_and_let_go_with_their_last_user(encoders):
    device = torch.device("meta")  # has sizes, and no bytes
    first, second = encoders.to(device), encoders.to(device)
    for role in ("hubert", "roberta", "eres2netv2"):
        assert getattr(first, role) is getattr(second, role) is not getattr(encoders, role)
    assert first.size_bytes == encoders.size_bytes
    assert encoders.to(CPU) is encoders, "host memory is the device's own there"
    gone = weakref.ref(first.hubert)
    del first, second
    gc.collect()
    assert gone() is None
    assert encoders.hubert(torch.zeros(16_000)).device == CPU, "the host's own stay where they are"


def test_they_say_what_they_take_by_build(encoders, base_models):
    sizes = encoders.size_bytes
    assert {name.partition(" ")[0] for name in sizes} == {"hubert", "roberta", "eres2netv2"}
    stored = load_file(base_models["eres2netv2"] / "model.safetensors")
    used = sum(tensor.numel() for name, tensor in stored.items() if not name.startswith("seg_1."))
    assert sizes[f"eres2netv2 {base_models['eres2netv2']}"] == 4 * used


def test_those_that_are_not_there_are_left_out(base_models):
    only = BaseEncoders.read({"hubert": base_models["hubert"]}, torch.float32, wants_speaker=True)
    assert only.hubert is not None
    assert only.roberta is only.eres2netv2 is None
    assert len(only.size_bytes) == 1
