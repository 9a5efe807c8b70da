"""The engine behind the seam, with submissions as the intake converted them.

The golden submission has a vocoder of full size and is held to the published waves. What must be equal
to itself (streamed to whole, a batch to each alone …) is shown on a random one that is small all over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.random_xtts import TINY, write_submission
from models_store.recordings import read_recording
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers import registry
from providers.interface import (
    Admission,
    Conditioning,
    Engine,
    EngineSettings,
    Prompt,
    Recording,
    ReferenceVoice,
    SamplingParams,
    Span,
    Utterance,
)

WHOLE = 602
SPEEDS = (0.8, 1.0, 1.3)
PROMPTS = ([265, 300, 301, 2, 310], [265, 2, 305], [265, *range(300, 330)])
SAMPLED = SamplingParams(
    temperature=0.75, top_k=50, top_p=0.85, repetition_penalty=5.0, max_tokens=WHOLE, seed=5
)
GREEDY = SamplingParams(temperature=0, top_k=0, top_p=1.0, repetition_penalty=10.0, max_tokens=602, seed=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelsStore:
    return ModelsStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def golden_files(golden_folder: Path, store: ModelsStore) -> SubmissionFiles:
    return store.files(store.submit(golden_folder, name="golden").submission.id)


@pytest.fixture(scope="module")
def tiny_files(store: ModelsStore, tmp_path_factory: pytest.TempPathFactory) -> SubmissionFiles:
    folder = write_submission(tmp_path_factory.mktemp("tiny"), TINY)
    return store.files(store.submit(folder, name="tiny").submission.id)


def make_engine(
    files: SubmissionFiles, dtype: Any = "float32", device: str = "cpu", slots: int = 6
) -> Engine:
    settings = EngineSettings(device=device, dtype=dtype, num_slots=slots)
    provider = registry.provider("xtts")
    engine = provider.create_engine(provider.architecture(files), settings)
    arrival = engine.load(provider.read_weights(files, settings))
    if arrival is not None:
        arrival.result(timeout=60)
    return engine


def golden_conditioning(engine: Engine, golden: Mapping[str, np.ndarray]) -> Conditioning:
    return engine.import_conditioning(
        {
            "gpt_cond_latent": golden["gpt_cond_latent"][0],
            "speaker_embedding": golden["speaker_embedding"][0, :, 0],
        }
    )


def golden_utterance(
    files: SubmissionFiles, golden: Mapping[str, np.ndarray], text: str, speed: float = 1.0
) -> Utterance:
    return utterance(files, golden[f"{text}_text_ids"].tolist(), GREEDY, speed)


def utterance(
    files: SubmissionFiles, ids: Sequence[int], sampling: SamplingParams, speed: float = 1.0
) -> Utterance:
    return Utterance(
        request_id="request",
        index=0,
        submission_id=files.submission.id,
        voice_id=files.submission.voice.id,
        prompt=Prompt(tuple(ids), "", "en"),
        sampling=sampling,
        speed=speed,
    )


def speak(engine: Engine, slot: int, chunk_tokens: int = WHOLE) -> np.ndarray:
    """Decode one slot to its end, vocoding every `chunk_tokens` tokens; then free it."""
    parts, vocoded, is_last = [], 0, False
    while not is_last:
        progress = engine.decode([slot], chunk_tokens)[slot]
        is_last = progress.finished is not None
        parts.append(engine.vocode({slot: Span(vocoded, progress.num_tokens, is_last)})[slot])
        vocoded = progress.num_tokens
    engine.release([slot])
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def golden_engine(golden_files: SubmissionFiles) -> Engine:
    return make_engine(golden_files)


@pytest.mark.parametrize("text", ["t0", "t1", "t2", "t3"])
def test_waves_equal_the_published_ones(
    text: str, golden_engine: Engine, golden_files: SubmissionFiles, golden: Any, check_golden: Any
) -> None:
    spoken = golden_utterance(golden_files, golden, text)
    golden_engine.prefill({0: Admission(spoken, golden_conditioning(golden_engine, golden))})
    check_golden(f"{text}_wav (engine)", speak(golden_engine, 0, 20), golden[f"{text}_wav"], atol=1e-4)


@pytest.mark.parametrize("speed", [0.8, 1.3])
def test_speeds_equal_the_published_ones(
    speed: float, golden_engine: Engine, golden_files: SubmissionFiles, golden: Any, check_golden: Any
) -> None:
    spoken = golden_utterance(golden_files, golden, "t1", speed)
    golden_engine.prefill({0: Admission(spoken, golden_conditioning(golden_engine, golden))})
    name = f"t1_speed{speed}_wav"
    check_golden(f"{name} (engine)", speak(golden_engine, 0), golden[name], atol=1e-4)


def test_vocoding_while_the_next_chunk_is_decoded_changes_nothing(
    golden_engine: Any,
    golden_files: SubmissionFiles,
    golden: Any,
    speak_ahead: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(golden_engine._decoder, "_steps_between_reads", 16)  # so that it begins at once
    spoken = golden_utterance(golden_files, golden, "t1")
    waves = []
    for way in (speak, speak_ahead):
        golden_engine.prefill({0: Admission(spoken, golden_conditioning(golden_engine, golden))})
        waves.append(way(golden_engine, 0, 20))
    np.testing.assert_array_equal(*waves)


@pytest.mark.gpu
def test_cuda_vocodes_without_waiting_for_what_it_decodes(
    golden_files: SubmissionFiles, golden: Any, speak_ahead: Any
) -> None:
    """The decoder's stream has seconds of nothing to do first; the samples are there before."""
    engine = make_engine(golden_files, device="cuda:0")
    spoken = Admission(golden_utterance(golden_files, golden, "t1"), golden_conditioning(engine, golden))
    waves = []
    for way in (speak, speak_ahead):
        engine.prefill({0: spoken})
        waves.append(way(engine, 0, 8))
    np.testing.assert_array_equal(*waves)
    engine.prefill({0: spoken})
    engine.decode([0], 8)
    torch.cuda._sleep(4_000_000_000)
    decoding = engine.begin_decode([0], 8)
    samples = engine.vocode({0: Span(0, 8, is_last=False)})[0]
    assert not torch.cuda.current_stream().query()
    np.testing.assert_array_equal(samples, waves[0][: len(samples)])
    assert decoding.progress()[0].num_tokens == 16
    engine.release([0])


