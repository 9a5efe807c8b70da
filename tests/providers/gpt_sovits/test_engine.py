"""The engine behind the seam, with the golden submissions as the intake converted them.

Held to the published waves from the recording on, decoded at one shot; what must be equal to itself (cut to
whole, a batch to each alone …) is shown as it is served, in blocks.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models_store.errors import MissingBaseModels
from providers.gpt_sovits.engine import GptSovitsEngine
from providers.gpt_sovits.provider import GptSovitsProvider
from providers.gpt_sovits.streaming import ONE_SHOT, STREAMED
from providers.interface import (
    Admission,
    CharacterSpan,
    EngineSettings,
    Prompt,
    SamplingParams,
    Span,
    Utterance,
)

WHOLE = 100
GREEDY = SamplingParams(temperature=0, top_k=15, top_p=1.0, repetition_penalty=1.35, max_tokens=50, seed=0)
SAMPLED = dataclasses.replace(GREEDY, temperature=1.0, seed=5, noise_scale=0.5)
WAVES = [("v1", 0), ("v1", 1), ("v2", 0), ("v2", 3), ("v2Pro", 0), ("v2Pro", 1)]


@pytest.fixture(scope="module")
def make_engine(golden_files):
    def make(variant="v2", schedule=STREAMED, missing=(), slots=6, device="cpu", **settings):
        files = golden_files(variant, missing)
        settings = EngineSettings(device, "float32", slots, **settings)
        provider = GptSovitsProvider()
        engine = GptSovitsEngine(provider.architecture(files), settings, schedule)
        arrival = engine.load(provider.read_weights(files, settings))
        if arrival is not None:
            arrival.result(timeout=60)
        return engine

    return make


@pytest.fixture(scope="module")
def golden_prompt(gpt_sovits_golden_meta):
    """`golden_prompt(variant, text)`: the golden text's published phones, with its characters if Chinese."""

    def make(variant, text):
        golden = gpt_sovits_golden_meta["versions"][variant]["t2s_texts"][text]
        characters, spans = golden["norm_text"], ()
        if text == 1:  # the one that is Chinese all through
            counts = tuple(1 if character in ",." else 2 for character in characters)
            spans = (CharacterSpan(0, characters, counts),)
        return Prompt(tuple(golden["phone_ids"]), characters, golden["lang"], spans)

    return make


@pytest.fixture(scope="module")
def submission_id(golden_files):
    return lambda variant: golden_files(variant).submission.id


@pytest.fixture(scope="module")
def utterance(golden_prompt, submission_id):
    def make(variant, text, sampling=GREEDY, speed=1.0, index=0):
        # The mixed text's characters aren't told apart in the golden file; it is spoken without features.
        prompt = golden_prompt(variant, text)
        return Utterance("request", index, submission_id(variant), "voice", prompt, sampling, speed)

    return make


def speak(engine, slot, chunk_tokens=WHOLE):
    """Decode one slot to its end, vocoding every `chunk_tokens` tokens; then free it."""
    parts, vocoded, is_last = [], 0, False
    while not is_last:
        progress = engine.decode([slot], chunk_tokens)[slot]
        is_last = progress.finished is not None
        parts.append(engine.vocode({slot: Span(vocoded, progress.num_tokens, is_last)})[slot])
        vocoded = progress.num_tokens
    engine.release([slot])
    return np.concatenate(parts)


@pytest.mark.parametrize("variant", ["v1", "v2", "v2Pro"])
def test_waves_equal_the_published_ones(
    variant, make_engine, golden_voice, utterance, submission_id, gpt_sovits_golden, check_golden
):
    """From the recording to the sound; in v2Pro through an ill-conditioned random speaker network."""
    engine = make_engine(variant, ONE_SHOT)
    conditioning = engine.condition(submission_id(variant), golden_voice)
    for text in (text for other, text in WAVES if other == variant):
        engine.prefill({0: Admission(utterance(variant, text), conditioning)})
        name = f"{variant}_wav_noise0_text{text}"
        tolerance = 1e-2 if variant == "v2Pro" else 1e-4
        check_golden(f"{name} (engine)", speak(engine, 0, 7), gpt_sovits_golden[name], tolerance)


