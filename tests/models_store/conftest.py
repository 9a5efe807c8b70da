"""A store, ways to fill it without an intake, and recordings."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from models_store.recordings import wav_bytes
from models_store.store import ModelsStore

SUBMITTING = Path(__file__).with_name("submitting.py")


@pytest.fixture
def store(tmp_path: Path) -> ModelsStore:
    return ModelsStore(tmp_path / "store")


@pytest.fixture(scope="session")
def submitting() -> ModuleType:
    """The module submitting.py: `publish(store, name, content)`."""
    spec = importlib.util.spec_from_file_location("submitting", SUBMITTING)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start_submitting(store: ModelsStore) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts submitting.py on the store; whatever still runs is killed after the test."""
    with ExitStack() as started:

        def start(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, str(SUBMITTING), str(store.root), *arguments]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Two seconds at 24 kHz that are neither silent nor clipped."""
    time_s = np.arange(48_000) / 24_000
    return (0.3 * np.sin(2 * np.pi * 220 * time_s) * np.hanning(48_000)).astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path, speech: np.ndarray) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(wav_bytes(speech, 24_000))
    return path
