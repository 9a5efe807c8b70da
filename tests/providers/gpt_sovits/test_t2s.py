"""The text-to-semantic model against what the published implementation computed: inputs, logits, tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import TextToSemanticArchitecture
from providers.decoding.attention import RowAttention, attend_prompt, prompt_visibility
from providers.decoding.blocks import run_blocks
from providers.decoding.decoder import Decoder
from providers.decoding.linear import can_pack
from providers.decoding.plain import PlainBackend
from providers.decoding.step_graph import StepGraphs
from providers.gpt_sovits.limits import MAX_PROMPT_TOKENS, MAX_TOKENS
from providers.gpt_sovits.sovits import SpeechSpan
from providers.gpt_sovits.streaming import ONE_SHOT
from providers.gpt_sovits.t2s import (
    MAX_PHONES,
    TextToSemanticWeights,
    decoder_spec,
    prepare_text_to_semantic,
    sine_positions,
)
from providers.interface import Progress, SamplingParams

CPU = torch.device("cpu")
VARIANTS = ("v1", "v2", "v2Pro")
STATIC = partial(PlainBackend, attention=RowAttention, steps=StepGraphs)
PATHS = {
    "": {},
    ", static shapes": {"backend": STATIC, "steps_between_reads": 16},
}
# What the published request stops at in the golden run: max_sec is 1 there.
GREEDY_TOKENS = 50
TEXTS = (0, 1, 3)
# Text 2 mixes languages: its Chinese parts, and between them stretches of so many phones in English.
TEXT_2 = (("我今天用", 8), (None, 16), ("做了一个", 8), (None, 4), ("效果非常好!", 11))


def greedy(repetition_penalty, max_tokens=GREEDY_TOKENS):
    return SamplingParams(
        temperature=0.0,
        top_k=1,
        top_p=1.0,
        repetition_penalty=repetition_penalty,
        max_tokens=max_tokens,
        seed=0,
    )


class Golden(NamedTuple):
    """One variant: its weights, and what its utterances are made of."""

    tensors: Mapping[str, Tensor]
    architecture: TextToSemanticArchitecture
    weights: TextToSemanticWeights
    reference_phones: list[int]
    prompt_tokens: list[int]
    texts: list[list[int]]  # phones
    features: Tensor  # of text 1, which is Chinese

    def utterance(self, text, sampling, weights=None, features=None):
        phones = self.reference_phones + self.texts[text]
        if text == 1:
            features = self.features
        if features is not None:
            features = torch.cat((torch.zeros(len(self.reference_phones), 1024), features))
        return (weights or self.weights).utterance(phones, features, self.prompt_tokens, sampling)

    def utterances(self, sampling, weights=None):
        """One slot per text in one language."""
        return {text: self.utterance(text, sampling, weights) for text in TEXTS}


@pytest.fixture(scope="module")
def text_2_features(gpt_sovits_models):
    """[phones, 1024]: the small RoBERTa's third hidden state from the end, as the published code takes it."""
    transformers = pytest.importorskip("transformers")
    folder = gpt_sovits_models / "chinese-roberta-wwm-ext-large"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    roberta = transformers.BertForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()

    def part(text, phones):
        if text is None:
            return torch.zeros(phones, 1024)
        hidden = roberta(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-3]
        counts = torch.tensor([1 if character in ",.!" else 2 for character in text])
        return hidden[0, 1:-1].repeat_interleave(counts, dim=0)

    with torch.inference_mode():
        return torch.cat([part(*each) for each in TEXT_2])


@pytest.fixture(scope="module")
def goldens(golden_model, gpt_sovits_models, gpt_sovits_golden, gpt_sovits_golden_meta):
    def load(variant):
        checkpoint = torch.load(gpt_sovits_models / variant / "gpt.ckpt", weights_only=True)
        tensors = {name.removeprefix("model."): tensor for name, tensor in checkpoint["weight"].items()}
        architecture = golden_model(variant).architecture.text_to_semantic
        meta = gpt_sovits_golden_meta["versions"][variant]
        return Golden(
            tensors,
            architecture,
            prepare_text_to_semantic(tensors, architecture, CPU, torch.float32),
            meta["prompt"]["phone_ids"],
            gpt_sovits_golden[f"{variant}_prompt_semantic"].tolist(),
            [text["phone_ids"] for text in meta["t2s_texts"]],
            torch.from_numpy(gpt_sovits_golden["bert_feat_text1"]).t(),
        )

    return {variant: load(variant) for variant in VARIANTS}