def test_bfloat16_stays_close(golden_files: SubmissionFiles, golden: Any) -> None:
    """Tokens may part ways where two are nearly as likely; until then the speech is the same."""
    engine = make_engine(golden_files, dtype="bfloat16", slots=1)
    spoken = golden_utterance(golden_files, golden, "t0")
    engine.prefill({0: Admission(spoken, golden_conditioning(engine, golden))})
    wave, expected = speak(engine, 0)[: 10 * 1024], golden["t0_wav"][: 10 * 1024]
    noise = wave - expected
    assert 10 * np.log10(np.square(expected).sum() / np.square(noise).sum()) > 20


def test_a_devices_rules_are_kept_from_the_recording_to_the_sound(
    golden_engine: Engine,
    golden_files: SubmissionFiles,
    golden: Any,
    check_golden: Any,
    speak_ahead: Any,
    request: pytest.FixtureRequest,
) -> None:
    """Two residents at once, chunk after chunk; then one leaves and another comes."""
    recordings = tuple(Recording(*read_recording(path)) for path in golden_files.recordings)
    voice = ReferenceVoice(recordings)
    expected = golden_engine.export_conditioning(golden_engine.condition(golden_files.submission.id, voice))
    request.getfixturevalue("simulated_cuda")
    request.getfixturevalue("without_kernels")
    engine = make_engine(golden_files, device="cuda:0", slots=2)
    weights = registry.provider("xtts").read_weights(
        golden_files, EngineSettings(device="cuda:0", dtype="float32", num_slots=2)
    )
    heard = engine.export_conditioning(engine.condition(golden_files.submission.id, voice))
    for name, array in expected.items():
        np.testing.assert_allclose(heard[name], array, rtol=0, atol=1e-4)
    spoken = golden_utterance(golden_files, golden, "t0")
    for name in ("second", "third"):
        arrival = engine.load(replace(weights, submission_id=name))
        assert arrival is not None
        arrival.result(timeout=60)
        engine.prefill(
            {
                0: Admission(spoken, golden_conditioning(engine, golden)),
                1: Admission(replace(spoken, submission_id=name), golden_conditioning(engine, golden)),
            }
        )
        for slot in (1, 0):
            wave = speak_ahead(engine, slot, 20)
            check_golden(f"t0_wav (cuda's rules, slot {slot})", wave, golden["t0_wav"], atol=1e-4)
        engine.evict(name)


@pytest.mark.gpu
@pytest.mark.parametrize("text", ["t0", "t1", "t2", "t3"])
def test_cuda_waves_equal_the_published_ones(
    text: str, golden_files: SubmissionFiles, golden: Any, check_golden: Any
) -> None:
    engine = make_engine(golden_files, device="cuda:0")
    spoken = golden_utterance(golden_files, golden, text)
    engine.prefill({0: Admission(spoken, golden_conditioning(engine, golden))})
    # Another device adds up in another order; the tokens are still exact.
    check_golden(f"{text}_wav (cuda)", speak(engine, 0, 20), golden[f"{text}_wav"], atol=1e-3)


@pytest.fixture(scope="module")
def engine(tiny_files: SubmissionFiles) -> Engine:
    return make_engine(tiny_files)


