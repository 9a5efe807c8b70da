"""What is particular to hostile GPT-SoVITS uploads: two checkpoints, a header, a config with attributes.

Each goes through the store: nothing in it runs, it gets its error, the store is unchanged.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models_store.checkpoints.reader import CheckpointDamaged, read_checkpoint
from models_store.errors import SubmissionError
from models_store.store import ModelsStore

GLOBAL_HPARAMS = b"cutils\nHParams\n"
OBJECT = GLOBAL_HPARAMS + b")\x81"  # an HParams without state


@dataclass(frozen=True)
class Workshop:
    """What the cases are made with."""

    folder: Path
    canary: Path  # a payload that runs creates it
    payload: bytes  # a whole pickle
    make_submission: Callable[..., Path]
    write_pickle: Callable[..., Path]
    write_checkpoint: Callable[..., Path]
    fake_tensor: Callable[..., Any]

    def zipped(self, data_pkl: bytes, header: bytes = b"", extra: Any = ()) -> bytes:
        data = self.write_pickle(self.folder / "checkpoint", data_pkl, extra).read_bytes()
        return header + data[len(header) :]

    @property
    def call(self) -> bytes:
        """The payload as a part of another pickle."""
        return self.payload[2:-1]


@pytest.fixture
def workshop(
    tmp_path: Path,
    make_submission: Callable[..., Path],
    write_pickle: Callable[..., Path],
    write_checkpoint: Callable[..., Path],
    fake_tensor: Callable[..., Any],
    run_command: Callable[[Path], bytes],
) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    canary = tmp_path / "canary"
    return Workshop(
        folder, canary, run_command(canary), make_submission, write_pickle, write_checkpoint, fake_tensor
    )


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def checkpoint(config: bytes) -> bytes:
    """A pickle of {"weight": {}, "config": …}."""
    return b"\x80\x02}(" + text("weight") + b"}" + text("config") + config + b"u."


def self_made_zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


CASES: dict[str, tuple[Callable[[Workshop], dict[str, Any]], str, str]] = {
    "payload in sovits.pth": (lambda w: {"sovits": w.zipped(w.payload)}, "UnsafeCheckpoint", "posix.system"),
    "payload in gpt.ckpt": (lambda w: {"gpt": w.zipped(w.payload)}, "UnsafeCheckpoint", "posix.system"),
    "payload behind the header 05": (
        lambda w: {"sovits": w.zipped(w.payload, b"05")},
        "UnsafeCheckpoint",
        "posix.system",
    ),
    "payload behind the header 06": (
        lambda w: {"sovits": w.zipped(w.payload, b"06")},
        "UnsafeCheckpoint",
        "posix.system",
    ),
    "payload behind a LoRA's header": (
        lambda w: {"sovits": w.zipped(w.payload, b"03")},
        "UnsafeCheckpoint",
        "posix.system",
    ),
    "payload as an attribute of HParams": (
        lambda w: {"sovits": w.zipped(checkpoint(OBJECT + b"}" + text("data") + w.call + b"sb"), b"05")},
        "UnsafeCheckpoint",
        "posix.system",
    ),
    "payload as the state of HParams": (
        lambda w: {"sovits": w.zipped(checkpoint(OBJECT + w.call + b"b"))},
        "UnsafeCheckpoint",
        "posix.system",
    ),
    "payload as an argument of HParams": (
        lambda w: {"sovits": w.zipped(checkpoint(GLOBAL_HPARAMS + b"(" + w.call + b"t\x81"))},
        "UnsafeCheckpoint",
        "posix.system",
    ),
    "a method of HParams": (
        lambda w: {"sovits": w.zipped(checkpoint(b"cutils\nHParams.__init__\n)R"))},
        "UnsafeCheckpoint",
        "utils.HParams.__init__",
    ),
    "another name of utils": (
        lambda w: {"sovits": w.zipped(checkpoint(b"cutils\nload_checkpoint\n)R"))},
        "UnsafeCheckpoint",
        "utils.load_checkpoint",
    ),
    "HParams of another module": (
        lambda w: {"sovits": w.zipped(checkpoint(b"cGPT_SoVITS.utils\nHParams\n)\x81"))},
        "UnsafeCheckpoint",
        "GPT_SoVITS.utils.HParams",
    ),
    "a path that opens a file": (
        lambda w: {"gpt": w.zipped(checkpoint(b"cpathlib\nPath.read_text\n)R"))},
        "UnsafeCheckpoint",
        "pathlib.Path.read_text",
    ),
    "changing the class by BUILD": (
        lambda w: {"sovits": w.zipped(checkpoint(GLOBAL_HPARAMS + b"}" + text("a") + b"K\x01sb"))},
        "BadCheckpoint",
        "a checkpoint of weight, config",
    ),
    "HParams within itself": (
        lambda w: {
            "sovits": w.zipped(checkpoint(OBJECT + b"q\x05}" + text("model") + b"h\x05" + b"sb"), b"05")
        },
        "BadCheckpoint",
        "a checkpoint of weight, config",
    ),
    "HParams with tuples a hundred thousand deep": (
        lambda w: {
            "gpt": w.zipped(checkpoint(OBJECT + b"}" + text("model") + b")" + b"\x85" * 100_000 + b"sb"))
        },
        "BadCheckpoint",
        "a checkpoint of weight, config",
    ),
    "a second pickle behind a header": (
        lambda w: {"sovits": w.zipped(pickle.dumps({}, 2), b"05", [("archive/x.pkl", w.payload)])},
        "BadCheckpoint",
        "pickles beside data.pkl",
    ),
    "TorchScript behind a header": (
        lambda w: {"sovits": w.zipped(pickle.dumps({}, 2), b"06", [("archive/constants.pkl", w.payload)])},
        "BadCheckpoint",
        "TorchScript",
    ),
    "a bare pickle behind a header": (
        lambda w: {"sovits": b"05" + w.payload[2:]},
        "BadCheckpoint",
        "no PyTorch checkpoint",
    ),
    "a header alone": (lambda w: {"sovits": b"05"}, "BadCheckpoint", "no PyTorch checkpoint"),
    "a header before nothing but magic": (
        lambda w: {"sovits": b"05\x03\x04"},
        "BadCheckpoint",
        "truncated or damaged zip archive",
    ),
    "an unknown header": (
        lambda w: {"sovits": w.zipped(w.payload, b"42")},
        "BadCheckpoint",
        "behind the two digits 42",
    ),
    "a header in gpt.ckpt": (
        lambda w: {"gpt": w.zipped(w.payload, b"05")},
        "BadCheckpoint",
        "behind the two digits 05",
    ),
    "magic written over in a later member": (
        lambda w: {
            "sovits": self_made_zip({"archive/data.pkl": pickle.dumps({}, 2), "archive/data/0": b"x" * 64})
            .replace(b"PK\x03\x04", b"05\x03\x04")
            .replace(b"05\x03\x04", b"PK\x03\x04", 1)
        },
        "BadCheckpoint",
        "directory points outside",
    ),
    "a recording outside the folder": (
        lambda w: {"config": {"refFile": "../../../etc/passwd", "refText": "Words."}},
        "BadConfig",
        "'../../../etc/passwd'",
    ),
    "a recording of an absolute path": (
        lambda w: {"config": {"refFile": "/etc/passwd", "refText": "Words."}},
        "BadConfig",
        "'/etc/passwd'",
    ),
    "a recording that is a checkpoint": (
        lambda w: {"config": {"refFile": "sovits.pth", "refText": "Words."}},
        "BadReference",
        "audio",
    ),
    "a tensor of negative strides": (
        lambda w: {"gpt": _with_tensor(w, (4,), (-1,))},
        "BadCheckpoint",
        "a negative offset, size or stride",
    ),
    "a tensor of petabytes": (
        lambda w: {"sovits": _with_tensor(w, (1 << 30, 1 << 20), (0, 0))},
        "BadCheckpoint",
        "a shape of",
    ),
    "a model of a million layers": (
        lambda w: {"gpt": _with_tensor(w, (4,), (1,), "model.h.layers.999999.norm1.weight")},
        "UnexpectedTensor",
        "h.layers.999999.norm1.weight",
    ),
}


def _with_tensor(workshop: Workshop, shape: Any, stride: Any, name: str = "model.bert_proj.bias") -> bytes:
    tensor = workshop.fake_tensor("0", shape, stride)
    path = workshop.write_checkpoint(workshop.folder / "c", {"weight": {name: tensor}}, {"0": bytes(64)})
    return path.read_bytes()


@pytest.mark.parametrize("title", CASES)
def test_hostile_upload_is_refused(title: str, workshop: Workshop, store: ModelsStore) -> None:
    files, code, words = CASES[title]
    folder = workshop.make_submission(**files(workshop))
    before = sorted(path for path in store.root.rglob("*"))
    with pytest.raises(SubmissionError) as refused:
        store.submit(folder, "hostile")
    problems = [problem for problem in refused.value.problems if problem.code == code]
    assert any(words in problem.found for problem in problems), str(refused.value)
    assert str(refused.value).replace("\n", "").isprintable()
    assert not workshop.canary.exists()
    assert sorted(path for path in store.root.rglob("*")) == before


def test_payload_would_have_run(workshop: Workshop) -> None:
    pickle.loads(workshop.payload)
    assert workshop.canary.exists()


@pytest.mark.parametrize("header", [b"", b"05"])
def test_reader_needs_no_sandbox_to_run_nothing(header: bytes, workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(workshop.zipped(workshop.payload, header))
    with path.open("rb") as file:
        checkpoint = read_checkpoint(file.fileno(), {"05"})
    assert (checkpoint.foreign_names, checkpoint.header) == (("posix.system",), header.decode())
    assert not workshop.canary.exists()
    with path.open("rb") as file:
        if header:
            with pytest.raises(CheckpointDamaged, match="two digits 05"):
                read_checkpoint(file.fileno())
        else:
            assert read_checkpoint(file.fileno()).header == ""
