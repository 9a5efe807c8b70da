"""The reader against torch's own: the same values from what torch.save writes, an error for all else."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks.random_gpt_sovits import pickled_config
from benchmarks.random_xtts import stand_in_classes
from models_store.checkpoints.pickled import Inert, Name, PickleDamaged, read_pickle
from models_store.checkpoints.reader import Checkpoint, CheckpointDamaged, read_checkpoint
from models_store.checkpoints.stored_tensor import StoredTensor, all_finite, defect, pieces, to_float32, whole

TORCH_TYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "C128": torch.complex128,
}


def read(data: bytes, path: Path) -> tuple[Any, Checkpoint]:
    """The checkpoint's value with its tensors read."""
    path.write_bytes(data)
    with path.open("rb") as file:
        checkpoint = read_checkpoint(file.fileno())

        def loaded(value: Any) -> Any:
            if isinstance(value, StoredTensor):
                extent = checkpoint.extents.get(value.storage.key)
                assert defect(value, extent) is None
                assert extent is not None
                raw = torch.from_numpy(whole(file.fileno(), extent, value).reshape(-1).copy())
                return raw.view(TORCH_TYPES[value.element.name]).reshape(value.shape)
            if isinstance(value, dict):
                return {key: loaded(item) for key, item in value.items()}
            return [loaded(item) for item in value] if isinstance(value, list) else value

        return loaded(checkpoint.value), checkpoint


def saved(value: Any, zip_form: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zip_form)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader") / "checkpoint.pth"


@st.composite
def strided_tensors(draw: st.DrawFn) -> torch.Tensor:
    """Views of a storage of 64 elements: any offset, shape and strides that fit, overlapping or not."""
    dtype = draw(st.sampled_from(list(TORCH_TYPES.values())))
    storage = torch.arange(64).remainder(2 if dtype == torch.bool else 120).to(dtype)
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    strides, reach = [], 0
    for size in shape:
        largest = (60 - reach) // max(1, size - 1) if size > 1 else 60
        strides.append(draw(st.integers(0, max(0, largest))))
        reach += max(0, size - 1) * strides[-1]
    return storage.as_strided(shape, strides, draw(st.integers(0, max(0, 63 - reach))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensor=strided_tensors(), zip_form=st.booleans())
@example(tensor=torch.tensor(3.5), zip_form=True)
@example(tensor=torch.zeros(0, 4), zip_form=False)
def test_every_strided_view_is_read_as_torch_reads_it(
    tensor: torch.Tensor, zip_form: bool, file: Path
) -> None:
    data = saved({"t": tensor}, zip_form)
    expected = torch.load(io.BytesIO(data), weights_only=True)["t"]
    found = read(data, file)[0]["t"]
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert torch.equal(found, expected)


@pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "old"])
def test_values_beside_tensors_survive(zip_form: bool, file: Path) -> None:
    value = {
        "model": OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.nn.Parameter(torch.ones(2))),
        "shared": [torch.arange(4)] * 2,
        "step": 12,
        "big": 1 << 80,
        "rate": 5e-6,
        "text": "ünï😀",
        "none": None,
        "flags": [True, False],
        "nested": {"betas": (0.9, 0.96)},
        "losses": defaultdict(list, train=[1.0]),
        "size": torch.Size([2, 3]),
    }
    found = read(saved(value, zip_form), file)[0]
    assert torch.equal(found["model"]["a"], value["model"]["a"])
    assert torch.equal(found["model"]["b"], torch.ones(2))
    assert torch.equal(found["shared"][1], torch.arange(4))
    for key in ("step", "big", "rate", "text", "none", "flags", "nested"):
        assert found[key] == value[key]
    assert found["losses"] == {"train": [1.0]}
    assert found["size"] == (2, 3)


@pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "old"])
def test_known_objects_are_inert_and_not_foreign(zip_form: bool, file: Path) -> None:
    value = {
        "loss": np.float64(2.5),
        "array": np.arange(3),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
    }
    found, checkpoint = read(saved(value, zip_form), file)
    assert checkpoint.foreign_names == ()
    assert isinstance(found["loss"], Inert)
    assert found["dtype"] == Name("torch", "float16")


def test_config_objects_are_read_as_their_attributes(file: Path) -> None:
    with stand_in_classes({"HParams": "utils"}) as classes:
        config = pickled_config({"data": {"hop_length": 640}, "betas": [0.8, 0.99]}, classes["HParams"])
        found, checkpoint = read(saved({"config": config}), file)
    assert checkpoint.foreign_names == ()
    assert found == {"config": {"data": {"hop_length": 640}, "betas": [0.8, 0.99]}}


@pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "old"])
def test_digits_over_the_magic_are_taken_only_of_a_zip_and_only_if_named(zip_form: bool, file: Path) -> None:
    data = saved({"t": torch.arange(4)}, zip_form)
    file.write_bytes(b"05" + data[2:])
    with file.open("rb") as opened:
        with pytest.raises(CheckpointDamaged):
            read_checkpoint(opened.fileno(), {"06"})
        if zip_form:
            assert read_checkpoint(opened.fileno(), {"05", "06"}).header == "05"
        else:
            with pytest.raises(CheckpointDamaged, match="no PyTorch checkpoint"):
                read_checkpoint(opened.fileno(), {"05", "06"})