@pytest.fixture(scope="module")
def voice(tiny_files: SubmissionFiles) -> ReferenceVoice:
    return ReferenceVoice(tuple(Recording(*read_recording(path)) for path in tiny_files.recordings))


@pytest.fixture(scope="module")
def conditioning(engine: Engine, tiny_files: SubmissionFiles, voice: ReferenceVoice) -> Conditioning:
    return engine.condition(tiny_files.submission.id, voice)


@pytest.fixture(scope="module")
def alone(engine: Engine, tiny_files: SubmissionFiles, conditioning: Conditioning) -> dict[Any, np.ndarray]:
    """(prompt, speed) → its wave, spoken alone and vocoded at once."""
    waves = {}
    for number, ids in enumerate(PROMPTS):
        for speed in SPEEDS:
            engine.prefill({0: Admission(utterance(tiny_files, ids, SAMPLED, speed), conditioning)})
            waves[number, speed] = speak(engine, 0)
    return waves


@pytest.mark.parametrize("chunk_tokens", [pytest.param(n, id=f"{n}-tokens") for n in (1, 7, 20, 64)])
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_streamed_equals_whole(
    number: int,
    speed: float,
    chunk_tokens: int,
    engine: Engine,
    tiny_files: Any,
    conditioning: Any,
    alone: Any,
) -> None:
    spoken = utterance(tiny_files, PROMPTS[number], SAMPLED, speed)
    engine.prefill({0: Admission(spoken, conditioning)})
    # Float32 convolutions over windows of other lengths add up in another order.
    np.testing.assert_allclose(speak(engine, 0, chunk_tokens), alone[number, speed], rtol=0, atol=1e-5)


def test_a_batch_equals_each_alone(engine: Engine, tiny_files: Any, conditioning: Any, alone: Any) -> None:
    engine.prefill(
        {
            slot: Admission(utterance(tiny_files, ids, SAMPLED), conditioning)
            for slot, ids in enumerate(PROMPTS)
        }
    )
    slots = list(range(len(PROMPTS)))
    progress = engine.decode(slots, WHOLE)
    waves = engine.vocode({slot: Span(0, progress[slot].num_tokens, True) for slot in slots})
    engine.release(slots)
    for slot in slots:
        np.testing.assert_allclose(waves[slot], alone[slot, 1.0], rtol=0, atol=1e-5)


def test_conditioning_survives_export_and_import(engine: Engine, conditioning: Conditioning) -> None:
    arrays = engine.export_conditioning(conditioning)
    again = engine.export_conditioning(engine.import_conditioning(arrays))
    assert arrays.keys() == again.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


def test_cached_conditioning_speaks_as_fresh(
    engine: Engine, tiny_files: SubmissionFiles, voice: Any, alone: Any
) -> None:
    fresh = engine.condition(tiny_files.submission.id, voice)
    imported = engine.import_conditioning(engine.export_conditioning(fresh))
    spoken = utterance(tiny_files, PROMPTS[0], SAMPLED)
    for conditioning in (fresh, fresh, imported):  # the second time with its cached prefix
        engine.prefill({0: Admission(spoken, conditioning)})
        np.testing.assert_allclose(speak(engine, 0), alone[0, 1.0], rtol=0, atol=1e-5)


def test_another_submission_on_the_same_engine_leaves_the_first_alone(
    engine: Engine, tiny_files: Any, conditioning: Any, alone: Any, store: ModelsStore, tmp_path: Path
) -> None:
    folder = write_submission(tmp_path / "other", TINY, seed=1)
    other_files = store.files(store.submit(folder, name="other").submission.id)
    settings = EngineSettings(device="cpu", dtype="float32", num_slots=6)
    engine.load(registry.provider("xtts").read_weights(other_files, settings))
    other = Admission(utterance(other_files, PROMPTS[0], SAMPLED), conditioning)
    engine.prefill({0: Admission(utterance(tiny_files, PROMPTS[0], SAMPLED), conditioning), 1: other})
    progress = engine.decode([0, 1], WHOLE)
    waves = engine.vocode({slot: Span(0, progress[slot].num_tokens, True) for slot in (0, 1)})
    engine.release([0, 1])
    engine.evict(other_files.submission.id)
    np.testing.assert_allclose(waves[0], alone[0, 1.0], rtol=0, atol=1e-5)
    assert len(waves[1]) != len(waves[0]) or np.abs(waves[1] - waves[0]).max() > 0.1


def test_a_missing_tensor_is_named(engine: Engine, tiny_files: SubmissionFiles) -> None:
    settings = EngineSettings(device="cpu", dtype="float32", num_slots=1)
    weights = registry.provider("xtts").read_weights(tiny_files, settings)
    with pytest.raises(KeyError, match=r"gpt\.no_such_tensor"):
        weights.tensors()["gpt.no_such_tensor"]  # type: ignore[attr-defined]
