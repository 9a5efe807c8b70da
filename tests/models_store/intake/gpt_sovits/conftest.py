"""A tiny GPT-SoVITS submission of random weights, made anew for tests that bend or break it."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.random_gpt_sovits import (
    gpt_config,
    gpt_state,
    pickled_config,
    sovits_config,
    sovits_state,
    tiny_architecture,
)
from benchmarks.random_xtts import stand_in_classes
from models_store.checkpoints.gpt_sovits import convert
from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from models_store.recordings import wav_bytes

State = dict[str, torch.Tensor]
TEXT = "The birch canoe slid on the smooth planks."


class HParams(dict[str, Any]):
    """A config that is to be pickled as the published class."""


HEADERS = {"v2Pro": b"05", "v2ProPlus": b"06"}


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], GptSovitsArchitecture]:
    """Variant → an architecture of less than a megabyte."""

    def make(variant: str) -> GptSovitsArchitecture:
        architecture = tiny_architecture(variant)
        return replace(
            architecture,
            text_to_semantic=replace(architecture.text_to_semantic, bert_channels=16),
            ssl_channels=16,
            codebook_tokens=8,
            speaker_vector_channels=architecture.speaker_vector_channels and 24,
        )

    return make


@pytest.fixture(scope="session")
def states(tiny: Callable[[str], GptSovitsArchitecture]) -> Callable[[str], tuple[State, State]]:
    """Variant → the state dicts of sovits.pth and gpt.ckpt, whose tensors must not be changed in place."""
    made: dict[str, tuple[State, State]] = {}

    def make(variant: str) -> tuple[State, State]:
        if variant not in made:
            architecture, generator = tiny(variant), torch.Generator().manual_seed(7)
            gpt = gpt_state(architecture.text_to_semantic, generator)
            made[variant] = sovits_state(architecture, generator), gpt
        sovits, gpt = made[variant]
        return dict(sovits), dict(gpt)

    return make


@pytest.fixture(scope="session")
def save() -> Callable[..., bytes]:
    """save(value, header=b"", **options of torch.save): a HParams in it is pickled as a utils.HParams."""

    def make(value: Any, header: bytes = b"", **options: Any) -> bytes:
        buffer = io.BytesIO()
        with stand_in_classes({"HParams": "utils"}) as classes:
            if isinstance(value, dict) and isinstance(value.get("config"), HParams):
                value = value | {"config": pickled_config(value["config"], classes["HParams"])}
            torch.save(value, buffer, **options)
        return header + buffer.getvalue()[len(header) :]

    return make


@pytest.fixture(scope="session")
def hparams() -> type[HParams]:
    return HParams


@pytest.fixture
def make_submission(
    tmp_path: Path,
    tiny: Callable[[str], GptSovitsArchitecture],
    states: Callable[[str], tuple[State, State]],
    save: Callable[..., bytes],
) -> Callable[..., Path]:
    """Writes a submission folder; every file can be replaced by bytes, or left out with None."""

    def make(
        variant: str = "v2",
        *,
        name: str = "submission",
        header: bytes | None = None,
        sovits_state: Mapping[str, Any] | None = None,
        gpt_state: Mapping[str, Any] | None = None,
        sovits_config_changes: Mapping[str, Any] | None = None,
        gpt_config_changes: Mapping[str, Any] | None = None,
        sovits: Any = ...,
        gpt: Any = ...,
        config: Any = ...,
        audio: Any = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        architecture = tiny(variant)
        saved_sovits, saved_gpt = states(variant)
        header = HEADERS.get(variant, b"") if header is None else header
        if sovits is ...:
            stated = HParams(changed(sovits_config(architecture), sovits_config_changes))
            weight = saved_sovits if sovits_state is None else sovits_state
            sovits = save({"weight": weight, "config": stated, "info": "8epoch_216iteration"}, header)
        if gpt is ...:
            stated = changed(gpt_config(architecture), gpt_config_changes)
            weight = saved_gpt if gpt_state is None else gpt_state
            gpt = save({"weight": weight, "config": stated, "info": "GPT-e15"})
        config = {"refFile": "reference.wav", "refText": TEXT} if config is ... else config
        files = {"sovits.pth": sovits, "gpt.ckpt": gpt, "config.json": config, "reference.wav": audio}
        for file, content in files.items():
            if isinstance(content, Mapping):
                content = json.dumps(content).encode()
            if content is not None:
                (folder / file).write_bytes(content)
        return folder

    return make


def changed(config: dict[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """`changes` by path, "model.head"; an ellipsis takes the key out."""
    for path, value in (changes or {}).items():
        *parents, key = path.split(".")
        scope = config
        for parent in parents:
            scope = scope[parent]
        if value is ...:
            del scope[key]
        else:
            scope[key] = value
    return config


@pytest.fixture
def judge(tmp_path: Path) -> Callable[[Path], dict[str, Any]]:
    """What the family's task says about a folder, in this process; the converted files are in `scratch`."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    names = {"sovits": "sovits.pth", "gpt": "gpt.ckpt", "config": "config.json"}

    def run(folder: Path) -> dict[str, Any]:
        with ExitStack() as opened:
            files = {
                key: opened.enter_context((folder / name).open("rb")).fileno()
                for key, name in names.items()
                if (folder / name).exists()
            }
            files |= {
                key: opened.enter_context((scratch / key).open("wb", buffering=0)).fileno()
                for key in ("sovits_weights", "gpt_weights", "config_out")
            }
            return convert(files, {"max_weights_bytes": 1 << 30}, lambda done, total: None)

    return run


@pytest.fixture(scope="session")
def speech() -> Callable[..., bytes]:
    """speech(seconds, sample_rate_hz=32_000): a wav that is neither silent nor clipped."""

    def make(seconds: float, sample_rate_hz: int = 32_000) -> bytes:
        times = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
        tone = 0.3 * np.sin(2 * np.pi * 150 * times) * np.sin(2 * np.pi * 3 * times)
        return wav_bytes(tone.astype(np.float32), sample_rate_hz)

    return make


@pytest.fixture(scope="session")
def run_command() -> Callable[[Path], bytes]:
    """A path → a pickled call that creates the file where it is unpickled."""

    class Call:
        def __init__(self, canary: Path) -> None:
            self.canary = canary

        def __reduce__(self) -> Any:
            import os

            return os.system, (f"touch {self.canary}",)

    return lambda canary: pickle.dumps(Call(canary), 2)
