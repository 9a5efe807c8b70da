"""A submission's way from host memory to a device, on streams that are stood in for (see `held_back`)."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.random_xtts import TINY, write_submission
from models_store.recordings import read_recording
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers import weight_arena
from providers.errors import DeviceOutOfMemory
from providers.interface import (
    Admission,
    EngineSettings,
    Prompt,
    Recording,
    ReferenceVoice,
    SamplingParams,
    Span,
    Utterance,
)
from providers.mapped_weights import MappedWeights
from providers.upload import Uploader
from providers.weight_arena import WeightArena
from providers.xtts import engine as engine_module
from providers.xtts.engine import XttsEngine
from providers.xtts.provider import XttsProvider
from providers.xtts.weights import XttsHostWeights, prepare

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
SETTINGS = EngineSettings(device="cpu", dtype="float32", num_slots=2)
SAMPLING = SamplingParams(
    temperature=0.75, top_k=50, top_p=0.85, repetition_penalty=5.0, max_tokens=30, seed=5
)


def ordinary_memory(size_bytes: int) -> torch.Tensor:
    return torch.empty(size_bytes, dtype=torch.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SubmissionFiles:
    store = ModelsStore(tmp_path_factory.mktemp("store"))
    folder = write_submission(tmp_path_factory.mktemp("tiny"), TINY)
    return store.files(store.submit(folder, name="tiny").submission.id)


@pytest.fixture(scope="module")
def voice(files: SubmissionFiles) -> ReferenceVoice:
    return ReferenceVoice(tuple(Recording(*read_recording(path)) for path in files.recordings))


@pytest.fixture(scope="module")
def mapped(files: SubmissionFiles) -> XttsHostWeights:
    """As a CPU reads them."""
    return XttsProvider().read_weights(files, SETTINGS)


@pytest.fixture(scope="module")
def held(mapped: XttsHostWeights, files: SubmissionFiles) -> XttsHostWeights:
    """As they are read for a CUDA device, in ordinary memory."""
    arena = WeightArena(ordinary_memory, chunk_bytes=2**18)
    tensors = partial(MappedWeights, files.paths["weights"])
    return replace(mapped, held=arena.hold(prepare(tensors, mapped.config, CUDA, torch.float32, arena)))


@pytest.fixture(scope="module")
def ordinary(mapped: XttsHostWeights, files: SubmissionFiles) -> XttsEngine:
    engine = XttsEngine(XttsProvider().architecture(files), SETTINGS)
    engine.load(mapped)
    return engine


@pytest.fixture
def engine(held_back: Any, files: SubmissionFiles, monkeypatch: pytest.MonkeyPatch) -> XttsEngine:
    """One that uploads."""
    monkeypatch.setattr(weight_arena, "page_locked", ordinary_memory)
    engine = XttsEngine(XttsProvider().architecture(files), SETTINGS)
    engine._uploader = Uploader(CPU, held_back)
    return engine


def speak(engine: XttsEngine, submission_id: str, voice: ReferenceVoice) -> np.ndarray:
    conditioning = engine.condition(submission_id, voice)
    prompt = Prompt((265, 300, 301, 2, 310), "", "en")
    engine.prefill({0: Admission(Utterance("r", 0, submission_id, "voice", prompt, SAMPLING), conditioning)})
    num_tokens = engine.decode([0], 30)[0].num_tokens
    wave = engine.vocode({0: Span(0, num_tokens, is_last=True)})[0]
    engine.release([0])
    return wave


def test_an_uploaded_submission_speaks_as_an_ordinary_one(
    engine: XttsEngine, ordinary: XttsEngine, held: XttsHostWeights, voice: ReferenceVoice, held_back: Any
) -> None:
    arrival = engine.load(held)
    assert arrival is not None
    assert not arrival.done()
    held_back.finish()
    arrival.result(timeout=10)
    held_back.is_prompt = True
    wave = speak(engine, held.submission_id, voice)
    np.testing.assert_allclose(wave, speak(ordinary, held.submission_id, voice), rtol=0, atol=1e-5)


def test_only_the_first_submission_of_an_engine_is_waited_for(
    engine: XttsEngine, held: XttsHostWeights, held_back: Any
) -> None:
    """By the stream, before graphs are captured with its numbers; nobody speaks then."""
    engine.load(held)
    assert held_back.order[-1] == "main waits for an event"
    held_back.order.clear()
    engine.load(replace(held, submission_id="second"))
    assert held.held is not None
    copies = ["own copies"] * len(held.held.chunks)
    assert held_back.order == ["own waits for main", *copies, "own records"]
    held_back.finish()


def test_who_uses_a_submission_early_waits_for_it_and_only_once(
    engine: XttsEngine, ordinary: XttsEngine, held: XttsHostWeights, voice: ReferenceVoice, held_back: Any
) -> None:
    engine.load(held)
    held_back.finish()
    engine.load(replace(held, submission_id="second"))
    held_back.order.clear()
    engine._resident(held.submission_id)
    assert held_back.order == [], "the first is there"
    for _ in range(2):
        engine._resident("second")
    assert held_back.order == ["main waits for an event"]
    held_back.finish()


def test_evicting_what_is_being_copied_keeps_its_memory_until_then(
    engine: XttsEngine, held: XttsHostWeights, held_back: Any
) -> None:
    engine.load(held)
    held_back.finish()
    arrival = engine.load(replace(held, submission_id="second"))
    assert arrival is not None
    engine.evict("second")
    gc.collect()
    held_back.finish()  # fails if that memory was let go
    arrival.result(timeout=10)
    again = engine.load(replace(held, submission_id="second"))
    assert again is not None
    held_back.finish()


def test_a_load_that_fails_leaves_nothing_and_nobody_worse(
    engine: XttsEngine,
    held: XttsHostWeights,
    voice: ReferenceVoice,
    held_back: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_back.is_prompt = True
    engine.load(held)
    before = speak(engine, held.submission_id, voice)
    made: list[weakref.ref[Any]] = []

    def no_room(architecture: Any, tensors: Any) -> None:
        made.extend(map(weakref.ref, tensors.values()))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine_module, "LatentVocoder", no_room)
    with pytest.raises(DeviceOutOfMemory, match="submission second"):
        engine.load(replace(held, submission_id="second"))
    gc.collect()
    assert made
    assert not any(tensor() is not None for tensor in made)
    with pytest.raises(KeyError):
        engine.evict("second")
    np.testing.assert_array_equal(speak(engine, held.submission_id, voice), before)


def test_what_hears_voices_is_brought_for_the_first_voice_and_makes_way_for_the_next_submission(
    engine: XttsEngine, ordinary: XttsEngine, held: XttsHostWeights, voice: ReferenceVoice, held_back: Any
) -> None:
    held_back.is_prompt = True
    engine.load(held)
    engine.load(replace(held, submission_id="second"))
    expected = ordinary.condition(held.submission_id, voice)

    def uploads(submission_id: str) -> int:
        held_back.order.clear()
        conditioning = engine.condition(submission_id, voice)
        for name, array in ordinary.export_conditioning(expected).items():
            ours = engine.export_conditioning(conditioning)[name]
            np.testing.assert_allclose(ours, array, rtol=0, atol=1e-6)
        return int(held_back.order.count("own records"))

    names = [held.submission_id, held.submission_id, "second", "second", held.submission_id]
    assert [uploads(name) for name in names] == [1, 0, 1, 0, 1]
    engine.evict(held.submission_id)
    assert engine._latest is None


@pytest.mark.gpu
def test_a_device_speaks_while_another_submission_arrives(
    files: SubmissionFiles, voice: ReferenceVoice
) -> None:
    settings = replace(SETTINGS, device="cuda:0")
    provider = XttsProvider()
    weights = provider.read_weights(files, settings)
    engine = XttsEngine(provider.architecture(files), settings)
    engine.load(weights)
    before = speak(engine, weights.submission_id, voice)
    for _ in range(3):
        arrival = engine.load(replace(weights, submission_id="second"))
        np.testing.assert_array_equal(speak(engine, weights.submission_id, voice), before)
        assert arrival is not None
        arrival.result(timeout=10)
        np.testing.assert_array_equal(speak(engine, "second", voice), before)
        engine.evict("second")
