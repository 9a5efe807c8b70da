"""The golden submission as the store keeps it, small vocoders, and `check_golden`.

`check_golden` compares an array with what the published implementation computed, and keeps the error for the
table at the end of the run (see tests/conftest.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any
from weakref import ref

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models_store.checkpoints.architecture import HifiganArchitecture, XttsConfig
from models_store.intake import read_submission
from models_store.report import Converted
from providers.interface import Engine, Span
from tests.simulated_cuda import SimulatedDevice, simulated

if not torch.cuda.is_available():  # Triton reads this when kernels are defined
    os.environ.setdefault("TRITON_INTERPRET", "1")

CheckGolden = Callable[[str, Any, Any, float], None]


@pytest.fixture(scope="session")
def golden_converted(golden_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """What the intake makes of the golden folder."""
    return read_submission(golden_folder, tmp_path_factory.mktemp("converted")).accepted()


@pytest.fixture(scope="session")
def speak_ahead() -> Callable[[Engine, int, int], np.ndarray]:
    """A slot's samples, of which every chunk is vocoded while the next one is decoded."""

    def speak(engine: Engine, slot: int, chunk_tokens: int) -> np.ndarray:
        parts, vocoded = [], 0
        progress = engine.decode([slot], chunk_tokens)[slot]
        while progress.finished is None:
            decoding = engine.begin_decode([slot], chunk_tokens)
            parts.append(engine.vocode({slot: Span(vocoded, progress.num_tokens, False)})[slot])
            vocoded, progress = progress.num_tokens, decoding.progress()[slot]
        parts.append(engine.vocode({slot: Span(vocoded, progress.num_tokens, True)})[slot])
        engine.release([slot])
        return np.concatenate(parts)

    return speak


@pytest.fixture(scope="session")
def golden_config(golden_converted: Converted) -> XttsConfig:
    return msgspec.json.decode(golden_converted.files["config"].read_bytes(), type=XttsConfig)


@pytest.fixture(scope="session")
def golden_weights(golden_converted: Converted) -> Mapping[str, Tensor]:
    """Published names → float32, weight norm folded."""
    return load_file(golden_converted.files["weights"])


@pytest.fixture(scope="session")
def small_hifigan() -> HifiganArchitecture:
    """XTTS's generator with an eighth of its channels."""
    return HifiganArchitecture(
        in_channels=8,
        initial_channels=64,
        upsample_strides=(8, 8, 2, 2),
        upsample_kernels=(16, 16, 4, 4),
        resblock_kernels=(3, 7, 11),
        resblock_dilations=((1, 3, 5),) * 3,
        speaker_channels=4,
    )


@pytest.fixture(scope="session")
def random_hifigan() -> Callable[..., dict[str, Tensor]]:
    return _random_hifigan


def _hifigan_shapes(
    architecture: HifiganArchitecture, per_stage_speaker: bool, post_bias: bool
) -> dict[str, tuple[int, ...]]:
    initial, speaker = architecture.initial_channels, architecture.speaker_channels
    shapes: dict[str, tuple[int, ...]] = {
        "conv_pre": (initial, architecture.in_channels, 7),
        "cond_layer": (initial, speaker, 1),
    }
    for i, kernel in enumerate(architecture.upsample_kernels):
        channels = initial >> (i + 1)
        shapes[f"ups.{i}"] = (2 * channels, channels, kernel)
        if per_stage_speaker:
            shapes[f"conds.{i}"] = (channels, speaker, 1)
        first = i * len(architecture.resblock_kernels)
        for j, size in enumerate(architecture.resblock_kernels, start=first):
            for k in range(len(architecture.resblock_dilations[j - first])):
                shapes[f"resblocks.{j}.convs1.{k}"] = (channels, channels, size)
                shapes[f"resblocks.{j}.convs2.{k}"] = (channels, channels, size)
    named = {f"{name}.weight": shape for name, shape in shapes.items()}
    for name, shape in shapes.items():
        named[f"{name}.bias"] = (shape[1] if name.startswith("ups.") else shape[0],)
    named["conv_post.weight"] = (1, initial >> len(architecture.upsample_kernels), 7)
    if post_bias:
        named["conv_post.bias"] = (1,)
    return named