@pytest.fixture(scope="module")
def v2(goldens):
    return goldens["v2"]


def make_decoder(golden, num_slots=4, dtype=torch.float32, device=CPU, **parts):
    return Decoder(decoder_spec(golden.architecture), num_slots, device, dtype, **parts)


def test_spec_is_read_off_the_architecture(v2):
    spec = decoder_spec(v2.architecture)
    assert (spec.layers, spec.channels, spec.heads, spec.vocabulary) == (3, 64, 4, 1025)
    assert spec.stop_token == 1024
    assert spec.max_prompt == 512 + 512 + 264
    assert spec.max_tokens == 1500


def test_golden_prefill(v2, gpt_sovits_golden, check_golden):
    prompt = v2.utterance(0, greedy(1.35))
    expected = gpt_sovits_golden["v2_t2s_prefill_input_text0"]
    check_golden("v2_t2s_prefill_input_text0", prompt.embeddings, expected, 1e-6)
    is_visible = prompt_visibility(len(expected), len(expected), prompt.bidirectional, CPU)
    with torch.inference_mode():
        hidden = run_blocks(
            v2.weights.decoder,
            prompt.embeddings,
            lambda layer, q, k, v: attend_prompt(q, k, v, is_visible),
        )
    expected = gpt_sovits_golden["v2_t2s_prefill_hidden_text0"]
    check_golden("v2_t2s_prefill_hidden_text0", hidden, expected, 1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_golden_step_logits(v2, gpt_sovits_golden, check_golden, path):
    """Where the published code has cut the stop token off there is nothing to compare."""
    expected = gpt_sovits_golden["v2_t2s_step_logits_rp1.35_text0"]
    decoder = make_decoder(v2, **PATHS[path])
    decoder.prefill({0: v2.utterance(0, greedy(1.35))})
    assert decoder.decode([0], 100)[0] == Progress(len(expected) - 1, "stop")
    logits = v2.weights.decoder.head(decoder.latents(0, 0, len(expected)))
    compared = ~np.isnan(expected)
    assert compared.sum() == expected.size - 11
    name = f"v2_t2s_step_logits_rp1.35_text0{path}"
    # Behind a finished slot's tokens lies its last step: not the one that stopped, where more were run.
    steps = slice(None) if not path else slice(-1)
    check_golden(name, logits.numpy()[steps][compared[steps]], expected[steps][compared[steps]], 2e-4)


@pytest.fixture
def check_tokens(gpt_sovits_golden, check_golden):
    """Decodes what is in a decoder's slots to the end: exactly the published tokens of the texts there."""

    def check(decoder, texts, name, path=""):
        progress = decoder.decode(texts, MAX_TOKENS)
        for text in texts:
            expected = gpt_sovits_golden[f"{name}_text{text}"]
            check_golden(f"{name}_text{text}{path}", decoder.codes(text), expected, 0)
            reason = "length" if len(expected) == GREEDY_TOKENS else "stop"
            assert progress[text] == Progress(len(expected), reason)

    return check


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("penalty", [1.0, 1.35])
@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_tokens(goldens, check_tokens, variant, penalty, path):
    """Side by side; the published batch gave what each text alone gave."""
    decoder = make_decoder(goldens[variant], **PATHS[path])
    decoder.prefill(goldens[variant].utterances(greedy(penalty)))
    check_tokens(decoder, TEXTS, f"{variant}_t2s_rp{penalty}", path)


@pytest.mark.parametrize("penalty", [1.0, 1.35])
@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_tokens_of_a_batch_with_mixed_text(goldens, text_2_features, check_tokens, variant, penalty):
    golden, sampling = goldens[variant], greedy(penalty)
    decoder = make_decoder(golden)
    mixed = golden.utterance(2, sampling, features=text_2_features)
    decoder.prefill(golden.utterances(sampling) | {2: mixed})
    check_tokens(decoder, range(4), f"{variant}_t2s_rp{penalty}")


@pytest.mark.parametrize("path", PATHS)
def test_a_batch_equals_each_alone(v2, path):
    """Prefilled and decoded together or alone; bit for bit where rows don't depend on their neighbours."""
    sampling = dataclasses.replace(greedy(1.35), temperature=1.0, top_k=15, seed=7)
    together = make_decoder(v2, **PATHS[path])
    together.prefill(v2.utterances(sampling))
    progress = together.decode(TEXTS, MAX_TOKENS)
    exact = not path and can_pack(CPU, torch.float32)
    for slot in TEXTS:
        alone = make_decoder(v2, **PATHS[path])
        alone.prefill({2: v2.utterance(slot, sampling)})
        assert alone.decode([2], MAX_TOKENS)[2] == progress[slot]
        assert alone.codes(2) == together.codes(slot)
        count = progress[slot].num_tokens
        torch.testing.assert_close(
            alone.latents(2, 0, count),
            together.latents(slot, 0, count),
            rtol=0,
            atol=0 if exact else 1e-5,
        )


@pytest.mark.parametrize("path", PATHS)
def test_without_a_prompt_the_last_phone_predicts_the_first_token(v2, path):
    """Against the whole sequence at once."""
    weights = v2.weights
    decoder = make_decoder(v2, **PATHS[path])
    decoder.prefill({0: weights.utterance(v2.texts[0], None, (), greedy(1.0, max_tokens=20))})
    decoder.decode([0], 100)
    tokens = torch.tensor(decoder.codes(0))
    phones = weights.phone_embeddings(v2.texts[0])
    inputs = torch.cat((phones, weights.decoder.embed(tokens[:-1], torch.arange(len(tokens) - 1))))
    is_visible = prompt_visibility(len(inputs), len(inputs), len(phones), CPU)
    with torch.inference_mode():
        hidden = run_blocks(
            weights.decoder, inputs, lambda layer, q, k, v: attend_prompt(q, k, v, is_visible)
        )[len(phones) - 1 :]
        likeliest = weights.decoder.head(hidden)[:, :1024].argmax(-1)
    torch.testing.assert_close(decoder.latents(0, 0, len(tokens)), hidden, rtol=0, atol=1e-5)
    assert tokens[:11].tolist() == likeliest[:11].tolist()
    assert len(tokens) > 11


def test_golden_speech_without_a_prompt(v2, make_sovits, golden_start, gpt_sovits_golden, check_golden):
    """Published as a wave only: of 51 tokens, for this way of decoding stops one later than the other."""
    expected = gpt_sovits_golden["v2_full_no_prompt_text_int16"]
    decoder = make_decoder(v2)
    sampling = greedy(1.35, max_tokens=GREEDY_TOKENS + 1)
    decoder.prefill({0: v2.weights.utterance(v2.texts[0], None, (), sampling)})
    assert decoder.decode([0], 100)[0] == Progress(51, "length")
    sovits = make_sovits("v2", schedule=ONE_SHOT)
    (speech,) = sovits.begin([golden_start("v2", 0)])
    (wave,) = sovits.vocode([SpeechSpan(speech, decoder.tokens(0, 0, 51), is_last=True)])
    name, one_bit = "v2_full_no_prompt_text_int16", 2.0**-15
    check_golden(name, wave, expected[: len(wave)] * one_bit, 1.1 * one_bit)
    assert not expected[len(wave) :].any()
    assert len(wave) == 51 * 1280


def test_the_prompts_tokens_count_as_seen(v2):
    """Where the reference's last token is the likeliest, a strong penalty avoids it although it was never
    drawn."""
    head = v2.weights.decoder.head
    favourite = v2.prompt_tokens[-1]

    def prefer_the_prompt(latents):
        logits = head(latents)
        logits[:, favourite] = logits.amax(dim=-1) + 0.5
        return logits

    weights = dataclasses.replace(
        v2.weights, decoder=dataclasses.replace(v2.weights.decoder, head=prefer_the_prompt)
    )
    first = []
    for penalty in (1.0, 10.0):
        decoder = make_decoder(v2)
        decoder.prefill({0: v2.utterance(0, greedy(penalty, max_tokens=1), weights)})
        decoder.decode([0], 1)
        first += decoder.codes(0)
    assert first[0] == favourite
    assert first[1] != favourite


def test_no_features_are_zeros(v2):
    phones = v2.reference_phones
    with_zeros = v2.weights.phone_embeddings(phones, torch.zeros(len(phones), 1024))
    assert v2.weights.phone_embeddings(phones).equal(with_zeros)


def test_positions_are_sines_and_cosines():
    table = sine_positions(2000, 64)
    positions, channels = torch.arange(2000).double()[:, None], torch.arange(0, 64, 2)
    angles = positions / 10_000.0 ** (channels.double() / 64)
    torch.testing.assert_close(table[:, 0::2].double(), angles.sin(), rtol=0, atol=3e-4)
    torch.testing.assert_close(table[:, 1::2].double(), angles.cos(), rtol=0, atol=3e-4)
    assert table.dtype == torch.float32


def test_the_longest_utterance_has_room(v2):
    """As many phones and prompt tokens as the limits say, and a position for every token then drawn."""
    prompt = v2.weights.utterance([7] * MAX_PHONES, None, [5] * MAX_PROMPT_TOKENS, greedy(1.0))
    decoder = make_decoder(v2, num_slots=1)
    decoder.prefill({0: prompt})
    assert decoder.decode([0], 3)[0] == Progress(3)
    assert len(v2.weights.decoder.position_table) == prompt.position + MAX_TOKENS


@pytest.mark.parametrize(("phones", "prompt_tokens"), [(MAX_PHONES + 1, 1), (9, MAX_PROMPT_TOKENS + 1)])
def test_longer_than_the_limits_is_refused(v2, phones, prompt_tokens):
    with pytest.raises(ValueError, match=f"found {phones} phones and {prompt_tokens} prompt tokens"):
        v2.weights.utterance([7] * phones, None, [5] * prompt_tokens, greedy(1.0))


def test_bfloat16_stays_close(v2, gpt_sovits_golden):
    """Latents of the first eight steps, teacher-forced by equal tokens, within 3 % in the mean square."""
    weights = prepare_text_to_semantic(v2.tensors, v2.architecture, CPU, torch.bfloat16)
    latents = []
    for each, dtype in ((v2.weights, torch.float32), (weights, torch.bfloat16)):
        decoder = make_decoder(v2, dtype=dtype)
        decoder.prefill({0: v2.utterance(0, greedy(1.35), each)})
        decoder.decode([0], 8)
        assert decoder.codes(0) == gpt_sovits_golden["v2_t2s_rp1.35_text0"][:8].tolist()
        latents.append(decoder.latents(0, 0, 8))
    error = (latents[1] - latents[0]).square().mean().sqrt()
    assert 0 < error < 0.03 * latents[0].square().mean().sqrt()


def test_nothing_of_the_given_tensors_is_kept(v2, gpt_sovits_golden):
    """They are views of a memory map that loading wants to let go of."""
    given = {name: tensor.float() for name, tensor in v2.tensors.items()}
    weights = prepare_text_to_semantic(given, v2.architecture, CPU, torch.float32)
    for tensor in given.values():
        tensor.zero_()
    decoder = make_decoder(v2)
    decoder.prefill({1: v2.utterance(1, greedy(1.35), weights)})
    decoder.decode([1], 100)
    assert decoder.codes(1) == gpt_sovits_golden["v2_t2s_rp1.35_text1"].tolist()


@pytest.mark.gpu
@pytest.mark.parametrize("use_graphs", [False, True])
def test_golden_tokens_on_a_gpu(v2, check_tokens, use_graphs):
    device = torch.device("cuda:0")
    weights = prepare_text_to_semantic(v2.tensors, v2.architecture, device, torch.float32)
    decoder = make_decoder(v2, device=device, use_graphs=use_graphs)
    decoder.prefill(v2.utterances(greedy(1.35), weights))
    check_tokens(decoder, TEXTS, "v2_t2s_rp1.35", f", {'graphs' if use_graphs else 'eager'} on CUDA")