@pytest.mark.parametrize(("variant", "schedule"), [("v1", ONE_SHOT), ("v2", STREAMED), ("v2Pro", STREAMED)])
def test_a_devices_rules_are_kept_from_the_recording_to_the_sound(
    variant, schedule, make_engine, golden_voice, utterance, submission_id, speak_ahead, request
):
    """Two texts at once, drawn and with noise, chunk after chunk: as a CPU speaks them."""
    spoken = []
    for device in ("cpu", "cuda:0"):
        if device == "cuda:0":
            request.getfixturevalue("simulated_cuda")
            request.getfixturevalue("without_kernels")
        engine = make_engine(variant, schedule, slots=2, device=device)
        conditioning = engine.condition(submission_id(variant), golden_voice)
        texts = [utterance(variant, text, SAMPLED, index=text) for text in (0, 1)]
        engine.prefill({slot: Admission(text, conditioning) for slot, text in enumerate(texts)})
        spoken.append([speak_ahead(engine, slot, 8) for slot in (0, 1)])
    for wave, simulated in zip(*spoken, strict=True):
        # The device's products and convolutions add up in another order than a CPU's packed ones.
        np.testing.assert_allclose(simulated, wave, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def engine(make_engine):
    return make_engine()


@pytest.fixture(scope="module")
def conditioning(engine, submission_id, golden_voice):
    return engine.condition(submission_id("v2"), golden_voice)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_streams_are_equal_however_they_are_cut(sampling, engine, conditioning, utterance):
    waves = []
    for chunk_tokens in (WHOLE, 1, 8, 13):
        engine.prefill({0: Admission(utterance("v2", 3, sampling), conditioning)})
        waves.append(speak(engine, 0, chunk_tokens))
    assert len(waves[0]) > 0
    for wave in waves[1:]:
        np.testing.assert_allclose(wave, waves[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps_between_reads", [1, 16], ids=["when waited for", "at once"])
def test_vocoding_while_the_next_chunk_is_decoded_changes_nothing(
    steps_between_reads, engine, conditioning, utterance, speak_ahead, monkeypatch
):
    monkeypatch.setattr(engine._decoder, "_steps_between_reads", steps_between_reads)
    waves = []
    for way in (speak, speak_ahead):
        engine.prefill({0: Admission(utterance("v2", 3, SAMPLED), conditioning)})
        waves.append(way(engine, 0, 8))
    np.testing.assert_array_equal(*waves)


def test_neighbours_in_a_batch_change_nothing(engine, conditioning, utterance):
    speeds = (1.0, 1.3, 0.8, 1.0)
    spoken = [utterance("v2", i, SAMPLED, speed, index=i) for i, speed in enumerate(speeds)]
    alone = []
    for each in spoken:
        engine.prefill({2: Admission(each, conditioning)})
        alone.append(speak(engine, 2))
    slots = (4, 1, 3, 0)
    engine.prefill({slot: Admission(each, conditioning) for slot, each in zip(slots, spoken, strict=True)})
    together, vocoded, running = {slot: [] for slot in slots}, dict.fromkeys(slots, 0), set(slots)
    while running:
        progress = engine.decode(sorted(running), 9)
        spans = {s: Span(vocoded[s], p.num_tokens, p.finished is not None) for s, p in progress.items()}
        for slot, samples in engine.vocode(spans).items():
            together[slot].append(samples)
        vocoded.update({slot: p.num_tokens for slot, p in progress.items()})
        running -= {slot for slot, p in progress.items() if p.finished is not None}
    engine.release(slots)
    for slot, wave in zip(slots, alone, strict=True):
        np.testing.assert_allclose(np.concatenate(together[slot]), wave, rtol=0, atol=1e-5)


def test_the_first_chunk_that_the_spec_names_is_audible(engine, conditioning, utterance):
    engine.prefill({0: Admission(utterance("v2", 3), conditioning)})
    first = engine.spec.first_chunk_tokens
    engine.decode([0], first)
    assert len(engine.vocode({0: Span(0, first - 1, False)})[0]) == 0
    assert len(engine.vocode({0: Span(first - 1, first, False)})[0]) > 0.1 * engine.spec.sample_rate_hz
    engine.release([0])


def test_a_voice_without_a_transcript_speaks_too(
    engine, conditioning, golden_voice, utterance, submission_id
):
    untold = engine.condition(submission_id("v2"), dataclasses.replace(golden_voice, transcript=None))
    engine.prefill({0: Admission(utterance("v2", 0), untold)})
    wave = speak(engine, 0)
    engine.prefill({0: Admission(utterance("v2", 0), conditioning)})
    assert not np.array_equal(wave, speak(engine, 0))


def test_conditionings_survive_the_disk(engine, conditioning, utterance):
    waves = []
    for kept in (conditioning, engine.import_conditioning(engine.export_conditioning(conditioning))):
        engine.prefill({0: Admission(utterance("v2", 0), kept)})
        waves.append(speak(engine, 0))
    np.testing.assert_array_equal(*waves)


def test_submissions_of_an_architecture_share_an_engine(make_engine, golden_files, golden_voice, utterance):
    """The same weights under two names: each speaks with its own, in one batch."""
    engine = make_engine()
    files = golden_files("v2")
    other = dataclasses.replace(files, submission=dataclasses.replace(files.submission, languages=("en",)))
    settings = EngineSettings("cpu", "float32", 6)
    engine.load(GptSovitsProvider().read_weights(other, settings))
    mine = utterance("v2", 0)
    theirs = dataclasses.replace(mine, submission_id=other.submission.id)
    conditionings = [engine.condition(each.submission_id, golden_voice) for each in (mine, theirs)]
    engine.prefill(
        {
            slot: Admission(each, c)
            for slot, (each, c) in enumerate(zip((mine, theirs), conditionings, strict=True))
        }
    )
    engine.decode([0, 1], 50)
    waves = engine.vocode({0: Span(0, 31, True), 1: Span(0, 31, True)})
    np.testing.assert_array_equal(waves[0], waves[1])
    engine.release([0, 1])
    engine.evict(other.submission.id)
    with pytest.raises(KeyError):
        engine.prefill({0: Admission(theirs, conditionings[1])})


def test_chinese_without_its_base_model_is_refused_unless_zeros_will_do(
    make_engine, golden_voice, utterance, submission_id
):
    refusing, speaking = (make_engine(missing=("roberta",), zero_features=zero) for zero in (False, True))
    conditioning = refusing.condition(submission_id("v2"), golden_voice)
    spoken = {0: Admission(utterance("v2", 1), conditioning)}
    with pytest.raises(MissingBaseModels, match="roberta"):
        refusing.prefill(spoken)
    refusing.prefill({0: Admission(utterance("v2", 0), conditioning)})
    speaking.prefill(spoken)
    assert len(speak(speaking, 0)) > 0


def test_host_weights_say_what_they_take_on_the_device(golden_files):
    weights = GptSovitsProvider().read_weights(golden_files("v2"), EngineSettings("cpu", "float32", 1))
    stored = sum(tensor.numel() for part in (weights.gpt, weights.sovits) for tensor in part().values())
    assert weights.size_bytes == 4 * stored
    assert weights.submission_id == golden_files("v2").submission.id
