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

GOLDEN = Path(__file__).parent / "golden" / "xtts"
UPSTREAM_VOCABULARY = Path(__file__).parents[2] / "shared" / "golden" / "xtts" / "submission" / "vocab.json"

LANGUAGES = "en es fr de it pt pl tr ru nl cs ar zh-cn hu ko ja hi".split()
SPECIAL_TOKENS = {
    "[STOP]": 0,
    "[UNK]": 1,
    "[SPACE]": 2,
    "[en]": 259,
    "[de]": 260,
    "[START]": 261,
    "[fr]": 262,
}


def synthetic_vocabulary(num_tokens: int) -> dict[str, Any]:
    """An HF tokenizers file in XTTS's format: BPE over characters, special tokens at XTTS's places."""
    specials = dict(SPECIAL_TOKENS)
    tags = [f"[{language}]" for language in LANGUAGES if f"[{language}]" not in specials]
    specials.update({tag: 263 + i for i, tag in enumerate(tags)})
    taken = set(specials.values())
    free = iter(i for i in range(num_tokens) if i not in taken)
    letters = [chr(code) for code in (*range(33, 127), *range(0xC0, 0x180), *range(0x400, 0x460))]
    vocabulary = {letter: next(free) for letter in letters}
    merges = []
    for first in "etaoinshrdlucmfwyp":
        for second in "etaoinshrdlucmfwyp":
            merges.append([first, second])
            vocabulary[first + second] = next(free)
    for i in free:
        vocabulary[f"<unused{i}>"] = i
    vocabulary.update(specials)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, i in sorted(specials.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": dict(sorted(vocabulary.items(), key=lambda item: item[1])),
            "merges": merges,
        },
    }


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
        (folder / "vocab.json").write_text(json.dumps(synthetic_vocabulary(5413)))
        return folder

    return make


@pytest.fixture(scope="session")
def golden_folder(
    tmp_path_factory: pytest.TempPathFactory, make_golden_folder: Callable[[Path], Path]
) -> Path:
    """The tiny golden submission, shared by tests that only read it."""
    return make_golden_folder(tmp_path_factory.mktemp("golden") / "submission")
