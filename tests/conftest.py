"""Fixtures shared by every package's tests.

`golden` holds what the published XTTS implementation computed for the tiny submission in `golden/xtts/`; its
vocab.json is an upstream file that the project doesn't ship, so `golden_folder` brings one of the same size.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.random_xtts import vocabulary

GOLDEN = Path(__file__).parent / "golden" / "xtts"
UPSTREAM_VOCABULARY = Path(__file__).parents[2] / "shared" / "golden" / "xtts" / "submission" / "vocab.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests skip, and say why, without what their marker needs."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


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