def _random_hifigan(
    architecture: HifiganArchitecture,
    seed: int = 0,
    per_stage_speaker: bool = True,
    post_bias: bool = False,
) -> dict[str, Tensor]:
    """Float32, scaled so that activations keep their size."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in _hifigan_shapes(architecture, per_stage_speaker, post_bias).items():
        fan_in = shape[0] * 2 if name.startswith("ups.") else torch.Size(shape[1:]).numel()
        # Residual blocks add only a little and tanh isn't saturated, so nothing hides or amplifies an error.
        gain = 0.3 if name.startswith(("resblocks.", "conv_post.")) or name.endswith("bias") else 1.5
        weights[name] = torch.randn(shape, generator=generator) * gain / max(fan_in, 4) ** 0.5
    return weights


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> CheckGolden:
    """`check_golden(name, actual, expected, atol)`: shapes equal, max |error| ≤ atol. atol 0 means exact.

    `actual` and `expected` are anything numpy reads: arrays, CPU tensors, lists. Axes of length one at the
    ends must agree too; say `[0]` or `[None]` where the layouts differ.
    """

    def check(name: str, actual: Any, expected: Any, atol: float) -> None:
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, expected {expected.shape}"
        difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
        max_error = float(difference.max(initial=0.0))
        # User properties travel with the report, so the table is also right when workers run the tests.
        request.node.user_properties.append(("golden", (name, max_error, atol)))
        assert max_error <= atol, f"{name}: max error {max_error:.2e}, tolerance {atol:.0e}"

    return check


@pytest.fixture
def simulated_cuda() -> Iterator[SimulatedDevice]:
    """`torch.device("cuda:0")`, under the rules of a device and with its kernels interpreted."""
    pytest.importorskip("triton", reason="needs Triton")
    with simulated() as device:
        yield device


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices decode by captured plain steps: interpreted kernels take seconds for each."""
    monkeypatch.setattr("providers.decoding.backend._problem_with_kernels", lambda spec, device: "slow")


@pytest.fixture
def held_back() -> HeldBack:
    return HeldBack()


class HeldBack:
    """Stands in for `torch.cuda`, with two streams: copies of its own one wait for `finish`, and `order` says
    what was queued. It keeps no memory, as a device doesn't.
    """

    def __init__(self) -> None:
        self.order: list[str] = []
        self.is_prompt = False  # finishes by itself
        self._main = _Stream(self, "main")
        self._copies: list[tuple[ref[Tensor], ref[Tensor]]] = []
        self._events: list[_Event] = []

    def Stream(self, device: torch.device) -> _Stream:
        return _Stream(self, "own")

    def current_stream(self, device: torch.device) -> _Stream:
        return self._main

    def stream(self, stream: _Stream) -> TorchFunctionMode:
        return _Queueing(stream, self._copies)

    def Event(self, blocking: bool) -> _Event:
        self._events.append(_Event())
        return self._events[-1]

    @torch.inference_mode()
    def finish(self, error: Exception | None = None) -> None:
        """The device comes to the end of what is queued, or breaks."""
        for target, source in self._copies:
            copied, given = target(), source()
            assert copied is not None, "writes to memory that was let go"
            assert given is not None, "reads memory that was let go"
            copied.copy_(given)
        self._copies.clear()
        for event in self._events:
            event.error = error
            event.has_passed.set()


class _Event:
    def __init__(self) -> None:
        self.has_passed = Event()
        self.error: Exception | None = None

    def record(self, stream: _Stream) -> None:
        stream.device.order.append(f"{stream.name} records")
        if stream.device.is_prompt:
            stream.device.finish()

    def query(self) -> bool:
        return self.has_passed.is_set()

    def synchronize(self) -> None:
        assert self.has_passed.wait(timeout=60)
        if self.error is not None:
            raise self.error


class _Stream:
    def __init__(self, device: HeldBack, name: str) -> None:
        self.device = device
        self.name = name

    def wait_stream(self, other: _Stream) -> None:
        self.device.order.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event: _Event) -> None:
        self.device.order.append(f"{self.name} waits for an event")


class _Queueing(TorchFunctionMode):
    """Puts copies off."""

    def __init__(self, stream: _Stream, copies: list[tuple[ref[Tensor], ref[Tensor]]]) -> None:
        super().__init__()
        self._stream = stream
        self._copies = copies

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not Tensor.copy_:
            return function(*args, **(kwargs or {}))
        assert kwargs == {"non_blocking": True}
        self._stream.device.order.append(f"{self._stream.name} copies")
        self._copies.append((ref(args[0]), ref(args[1])))
        return args[0]
