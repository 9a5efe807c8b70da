"""A tiny XTTS-v2 submission of random weights, made anew for tests that bend or break it."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from models_store.checkpoints.architecture import (
    HifiganArchitecture,
    SpeakerEncoderArchitecture,
    XttsArchitecture,
)
from models_store.checkpoints.xtts_tensors import expected_shapes
from models_store.recordings import wav_bytes

TEXT_TOKENS = 5413  # of the golden folder's vocabulary
DILATIONS = ((1, 3, 5),) * 3

ARCHITECTURE = XttsArchitecture(
    layers=2,
    channels=32,
    heads=2,
    text_positions=404,
    audio_tokens=1026,
    audio_positions=608,
    start_audio_token=1024,
    stop_audio_token=1025,
    conditioning_mel_bins=80,
    conditioning_blocks=6,
    conditioning_heads=2,
    perceiver_depth=2,
    perceiver_latents=32,
    perceiver_heads=8,
    perceiver_head_channels=64,
    input_sample_rate_hz=22_050,
    output_sample_rate_hz=24_000,
    code_stride=1024,
    output_hop=256,
    vocoder=HifiganArchitecture(
        in_channels=32,
        initial_channels=32,
        upsample_strides=(8, 8, 2, 2),
        upsample_kernels=(16, 16, 4, 4),
        resblock_kernels=(3, 7, 11),
        resblock_dilations=DILATIONS,
        speaker_channels=16,
    ),
    speaker_encoder=SpeakerEncoderArchitecture(
        mel_bins=16, blocks=(3, 4, 6, 3), channels=(8, 16, 16, 16), embedding_channels=16
    ),
)

State = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def tiny_architecture() -> XttsArchitecture:
    return ARCHITECTURE


def is_weight_normed(name: str) -> bool:
    return name.endswith(".weight") and (".ups." in name or ".resblocks." in name)


@pytest.fixture(scope="session")
def _tiny_state() -> State:
    generator = torch.Generator().manual_seed(7)
    state: State = {}
    for name, shape in expected_shapes(ARCHITECTURE, TEXT_TOKENS).items():
        values = torch.randn(shape, generator=generator)
        if is_weight_normed(name):
            parts = name.removesuffix("weight") + "parametrizations.weight.original"
            state[f"{parts}0"] = torch.rand((shape[0], *(1 for _ in shape[1:])), generator=generator) + 0.5
            state[f"{parts}1"] = values
        else:
            state[name] = values
        if name.endswith(".running_var"):
            state[name] = values.abs() + 0.1
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(12)
    state["gpt.text_head.weight"] = torch.randn(TEXT_TOKENS, ARCHITECTURE.channels, generator=generator)
    state["gpt.text_head.bias"] = torch.randn(TEXT_TOKENS, generator=generator)
    return state


@pytest.fixture
def tiny_state(_tiny_state: State) -> State:
    """The state dict in the spelling of the release; a copy whose tensors must not be changed in place."""
    return dict(_tiny_state)


@pytest.fixture
def tiny_config(golden_folder: Path) -> dict[str, Any]:
    config = json.loads((golden_folder / "config.json").read_text())
    config["model_args"].update(
        gpt_layers=ARCHITECTURE.layers,
        gpt_n_model_channels=ARCHITECTURE.channels,
        gpt_n_heads=ARCHITECTURE.heads,
        decoder_input_dim=ARCHITECTURE.channels,
        d_vector_dim=ARCHITECTURE.speaker_encoder.embedding_channels,
    )
    return config


def speech_like(seconds: float, sample_rate_hz: int = 22_050) -> np.ndarray:
    times = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    return (0.3 * np.sin(2 * np.pi * 150 * times) * np.sin(2 * np.pi * 3 * times)).astype(np.float32)


FolderMaker = Callable[..., Path]


@pytest.fixture
def make_folder(
    tmp_path: Path, tiny_state: State, tiny_config: dict[str, Any], golden_folder: Path
) -> FolderMaker:
    """Writes a submission folder; every file can be replaced by bytes, or left out with None."""

    def make(
        *,
        name: str = "submission",
        state: Mapping[str, Any] | None = None,
        checkpoint: Any = ...,
        model: Any = ...,
        config: Any = ...,
        vocabulary: Any = ...,
        audio: Any = ...,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        saved = {"model": state if state is not None else tiny_state} if checkpoint is ... else checkpoint
        files = {
            "model.pth": _saved(saved) if model is ... else model,
            "config.json": tiny_config if config is ... else config,
            "vocab.json": (golden_folder / "vocab.json").read_bytes() if vocabulary is ... else vocabulary,
            "audio.wav": wav_bytes(speech_like(2.0), 22_050) if audio is ... else audio,
        }
        for file, content in files.items():
            if isinstance(content, Mapping):
                content = json.dumps(content).encode()
            if content is not None:
                (folder / file).write_bytes(content)
        return folder

    return make


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


# Checkpoints that torch.save would not write


class FakeStorage:
    def __init__(self, key: str, type_name: str, count: int) -> None:
        self.identity = (key, type_name, count)


class FakeTensor:
    """Pickles as a tensor with whatever numbers it is given."""

    def __init__(self, storage: FakeStorage, offset: Any, shape: Any, stride: Any) -> None:
        self.arguments = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, FakeStorage):
            return None
        key, type_name, count = value.identity
        return "storage", getattr(torch, type_name), key, "cpu", count


Storages = Mapping[str, bytes | int]  # content, or the size of a hole


def write_zip_form(
    path: Path, data_pkl: bytes, storages: Storages, extra: Iterable[tuple[str, bytes]]
) -> None:
    """A zip archive as torch.save writes it, but with holes for storages that are only sizes."""
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        members: list[tuple[str, bytes | int]] = [
            ("archive/data.pkl", data_pkl),
            ("archive/byteorder", b"little"),
        ]
        members += [(f"archive/data/{key}", content) for key, content in storages.items()]
        for name, content in [*members, *extra]:
            if isinstance(content, bytes):
                archive.writestr(name, content)
                continue
            info = zipfile.ZipInfo(name)
            info.CRC = 0
            info.header_offset = file.tell()
            info.file_size = info.compress_size = content
            file.write(info.FileHeader(zip64=content >= 1 << 32))
            file.seek(content, io.SEEK_CUR)
            archive.filelist.append(info)
            archive.NameToInfo[name] = info
            archive.start_dir = file.tell()
            archive._didModify = True


@pytest.fixture(scope="session")
def fake_tensor() -> Callable[..., FakeTensor]:
    """fake_tensor(key, shape, stride=None, offset=0, type_name="FloatStorage", count=None)"""

    def make(
        key: str,
        shape: Any,
        stride: Any = None,
        offset: Any = 0,
        type_name: str = "FloatStorage",
        count: int = 0,
    ) -> FakeTensor:
        if stride is None:
            stride, step = [], 1
            for size in reversed(shape):
                stride.insert(0, step)
                step *= size
        return FakeTensor(FakeStorage(key, type_name, count), offset, tuple(shape), tuple(stride))

    return make


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[..., Path]:
    """Pickles any value with fake tensors in it into the zip form, with the storages given."""

    def write(
        path: Path,
        value: Any,
        storages: Storages = MappingProxyType({}),
        extra: Iterable[tuple[str, bytes]] = (),
    ) -> Path:
        buffer = io.BytesIO()
        _Pickler(buffer, protocol=2).dump(value)
        write_zip_form(path, buffer.getvalue(), storages, extra)
        return path

    return write


@pytest.fixture(scope="session")
def write_pickle() -> Callable[..., Path]:
    """Puts these bytes where data.pkl is, in the zip form."""

    def write(path: Path, data_pkl: bytes, extra: Iterable[tuple[str, bytes]] = ()) -> Path:
        write_zip_form(path, data_pkl, {}, extra)
        return path

    return write
