"""Fixtures shared by every package's tests.

`golden` holds what the published XTTS implementation computed for the tiny submission in `golden/xtts/`; its
vocab.json is an upstream file that the project doesn't ship, so `golden_folder` brings one of the same size.

`gpt_sovits_golden` and its companions hold the same of GPT-SoVITS, in `golden/gpt_sovits/`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.random_xtts import vocabulary
from models_store.intake import read_submission
from models_store.report import Converted

GOLDEN = Path(__file__).parent / "golden" / "xtts"
GPT_SOVITS_GOLDEN = Path(__file__).parent / "golden" / "gpt_sovits"
UPSTREAM_VOCABULARY = Path(__file__).parents[2] / "shared" / "golden" / "xtts" / "submission" / "vocab.json"


# Servers that tests start begin with an empty store, unless a test is about the project's own voices.
os.environ.setdefault("VOICECORE_DEMO", "false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left with one while the others have ended.

    Tests for a GPU skip, and say why, without one.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of golden values. Here, because the process that gathers what workers ran loads only this."""
    rows = [
        tuple(row)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for key, row in report.user_properties
        if key == "golden"
    ]
    if not rows:
        return
    terminalreporter.section("golden values: max error against the published implementation")
    width = max(len(name) for name, _, _ in rows)
    terminalreporter.write_line(f"{'array':<{width}}  max error  tolerance")
    for name, max_error, atol in sorted(set(rows)):
        verdict = "" if max_error <= atol else "  FAILED"
        tolerance = "exact" if atol == 0 else f"{atol:.0e}"
        terminalreporter.write_line(f"{name:<{width}}  {max_error:9.2e}  {tolerance:>9}{verdict}")


@pytest.fixture(scope="session")
def golden() -> Mapping[str, np.ndarray]:
    with np.load(GOLDEN / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_text_ids() -> dict[str, Any]:
    return json.loads((GOLDEN / "text_ids.json").read_text())


@pytest.fixture(scope="session")
def upstream_vocabulary() -> Path:
    """The vocab.json that the golden text ids were made with, where the machine has it."""
    if not UPSTREAM_VOCABULARY.is_file():
        pytest.skip("the upstream vocab.json is not shipped with the project")
    return UPSTREAM_VOCABULARY


@pytest.fixture(scope="session")
def make_golden_folder() -> Callable[[Path], Path]:
    """Lays out the tiny golden submission in a folder: official layout, vocab.json synthetic."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.pth", "config.json", "audio.wav"):
            shutil.copyfile(GOLDEN / name, folder / name)
        (folder / "vocab.json").write_text(json.dumps(vocabulary(5413)))
        return folder

    return make


@pytest.fixture(scope="session")
def golden_folder(
    tmp_path_factory: pytest.TempPathFactory, make_golden_folder: Callable[[Path], Path]
) -> Path:
    """The tiny golden submission, shared by tests that only read it."""
    return make_golden_folder(tmp_path_factory.mktemp("golden") / "submission")


@pytest.fixture(scope="session")
def gpt_sovits_golden() -> Iterator[Mapping[str, np.ndarray]]:
    """Every stage's output as the published GPT-SoVITS computes it, by array name; read when asked for."""
    with np.load(GPT_SOVITS_GOLDEN / "expected.npz") as arrays:
        yield arrays


@pytest.fixture(scope="session")
def gpt_sovits_golden_meta() -> dict[str, Any]:
    """What the arrays were made from: texts, phone ids, requests, margins, streaming chunks."""
    return json.loads((GPT_SOVITS_GOLDEN / "expected_meta.json").read_text())


@pytest.fixture(scope="session")
def gpt_sovits_golden_folder() -> Path:
    """The golden files themselves: frontend.json, symbols.json, sv_sparse.npz and the two recordings."""
    return GPT_SOVITS_GOLDEN


@pytest.fixture(scope="session")
def gpt_sovits_models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Tiny submissions `v1/`, `v2/`, `v2Pro/` in the official layout and the base encoders beside them:
    `chinese-hubert-base/`, `chinese-roberta-wwm-ext-large/`. For tests that only read.

    128 MB, so workers share what the first of them unpacks.
    """
    base = tmp_path_factory.getbasetemp()
    root = base if worker_id == "master" else base.parent
    models = root / "gpt_sovits_models"
    with (root / "gpt_sovits_models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not models.is_dir():
            unpacked = root / "gpt_sovits_models.unpacking"
            shutil.rmtree(unpacked, ignore_errors=True)
            with tarfile.open(GPT_SOVITS_GOLDEN / "models.tar.xz") as archive:
                archive.extractall(unpacked, filter="data")
            unpacked.rename(models)
    return models


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `StandInHub` (see stand_in_hub.py): `publish` files, set its `misbehaviour`, look at `seen`."""
    name = "stand_in_hub"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with sys.modules[name].Serving() as serving:
        yield serving


@pytest.fixture(scope="session")
def convert_gpt_sovits(
    gpt_sovits_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Converted]:
    """Variant → its tiny submission as the intake converts it, each once."""

    @cache
    def convert(variant: str) -> Converted:
        scratch = tmp_path_factory.mktemp(variant)
        return read_submission(gpt_sovits_models / variant, scratch).accepted()

    return convert


@pytest.fixture(scope="session")
def labelled_recordings() -> ModuleType:
    """The module labelled_recordings.py: recordings with known faults."""
    name = "labelled_recordings"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def sentences_of(labelled_recordings: ModuleType) -> Callable[[str], list[np.ndarray]]:
    """Voice of a synthesiser (slt, rms, awb, en-us …) → three sentences [n] at 24 kHz; each voice once."""
    return cache(lambda voice: list(labelled_recordings.sentences(voice)))


@pytest.fixture(scope="session")
def speak(
    labelled_recordings: ModuleType, sentences_of: Callable[[str], list[np.ndarray]]
) -> Callable[[str], np.ndarray]:
    """Voice → these sentences [n] with pauses, at 24 kHz, peak 0.5."""
    return cache(lambda voice: labelled_recordings.joined(sentences_of(voice)))


@pytest.fixture(scope="session")
def to_wav(labelled_recordings: ModuleType) -> Callable[..., bytes]:
    """Samples at 24 kHz, or a rate; libsndfile's subtype and format → a file."""
    return labelled_recordings.wav
