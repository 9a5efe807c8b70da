"""The engine behind the seam, on the tiny golden submission as the intake converted it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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

GREEDY = SamplingParams(temperature=0, top_k=0, top_p=1.0, repetition_penalty=10.0, max_tokens=602, seed=0)
TEXTS = ("t0", "t1", "t2", "t3")
SPEEDS = (0.8, 1.0, 1.3)


@pytest.fixture(scope="module")
def files(golden_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SubmissionFiles:
    store = ModelsStore(tmp_path_factory.mktemp("store"))
    return store.files(store.submit(golden_folder, name="golden").submission.id)


def make_engine(
    files: SubmissionFiles, dtype: Any = "float32", device: str = "cpu", slots: int = 6
) -> Engine:
    settings = EngineSettings(device=device, dtype=dtype, num_slots=slots)
    provider = registry.provider("xtts")
    engine = provider.create_engine(provider.architecture(files), settings)
    engine.load(provider.read_weights(files, settings))
    return engine


@pytest.fixture(scope="module")
def engine(files: SubmissionFiles) -> Engine:
    return make_engine(files)


@pytest.fixture(scope="module")
def voice(files: SubmissionFiles) -> ReferenceVoice:
    return ReferenceVoice(tuple(Recording(*read_recording(path)) for path in files.recordings))


@pytest.fixture(scope="module")
def golden_conditioning(engine: Engine, golden: Mapping[str, np.ndarray]) -> Conditioning:
    return imported(engine, golden, "gpt_cond_latent", "speaker_embedding")


def imported(engine: Engine, golden: Mapping[str, np.ndarray], latent: str, embedding: str) -> Conditioning:
    return engine.import_conditioning(
        {"gpt_cond_latent": golden[latent][0], "speaker_embedding": golden[embedding][0, :, 0]}
    )


@pytest.fixture(autouse=True)
def free_slots(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "engine" in request.fixturenames:
        engine = request.getfixturevalue("engine")
        engine.release(list(range(engine.spec.num_slots)))


@pytest.fixture(scope="module")
def utterance(files: SubmissionFiles, golden: Mapping[str, np.ndarray]) -> Any:
    def make(text: str, sampling: SamplingParams = GREEDY, speed: float = 1.0, index: int = 0) -> Utterance:
        return Utterance(
            request_id=text,
            index=index,
            submission_id=files.submission.id,
            voice_id=files.submission.voice.id,
            prompt=Prompt(tuple(golden[f"{text}_text_ids"].tolist()), text, "en"),
            sampling=sampling,
            speed=speed,
        )

    return make


def speak(engine: Engine, slot: int, chunk_tokens: int) -> np.ndarray:
    """Decode one slot to its end, vocoding every `chunk_tokens` tokens."""
    parts, vocoded = [], 0
    while True:
        progress = engine.decode([slot], chunk_tokens)[slot]
        is_last = progress.finished is not None
        parts.append(engine.vocode({slot: Span(vocoded, progress.num_tokens, is_last)})[slot])
        vocoded = progress.num_tokens
        if is_last:
            return np.concatenate(parts)


@pytest.mark.parametrize("text", TEXTS)
def test_waves_equal_the_published_ones(
    text: str, engine: Engine, golden_conditioning: Any, utterance: Any, golden: Any, check_golden: Any
) -> None:
    engine.prefill({0: Admission(utterance(text), golden_conditioning)})
    check_golden(f"{text}_wav", speak(engine, 0, chunk_tokens=20), golden[f"{text}_wav"], atol=1e-4)


@pytest.mark.parametrize("speed", [0.8, 1.3])
def test_speed_equals_the_published_one(
    speed: float, engine: Engine, golden_conditioning: Any, utterance: Any, golden: Any, check_golden: Any
) -> None:
    engine.prefill({0: Admission(utterance("t1", speed=speed), golden_conditioning)})
    name = f"t1_speed{speed}_wav"
    check_golden(f"{name} (engine)", speak(engine, 0, chunk_tokens=12), golden[name], atol=1e-4)


@pytest.fixture(scope="module")
def whole(engine: Engine, golden_conditioning: Any, utterance: Any) -> Mapping[float, np.ndarray]:
    """Speed → "t0" vocoded at once."""
    waves = {}
    for speed in SPEEDS:
        engine.prefill({0: Admission(utterance("t0", speed=speed), golden_conditioning)})
        waves[speed] = speak(engine, 0, chunk_tokens=602)
        engine.release([0])
    return waves


@pytest.mark.parametrize("chunk_tokens", [pytest.param(n, id=f"{n}-tokens") for n in (1, 7, 20, 64)])
@pytest.mark.parametrize("speed", SPEEDS)
def test_streamed_equals_whole(
    chunk_tokens: int, speed: float, engine: Engine, golden_conditioning: Any, utterance: Any, whole: Any
) -> None:
    engine.prefill({0: Admission(utterance("t0", speed=speed), golden_conditioning)})
    streamed = speak(engine, 0, chunk_tokens)
    # Float32 convolutions over windows of other lengths add up in another order.
    np.testing.assert_allclose(streamed, whole[speed], rtol=0, atol=1e-5)


def test_a_batch_equals_each_alone(engine: Engine, golden_conditioning: Any, utterance: Any) -> None:
    alone = {}
    for slot, text in enumerate(TEXTS):
        engine.prefill({slot: Admission(utterance(text), golden_conditioning)})
        alone[slot] = speak(engine, slot, chunk_tokens=602)
        engine.release([slot])
    engine.prefill({slot: Admission(utterance(text), golden_conditioning) for slot, text in enumerate(TEXTS)})
    progress = engine.decode(list(alone), 602)
    waves = engine.vocode({slot: Span(0, progress[slot].num_tokens, True) for slot in alone})
    for slot, wave in alone.items():
        np.testing.assert_allclose(waves[slot], wave, rtol=0, atol=1e-4)


def test_conditioning_survives_export_and_import(engine: Engine, files: SubmissionFiles, voice: Any) -> None:
    fresh = engine.condition(files.submission.id, voice)
    arrays = engine.export_conditioning(fresh)
    again = engine.export_conditioning(engine.import_conditioning(arrays))
    assert arrays.keys() == again.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


def test_cached_conditioning_speaks_as_fresh(
    engine: Engine, files: SubmissionFiles, voice: Any, utterance: Any
) -> None:
    fresh = engine.condition(files.submission.id, voice)
    cached = engine.import_conditioning(engine.export_conditioning(fresh))
    engine.prefill({0: Admission(utterance("t0"), fresh), 1: Admission(utterance("t0"), cached)})
    engine.prefill({2: Admission(utterance("t0"), fresh)})  # its prefix is cached by now
    waves = [speak(engine, slot, chunk_tokens=602) for slot in (0, 1, 2)]
    for wave in waves[1:]:
        np.testing.assert_allclose(wave, waves[0], rtol=0, atol=1e-5)


def test_another_submission_on_the_same_engine_leaves_the_first_alone(
    engine: Engine, files: SubmissionFiles, golden_conditioning: Any, utterance: Any
) -> None:
    engine.prefill({0: Admission(utterance("t1"), golden_conditioning)})
    alone = speak(engine, 0, chunk_tokens=602)
    engine.release([0])

    provider = registry.provider("xtts")
    settings = EngineSettings(device="cpu", dtype="float32", num_slots=6)
    weights = provider.read_weights(files, settings)
    engine.load(replace(weights, submission_id="sha256:other"))
    other = replace(utterance("t2"), submission_id="sha256:other")
    engine.prefill(
        {0: Admission(utterance("t1"), golden_conditioning), 1: Admission(other, golden_conditioning)}
    )
    progress = engine.decode([0, 1], 602)
    waves = engine.vocode({slot: Span(0, progress[slot].num_tokens, True) for slot in (0, 1)})
    engine.release([1])
    engine.evict("sha256:other")
    np.testing.assert_allclose(waves[0], alone, rtol=0, atol=1e-4)


def test_bfloat16_stays_close(files: SubmissionFiles, golden: Any, utterance: Any) -> None:
    """Tokens may part ways where two are nearly as likely; until then the speech is the same."""
    engine = make_engine(files, dtype="bfloat16", slots=1)
    conditioning = imported(engine, golden, "gpt_cond_latent", "speaker_embedding")
    engine.prefill({0: Admission(utterance("t0"), conditioning)})
    wave, expected = speak(engine, 0, chunk_tokens=602), golden["t0_wav"]
    length = min(len(wave), len(expected), 10 * 1024)
    noise = wave[:length] - expected[:length]
    snr_db = 10 * np.log10(np.square(expected[:length]).sum() / np.square(noise).sum())
    assert snr_db > 20


@pytest.mark.gpu
@pytest.mark.parametrize("text", TEXTS)
def test_cuda_equals_the_published_waves(
    text: str, files: SubmissionFiles, golden: Any, utterance: Any, check_golden: Any
) -> None:
    engine = make_engine(files, device="cuda:0")
    conditioning = imported(engine, golden, "gpt_cond_latent", "speaker_embedding")
    engine.prefill({0: Admission(utterance(text), conditioning)})
    # Another device adds up in another order; the tokens are still exact.
    check_golden(f"{text}_wav (cuda)", speak(engine, 0, 20), golden[f"{text}_wav"], atol=1e-3)