def test_foreign_objects_are_named_all_at_once(file: Path) -> None:
    import decimal
    import fractions

    value = [decimal.Decimal("1.5"), fractions.Fraction(1, 3), torch.ones(1)]
    found, checkpoint = read(saved(value), file)
    assert checkpoint.foreign_names == ("decimal.Decimal", "fractions.Fraction")
    assert isinstance(found[0], Inert)
    assert torch.equal(found[2], torch.ones(1))


@pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "old"])
def test_every_truncation_is_noticed(zip_form: bool, file: Path) -> None:
    data = saved({"model": {"a": torch.arange(100.0), "b": torch.ones(3)}}, zip_form)
    for size in {*range(0, len(data) - 1, 37), len(data) - 1}:
        with pytest.raises(CheckpointDamaged):
            read(data[:size], file)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zip_form=st.booleans(), damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8)
)
@example(zip_form=True, damage=[(743_612, 1)])  # a directory that begins before the file
def test_damage_is_an_error_of_its_own_or_harmless(
    zip_form: bool, damage: list[tuple[int, int]], file: Path
) -> None:
    data = bytearray(
        saved({"model": {"a": torch.arange(20.0), "b": torch.ones(3, dtype=torch.int64)}}, zip_form)
    )
    for position, value in damage:
        data[position % len(data)] = value
    file.write_bytes(data)
    with file.open("rb") as opened:
        try:
            checkpoint = read_checkpoint(opened.fileno())
        except CheckpointDamaged:
            return
        state = checkpoint.value.get("model") if isinstance(checkpoint.value, dict) else None
        for tensor in state.values() if isinstance(state, dict) else ():
            if isinstance(tensor, StoredTensor) and not defect(
                tensor, checkpoint.extents.get(tensor.storage.key)
            ):
                extent = checkpoint.extents[tensor.storage.key]
                read_elements = sum(len(piece) for piece in pieces(opened.fileno(), extent, tensor))
                assert read_elements == tensor.num_elements


# The pickle machine

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


def inert(name: Name, arguments: object) -> Inert:
    return Inert(name)


def machine(data: bytes) -> Any:
    return read_pickle(io.BytesIO(data), inert, lambda identity: identity)


@settings(max_examples=100, deadline=None)
@given(value=PLAIN, protocol=st.integers(4, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_as_python_reads_them(value: Any, protocol: int) -> None:
    assert machine(pickle.dumps(value, protocol)).value == value


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_noise_is_damage(data: bytes) -> None:
    with suppress(PickleDamaged):
        machine(data)


OPCODES = st.sampled_from(
    [
        bytes([code])
        for code in b"(.0125NRQKMJIabcdehijlopqrstu]}()\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"
    ]
)


@settings(max_examples=300, deadline=None)
@given(operations=st.lists(OPCODES, max_size=40))
def test_any_order_of_operations_is_a_value_or_damage(operations: list[bytes]) -> None:
    with suppress(PickleDamaged):
        machine(b"\x80\x04" + b"".join(operations) + b"\x00\n\x00\n.")


# Tensors


def test_tensors_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models_store.checkpoints.stored_tensor.PIECE_BYTES", 64)
    data = saved({"t": torch.arange(50.0)})
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(data)
    with path.open("rb") as opened:
        checkpoint = read_checkpoint(opened.fileno())
        tensor = checkpoint.value["t"]
        found = list(pieces(opened.fileno(), checkpoint.extents[tensor.storage.key], tensor))
    assert [len(piece) for piece in found] == [16, 16, 16, 2]
    assert np.array_equal(np.concatenate(found), np.arange(50, dtype=np.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_bits_are_judged_and_widened_as_torch_does(dtype: torch.dtype, file: Path) -> None:
    """All 65536 bit patterns of the half types; of float32 those with the same upper half."""
    bits = torch.arange(1 << 16, dtype=torch.int32)
    tensor = (bits << 16).view(torch.float32) if dtype == torch.float32 else bits.to(torch.int16).view(dtype)
    file.write_bytes(saved({"t": tensor}))
    with file.open("rb") as opened:
        checkpoint = read_checkpoint(opened.fileno())
        stored = checkpoint.value["t"]
        raw = whole(opened.fileno(), checkpoint.extents[stored.storage.key], stored)
    judged = [all_finite(raw[i : i + 1], stored.element) for i in range(0, 1 << 16, 17)]
    assert judged == tensor.isfinite()[::17].tolist()
    finite = tensor.isfinite()
    widened = torch.from_numpy(to_float32(raw, stored.element).copy())
    assert torch.equal(widened[finite], tensor.float()[finite])


def test_pieces_say_when_the_file_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(saved({"t": torch.arange(1000.0)}))
    descriptor = os.open(path, os.O_RDWR)
    checkpoint = read_checkpoint(descriptor)
    tensor = checkpoint.value["t"]
    os.ftruncate(descriptor, 1_000)
    with pytest.raises(EOFError):
        whole(descriptor, checkpoint.extents[tensor.storage.key], tensor)
    os.close(descriptor)
