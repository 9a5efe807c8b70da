"""Ours against the published implementation itself, on weights that no stored value knows.

Needs an interpreter that has coqui-tts: this one (extra `reference`), or VOICECORE_TEST_REFERENCE_PYTHON.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import upstream
from benchmarks.random_xtts import FULL, write_submission
from models_store.recordings import read_recording
from models_store.store import ModelsStore
from providers import registry
from providers.interface import (
    Admission,
    EngineSettings,
    Recording,
    ReferenceVoice,
    SamplingParams,
    Span,
    Utterance,
)

pytestmark = [pytest.mark.reference, pytest.mark.slow]

TEXT = "The published implementation says this too."
NUM_TOKENS = 40
# The published vocoder and speaker encoder have one size; the GPT has any.
SIZE = replace(FULL, layers=3, channels=128, heads=4, text_tokens=1000, stop_bias=0.0)


@pytest.fixture(scope="module")
def python() -> str:
    if configured := os.environ.get("VOICECORE_TEST_REFERENCE_PYTHON"):
        return configured
    if importlib.util.find_spec("TTS") is None:
        pytest.skip("needs coqui-tts: the extra `reference`, or VOICECORE_TEST_REFERENCE_PYTHON")
    return sys.executable


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_greedy_speech_equals_the_published_one(
    seed: int, python: str, tmp_path: Path, check_golden: Any
) -> None:
    folder = write_submission(tmp_path / "submission", SIZE, seed)
    script = Path(upstream.__file__).with_name("xtts.py")
    arguments = [folder, "--text", TEXT, "--tokens", NUM_TOKENS, "--greedy", tmp_path / "expected.npz"]
    subprocess.run([python, script, *map(str, arguments)], check=True, capture_output=True)
    with np.load(tmp_path / "expected.npz") as expected:
        spoken = speak(folder, tmp_path)
        assert spoken["text_ids"] == expected["text_ids"].tolist()
        for name, atol in (("gpt_cond_latent", 1e-3), ("speaker_embedding", 1e-5), ("wav", 1e-4)):
            check_golden(f"random weights, seed {seed}: {name}", spoken[name], expected[name], atol)


def speak(folder: Path, tmp_path: Path) -> dict[str, Any]:
    store = ModelsStore(tmp_path / "store")
    files = store.files(store.submit(folder, name="random").submission.id)
    settings = EngineSettings(device="cpu", dtype="float32", num_slots=1)
    provider = registry.provider("xtts")
    engine = provider.create_engine(provider.architecture(files), settings)
    engine.load(provider.read_weights(files, settings))
    voice = ReferenceVoice(tuple(Recording(*read_recording(path)) for path in files.recordings))
    conditioning = engine.condition(files.submission.id, voice)
    (prompt,) = registry.text_front_end(files).prompts(TEXT, "en")
    greedy = SamplingParams(
        temperature=0, top_k=0, top_p=1.0, repetition_penalty=5.0, max_tokens=NUM_TOKENS, seed=0
    )
    spoken = Utterance("request", 0, files.submission.id, files.submission.voice.id, prompt, greedy)
    engine.prefill({0: Admission(spoken, conditioning)})
    progress = engine.decode([0], NUM_TOKENS)[0]
    wave = engine.vocode({0: Span(0, progress.num_tokens, is_last=True)})[0]
    return {**engine.export_conditioning(conditioning), "text_ids": list(prompt.ids), "wav": wave}
