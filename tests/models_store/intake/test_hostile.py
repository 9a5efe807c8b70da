"""Uploads that are malformed or mean harm: nothing in them runs, each gets its error, the store is unchanged.

`pytest -v tests/models_store/intake/test_hostile.py` lists them with the error that each must get.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models_store.checkpoints.reader import CheckpointDamaged, read_checkpoint
from models_store.errors import SubmissionError
from models_store.recordings import wav_bytes
from models_store.report import Limits
from models_store.store import ModelsStore

State = dict[str, torch.Tensor]
SOME_TENSOR = "gpt.mel_head.weight"


@dataclass(frozen=True)
class Workshop:
    """What the cases are made with."""

    folder: Path  # empty, for archives
    canary: Path  # a payload that runs creates it
    state: State
    config: dict[str, Any]
    make_folder: Callable[..., Path]
    write_checkpoint: Callable[..., Path]
    write_pickle: Callable[..., Path]
    fake_tensor: Callable[..., Any]

    @property
    def command(self) -> str:
        return f"touch {self.canary}"

    def submission(self, **files: Any) -> Path:
        """A folder that lacks nothing but the recording, which takes half a second to decode."""
        return self.make_folder(**({"audio": None} | files))

    def with_pickle(self, data_pkl: bytes, **extra: Any) -> Path:
        return self.submission(model=self.write_pickle(self.folder / "m", data_pkl, **extra).read_bytes())

    def with_value(self, value: Any, storages: Any = None) -> Path:
        path = self.write_checkpoint(self.folder / "m", value, storages or {"0": bytes(64)})
        return self.submission(model=path.read_bytes())

    def with_tensor(self, name: str, tensor: torch.Tensor) -> Path:
        return self.submission(state=self.state | {name: tensor})


@pytest.fixture
def workshop(
    tmp_path: Path,
    tiny_state: State,
    tiny_config: dict[str, Any],
    make_folder: Callable[..., Path],
    write_checkpoint: Callable[..., Path],
    write_pickle: Callable[..., Path],
    fake_tensor: Callable[..., Any],
) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(
        folder,
        tmp_path / "canary",
        tiny_state,
        tiny_config,
        make_folder,
        write_checkpoint,
        write_pickle,
        fake_tensor,
    )


@dataclass(frozen=True)
class Case:
    title: str
    make: Callable[[Workshop], Path]
    code: str
    words: tuple[str, ...]
    limits: Limits | None = None


CASES: list[Case] = []


def case(
    title: str, code: str, *words: str, limits: Limits | None = None
) -> Callable[[Callable[[Workshop], Path]], Callable[[Workshop], Path]]:
    def add(make: Callable[[Workshop], Path]) -> Callable[[Workshop], Path]:
        CASES.append(Case(title, make, code, words, limits))
        return make

    return add


# Pickles that run a shell command where they are unpickled: command → bytes


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def short_text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


PAYLOADS: dict[str, Callable[[str], bytes]] = {
    "os.system": lambda command: pickle.dumps(Call(os.system, command), 2),
    "os.system in protocol 0": lambda command: pickle.dumps(Call(os.system, command), 0),
    "os.system in protocol 4": lambda command: pickle.dumps(Call(os.system, command), 4),
    "os.system in protocol 5": lambda command: pickle.dumps(Call(os.system, command), 5),
    "builtins.eval": lambda command: pickle.dumps(Call(eval, f"__import__('os').system({command!r})"), 2),
    "builtins.exec": lambda command: pickle.dumps(Call(exec, f"import os; os.system({command!r})"), 2),
    "subprocess.Popen": lambda command: pickle.dumps(Call(subprocess.check_call, ["sh", "-c", command]), 2),
    "nested reduce": lambda command: pickle.dumps(
        Call(eval, Call(str, f"__import__('os').system({command!r})")), 2
    ),
    "getattr chain": lambda command: (
        pickle.dumps(Call(map, Call(getattr, Call(__import__, "os"), "system"), [command]), 2)[:-1]
        # next(...): the call happens when the map is asked for its first
        .replace(b"\x80\x02", b"\x80\x02c__builtin__\nnext\n", 1)
        + b"\x85R."
    ),
    "opcode INST": lambda command: b"(S" + repr(command).encode() + b"\niposix\nsystem\n.",
    "opcode OBJ": lambda command: b"(cposix\nsystem\n" + text(command) + b"o.",
    "opcode STACK_GLOBAL": lambda command: (
        b"\x80\x04" + short_text("posix") + short_text("system") + b"\x93" + text(command) + b"\x85R."
    ),
    "name out of the memo": lambda command: (
        b"\x80\x04"
        + short_text("system")
        + b"\x94"
        + short_text("posix")
        + b"h\x00\x93"
        + text(command)
        + b"\x85R."
    ),
    "dict of calls": lambda command: pickle.dumps({"model": {"a": Call(os.system, command)}}, 2),
    "dict key": lambda command: b"\x80\x02}cposix\nsystem\n" + text(command) + b"\x85RK\x01s.",
    "thrown away": lambda command: b"\x80\x02cposix\nsystem\n" + text(command) + b"\x85R0}.",
    "before a break": lambda command: b"\x80\x02cposix\nsystem\n" + text(command) + b"\x85R}s.",
}


def _payload_case(title: str, payload: Callable[[str], bytes]) -> None:
    @case(f"pickle: {title}", "UnsafeCheckpoint", "names of code", "Nothing was run")
    def make(workshop: Workshop) -> Path:
        return workshop.with_pickle(payload(workshop.command))


for _title, _payload in PAYLOADS.items():
    _payload_case(_title, _payload)


GADGETS = (
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.utils.cpp_extension.load_inline",
    "torch.serialization._load",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch.storage._load_from_bytes",
    "numpy.load",
    "numpy.testing._private.utils.runstring",
    "numpy.core.multiarray.fromfile",
    "TTS.utils.generic_utils.get_import_path",
    "TTS.tts.configs.xtts_config.XttsConfig.__init__",
    "collections.OrderedDict.__reduce__",
    "functools.partial",
    "operator.attrgetter",
    "importlib.import_module",
    "pty.spawn",
    "builtins.getattr",
    "builtins.__import__",
    "webbrowser.open",
    "shutil.rmtree",
    "site.main",
    "pickle.loads",
    "_pickle.Unpickler",
    "copyreg._reconstructor",
)


def _gadget_case(name: str) -> None:
    @case(f"gadget: {name}", "UnsafeCheckpoint", name)
    def make(workshop: Workshop) -> Path:
        module, _, function = name.rpartition(".")
        call = f"c{module}\n{function}\n".encode() + text(str(workshop.canary)) + b"\x85R."
        return workshop.with_pickle(b"\x80\x02" + call)


for _name in GADGETS:
    _gadget_case(_name)


@case("pickle: every name is listed", "UnsafeCheckpoint", "builtins.eval", "posix.system", "runpy.run_path")
def _(workshop: Workshop) -> Path:
    import runpy

    value = [Call(os.system, workshop.command), Call(eval, "1"), Call(runpy.run_path, "x")]
    return workshop.with_pickle(pickle.dumps(value, 2).replace(b"__builtin__", b"builtins"))


@case("pickle: payload beside a sound model", "UnsafeCheckpoint", "posix.system")
def _(workshop: Workshop) -> Path:
    buffer = io.BytesIO()
    torch.save({"model": workshop.state, "optimizer": Call(os.system, workshop.command)}, buffer)
    return workshop.submission(model=buffer.getvalue())


@case("pickle: payload as a tensor's hooks", "UnsafeCheckpoint", "posix.system")
def _(workshop: Workshop) -> Path:
    tensor = workshop.fake_tensor("0", (4,))
    tensor.arguments = (*tensor.arguments[:5], OrderedDict(hook=Call(os.system, workshop.command)))
    return workshop.with_value({"model": {SOME_TENSOR: tensor}})


@case("pickle: payload in a config object's state", "UnsafeCheckpoint", "posix.system")
def _(workshop: Workshop) -> Path:
    state = pickle.dumps({"__setstate__": Call(os.system, workshop.command)}, 2)[2:-1]
    config = b"cTTS.tts.configs.xtts_config\nXttsConfig\n)\x81" + state + b"b."
    return workshop.with_pickle(b"\x80\x02" + config)


@case("pickle: changing a class by BUILD", "BadCheckpoint", "a checkpoint of")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(
        b"\x80\x02cTTS.tts.configs.xtts_config\nXttsConfig\nN}X\x01\0\0\0aK\x01s\x86b."
    )


@case("pickle: extension registry", "BadCheckpoint", "EXT1")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x02\x82\x01.")


@case("pickle: persistent id that is no storage", "BadCheckpoint", "not a storage")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x02" + text("/etc/passwd") + b"Q.")


@case("pickle: a second one behind the first", "BadCheckpoint", "behind the end")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(pickle.dumps({}, 2) + PAYLOADS["os.system"](workshop.command))


@case("pickle: one in another member", "BadCheckpoint", "pickles beside data.pkl", "extra.pkl")
def _(workshop: Workshop) -> Path:
    hidden = [("archive/extra.pkl", PAYLOADS["os.system"](workshop.command))]
    return workshop.with_pickle(pickle.dumps({}, 2), extra=hidden)


@case("pickle: data.pkl twice", "BadCheckpoint", "two members of one name")
def _(workshop: Workshop) -> Path:
    second = [("archive/data.pkl", PAYLOADS["os.system"](workshop.command))]
    with pytest.warns(UserWarning, match="Duplicate name"):
        return workshop.with_pickle(pickle.dumps({}, 2), extra=second)


@case("pickle: a bare one named model.pth", "UnsafeCheckpoint", "posix.system")
def _(workshop: Workshop) -> Path:
    return workshop.submission(model=PAYLOADS["os.system"](workshop.command))


@case("pickle: in the old form's system record", "UnsafeCheckpoint", "posix.system")
def _(workshop: Workshop) -> Path:
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    return workshop.submission(model=start + PAYLOADS["os.system"](workshop.command))


@case("pickle: TorchScript", "BadCheckpoint", "TorchScript")
def _(workshop: Workshop) -> Path:
    code = [
        ("archive/code/__torch__.py", b"def forward(self): ..."),
        ("archive/constants.pkl", b"\x80\x02)."),
    ]
    return workshop.with_pickle(pickle.dumps({}, 2), extra=code)


@case("pickle: tuples nested half a million deep", "BadCheckpoint", "a checkpoint of")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x02)" + b"\x85" * 500_000 + b".")


@case("pickle: nested tuples as a dict key", "BadCheckpoint", "dict key")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x02})" + b"\x85" * 500_000 + b"K\x01s.")


@case("pickle: a list of itself a billion times", "BadCheckpoint", "a checkpoint of")
def _(workshop: Workshop) -> Path:
    doubling = b"](h\x00h\x00e" + b"q\x00"
    return workshop.with_pickle(b"\x80\x02]q\x00" + doubling * 30 + b".")


@case("pickle: a string of 8 EiB", "BadCheckpoint", "damaged pickle")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.")


@case("pickle: a memo index of 4 billion", "BadCheckpoint", "damaged pickle")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x02]j\xff\xff\xff\xff.")


@case("pickle: two million operations", "BadCheckpoint", "operations")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"\x80\x02" + b"N0" * 1_000_000 + b"N.")


@case("pickle: a number of a million digits", "BadCheckpoint", "model.pth")
def _(workshop: Workshop) -> Path:
    return workshop.with_pickle(b"I" + b"9" * 1_000_000 + b"\n.")


# Checkpoints that are damaged or lie about their tensors


@case("model.pth: empty", "BadCheckpoint", "empty file")
def _(workshop: Workshop) -> Path:
    return workshop.submission(model=b"")


@case("model.pth: noise", "BadCheckpoint", "no PyTorch checkpoint")
def _(workshop: Workshop) -> Path:
    return workshop.submission(model=np.random.default_rng(5).bytes(100_000))


@case("model.pth: an error page", "BadCheckpoint", "no PyTorch checkpoint")
def _(workshop: Workshop) -> Path:
    return workshop.submission(model=b"<!DOCTYPE html><html><body>404 Not Found</body></html>")


@case("model.pth: a Git LFS pointer", "BadCheckpoint", "no PyTorch checkpoint")
def _(workshop: Workshop) -> Path:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1867929118\n"
    return workshop.submission(model=pointer)


@case("model.pth: a zip of something else", "BadCheckpoint", "data.pkl")
def _(workshop: Workshop) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return workshop.submission(model=buffer.getvalue())


@case("model.pth: compressed members", "BadCheckpoint", "compressed")
def _(workshop: Workshop) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model": {}}, 2))
        archive.writestr("archive/data/0", bytes(100_000))
    return workshop.submission(model=buffer.getvalue())


@case("model.pth: truncated", "BadCheckpoint", "truncated or damaged zip")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission()
    data = (folder / "model.pth").read_bytes()
    (folder / "model.pth").write_bytes(data[: len(data) // 2])
    return folder


@case("model.pth: old form, truncated", "BadCheckpoint", "truncated checkpoint")
def _(workshop: Workshop) -> Path:
    buffer = io.BytesIO()
    torch.save({"model": workshop.state}, buffer, _use_new_zipfile_serialization=False)
    return workshop.submission(model=buffer.getvalue()[:-1_000])


@case("model.pth: big-endian", "BadCheckpoint", "big-endian")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission()
    data = (folder / "model.pth").read_bytes()
    assert data.count(b"little") == 1
    (folder / "model.pth").write_bytes(data.replace(b"little", b"biggie"))
    return folder


@case("model.pth: no model in it", "BadCheckpoint", "step, epoch")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"step": 1, "epoch": 2})


@case("model.pth: GPT-SoVITS weights", "BadCheckpoint", "weight, config, info")
def _(workshop: Workshop) -> Path:
    weight = {"enc_p.text_embedding.weight": workshop.fake_tensor("0", (4, 4))}
    return workshop.with_value({"weight": weight, "config": {}, "info": "8epoch"})


@case("tensor: storage that is not there", "BadCheckpoint", SOME_TENSOR, "storage '9'")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("9", (4,))}})


@case("tensor: huge shape over a tiny storage", "BadCheckpoint", SOME_TENSOR, "has 64")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (1026, 1 << 20))}})


@case("tensor: a terabyte out of one number", "BadCheckpoint", "bytes in all")
def _(workshop: Workshop) -> Path:
    tensor = workshop.fake_tensor("0", (1026, 1 << 28), stride=(0, 0))
    return workshop.with_value({"model": {SOME_TENSOR: tensor}})


@case("tensor: negative offset", "BadCheckpoint", "negative")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (4,), offset=-100)}})


@case("tensor: negative stride", "BadCheckpoint", "negative")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (4,), stride=(-1,))}})


@case("tensor: negative size", "BadCheckpoint", "negative")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (-4,))}})


@case("tensor: offset that overflows", "BadCheckpoint", SOME_TENSOR, "a shape of")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (4,), offset=(1 << 61))}})


@case("tensor: sizes whose product overflows", "BadCheckpoint", SOME_TENSOR)
def _(workshop: Workshop) -> Path:
    shape = (1 << 32, 1 << 32, 4)
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", shape)}})


@case("tensor: a thousand dimensions", "BadCheckpoint", "1000 dimensions")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (1,) * 1000)}})


@case("tensor: more strides than sizes", "BadCheckpoint", "strides")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", (4,), stride=(1, 1))}})


@case("tensor: a shape of words", "BadCheckpoint", "not made of numbers")
def _(workshop: Workshop) -> Path:
    return workshop.with_value({"model": {SOME_TENSOR: workshop.fake_tensor("0", ("many",), stride=(1,))}})


@case("tensor: no tensor but a string", "UnexpectedTensor", SOME_TENSOR, "a str")
def _(workshop: Workshop) -> Path:
    return workshop.submission(state={**workshop.state, SOME_TENSOR: "see attachment"})


@case("tensor: name of control characters", "UnexpectedTensor", r"\x1b[2J")
def _(workshop: Workshop) -> Path:
    return workshop.submission(state={**workshop.state, "\x1b[2J": "boo"})


WRONG_TYPES = {
    "whole numbers": (torch.int64, "I64"),
    "bytes": (torch.uint8, "U8"),
    "truth values": (torch.bool, "BOOL"),
    "complex numbers": (torch.complex64, "C64"),
    "double precision": (torch.float64, "F64"),
}


def _type_case(title: str, dtype: torch.dtype, name: str) -> None:
    @case(f"tensor: {title}", "WrongDtype", SOME_TENSOR, name)
    def make(workshop: Workshop) -> Path:
        return workshop.with_tensor(SOME_TENSOR, workshop.state[SOME_TENSOR].to(dtype))


for _title, (_dtype, _name) in WRONG_TYPES.items():
    _type_case(_title, _dtype, _name)

NOT_FINITE = {
    "NaN": (float("nan"), torch.float32),
    "infinity": (float("inf"), torch.float32),
    "minus infinity": (float("-inf"), torch.float32),
    "NaN in float16": (float("nan"), torch.float16),
    "infinity in bfloat16": (float("inf"), torch.bfloat16),
}


def _finite_case(title: str, value: float, dtype: torch.dtype) -> None:
    @case(f"tensor: {title}", "BadCheckpoint", "NaN or infinity", SOME_TENSOR)
    def make(workshop: Workshop) -> Path:
        tensor = workshop.state[SOME_TENSOR].to(dtype).clone()
        tensor[-1, -1] = value
        return workshop.with_tensor(SOME_TENSOR, tensor)


for _title, (_value, _dtype) in NOT_FINITE.items():
    _finite_case(_title, _value, _dtype)


@case("tensor: weight norm of nothing", "BadCheckpoint", "NaN or infinity", "ups.0.weight")
def _(workshop: Workshop) -> Path:
    name = "hifigan_decoder.waveform_decoder.ups.0.parametrizations.weight.original1"
    direction = workshop.state[name].clone()
    direction[3] = 0
    return workshop.with_tensor(name, direction)


@case("tensor: weight norm without magnitude", "MissingTensor", "without its magnitude")
def _(workshop: Workshop) -> Path:
    name = "hifigan_decoder.waveform_decoder.ups.0.parametrizations.weight.original0"
    return workshop.submission(state={key: t for key, t in workshop.state.items() if key != name})


@case("tensor: one missing", "MissingTensor", SOME_TENSOR, "1026×32")
def _(workshop: Workshop) -> Path:
    return workshop.submission(state={key: t for key, t in workshop.state.items() if key != SOME_TENSOR})


@case("tensor: one too many", "UnexpectedTensor", "gpt.backdoor.weight")
def _(workshop: Workshop) -> Path:
    return workshop.with_tensor("gpt.backdoor.weight", torch.ones(2, 2))


@case("tensor: transposed", "WrongShape", SOME_TENSOR, "32×1026")
def _(workshop: Workshop) -> Path:
    return workshop.with_tensor(SOME_TENSOR, workshop.state[SOME_TENSOR].t().contiguous())


@case("tensor: forty thousand of them", "BadCheckpoint", "a state dict of 40000 entries")
def _(workshop: Workshop) -> Path:
    tensor = workshop.fake_tensor("0", (4,))
    return workshop.with_value({"model": {f"gpt.gpt.h.{i}.x{i}": tensor for i in range(40_000)}})


# Files that are not what their names say


@case("swapped: config.json and vocab.json", "BadVocabulary", "not a tokenizers file")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission()
    (folder / "config.json").rename(folder / "swap")
    (folder / "vocab.json").rename(folder / "config.json")
    (folder / "swap").rename(folder / "vocab.json")
    return folder


@case("swapped: model.pth and config.json", "BadConfig", "not UTF-8")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission()
    (folder / "model.pth").rename(folder / "swap")
    (folder / "config.json").rename(folder / "model.pth")
    (folder / "swap").rename(folder / "config.json")
    return folder


@case("swapped: config.json of another model", "BadConfig", "gpt_layers = 30", "2, as the tensors")
def _(workshop: Workshop) -> Path:
    model_args = workshop.config["model_args"] | {"gpt_layers": 30, "gpt_n_model_channels": 1024}
    return workshop.submission(config=workshop.config | {"model_args": model_args})


CONFIGS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "a list": (b"[]", "a JSON list"),
    "a number": (b"NaN", "a JSON number"),
    "cut off": (b'{"model_args": {"gpt_layers": 3', "not JSON"),
    "not text": (b"\xff\xfe\x00\x01", "not UTF-8"),
    "nested a hundred thousand deep": (b'{"a":' * 100_000, "nested too deeply"),
    "lists nested deep": (b"[" * 1_000_000, "nested too deeply"),
    "17 MiB": (b" " * (17 << 20), "more than 16777216 bytes"),
    "a number of a million digits": (b'{"a":' + b"9" * 1_000_000 + b"}", "config.json"),
    "no keys": (b"{}", "no model_args.gpt_layers"),
    "no objects where they are due": (b'{"model_args": []}', "no model_args.gpt_layers"),
}


def _config_case(title: str, content: bytes, words: str) -> None:
    @case(f"config.json: {title}", "BadConfig", words)
    def make(workshop: Workshop) -> Path:
        return workshop.submission(config=content)


for _title, (_content, _words) in CONFIGS.items():
    _config_case(_title, _content, _words)

VALUES: dict[str, tuple[str, Any, str]] = {
    "temperature NaN": ("temperature", float("nan"), "temperature"),
    "infinite reference": ("max_ref_len", float("inf"), "max_ref_len"),
    "top_p of 7": ("top_p", 7, "from 1e-06 to 1"),
    "repetition penalty 0": ("repetition_penalty", 0, "repetition_penalty"),
    "a huge top_k": ("top_k", 10**300, "a huge number"),
    "true for a number": ("top_k", True, "top_k = True"),
    "a command for a number": ("top_k", "$(reboot)", "top_k"),
    "no languages": ("languages", [], "languages"),
    "only unknown languages": ("languages", ["tlh"], "no language that can be served"),
    "languages that are objects": ("languages", [{}], "languages"),
}


def _value_case(title: str, key: str, value: Any, words: str) -> None:
    @case(f"config.json: {title}", "BadConfig", words)
    def make(workshop: Workshop) -> Path:
        return workshop.submission(config=workshop.config | {key: value})


for _title, (_key, _value_, _words) in VALUES.items():
    _value_case(_title, _key, _value_, _words)

ARGUMENTS: dict[str, tuple[str, Any, str]] = {
    "heads that don't divide": ("gpt_n_heads", 5, "5 attention heads"),
    "no heads": ("gpt_n_heads", 0, "gpt_n_heads = 0"),
    "XTTS v1": ("gpt_use_perceiver_resampler", False, "XTTS v1"),
    "another vocoder": ("cond_d_vector_in_each_upsampling_layer", False, "conditioned at its input only"),
    "another hop": ("output_hop_length", 512, "256, as the vocoder upsamples"),
    "a start token beyond the table": ("gpt_start_audio_token", 8192, "two of the 1026 rows"),
    "a billion layers": ("gpt_layers", 10**9, "gpt_layers"),
}


def _argument_case(title: str, key: str, value: Any, words: str) -> None:
    @case(f"config.json: {title}", "BadConfig", words)
    def make(workshop: Workshop) -> Path:
        return workshop.submission(
            config=workshop.config | {"model_args": workshop.config["model_args"] | {key: value}}
        )


for _title, (_key, _value_, _words) in ARGUMENTS.items():
    _argument_case(_title, _key, _value_, _words)


def tokenizer_file(tokens: dict[str, int]) -> bytes:
    model = {"type": "BPE", "unk_token": "[UNK]", "vocab": tokens, "merges": []}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model}).encode()


SPECIALS = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, "[START]": 261}
VOCABULARIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a tokenizers file"),
    "plain token list": (b'{"hello": 1, "world": 2}', "not a tokenizers file"),
    "cut off": (tokenizer_file(SPECIALS)[:-20], "not a tokenizers file"),
    "not text": (b"\xff\xfe\x00\x01", "not UTF-8"),
    "nested deep": (b'{"a":' * 200_000, "not a tokenizers file"),
    "no [START]": (tokenizer_file({"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2}), "no token [START]"),
    "ids of billions": (tokenizer_file(SPECIALS | {"x": 4_000_000_000}), "id 4000000000"),
    "ids beyond any type": (tokenizer_file(SPECIALS | {"x": 10**30}), "not a tokenizers file"),
    "another model's": (tokenizer_file(SPECIALS | {"x": 6680}), "6681 tokens"),
    "65 MiB": (b" " * (65 << 20), "more than 67108864 bytes"),
}


def _vocabulary_case(title: str, content: bytes, words: str) -> None:
    @case(f"vocab.json: {title}", "BadVocabulary", words)
    def make(workshop: Workshop) -> Path:
        return workshop.submission(vocabulary=content)


for _title, (_content, _words) in VOCABULARIES.items():
    _vocabulary_case(_title, _content, _words)


def tone(seconds: float, scale: float = 0.3) -> np.ndarray:
    return (scale * np.sin(np.arange(round(seconds * 22_050)) * 0.05)).astype(np.float32)


def wav_header(claimed_bytes: int, channels: int = 1, rate: int = 22_050) -> bytes:
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels % 65_536, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", claimed_bytes)
    return b"RIFF" + struct.pack("<I", 36 + (claimed_bytes & 0xFFFF_0000)) + body


RECORDINGS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no audio decoder"),
    "text": (b"this is what I would have said " * 100, "no audio decoder"),
    "noise with an mp3 header": (b"\xff\xfb\x90\x00" + bytes(range(256)) * 2, "audio.wav"),
    "no samples": (wav_bytes(tone(0), 22_050), "0.00 s"),
    "half a second": (wav_bytes(tone(0.5), 22_050), "0.50 s"),
    "silence": (wav_bytes(tone(2, scale=0), 22_050), "silence"),
    "NaN": (wav_bytes(tone(2) * np.float32("nan"), 22_050), "NaN"),
    "infinity": (wav_bytes(np.where(tone(2) > 0.2, np.inf, 0).astype(np.float32), 22_050), "infinite"),
    "header that claims 4 GB": (wav_header(0xFFFF_FFF0), "0.00 s"),
    "a sample rate of 1 Hz": (wav_header(8, rate=1) + bytes(8), "1 Hz"),
    "sixty thousand channels": (wav_header(8, channels=60_000) + bytes(8), "audio.wav"),
    "a playlist of other files": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "no audio decoder"),
    "an ffconcat script": (b"ffconcat version 1.0\nfile /etc/passwd\n", "no audio decoder"),
    "a session description": (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "audio",
    ),
}


def _recording_case(title: str, content: bytes, words: str) -> None:
    @case(f"audio.wav: {title}", "BadReference", words)
    def make(workshop: Workshop) -> Path:
        return workshop.submission(audio=content, model=None)


for _title, (_content, _words) in RECORDINGS.items():
    _recording_case(_title, _content, _words)


# Archives and folders


def zipped(workshop: Workshop, members: dict[str, bytes], **options: Any) -> Path:
    path = workshop.folder / "upload.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = options.get("compression", zipfile.ZIP_DEFLATED)
            info.external_attr = options.get("mode", 0o100644) << 16
            archive.writestr(info, content)
    return path


def tarred(workshop: Workshop, *members: tarfile.TarInfo, compressed: bool = False) -> Path:
    path = workshop.folder / "upload.tar"
    with tarfile.open(path, "w:gz" if compressed else "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


NAMES = {
    "zip-slip": ("../../canary", "leaves the folder"),
    "zip-slip in the middle": ("a/../../../canary", "leaves the folder"),
    "zip-slip with backslashes": ("..\\..\\canary", "leaves the folder"),
    "absolute path": ("/tmp/canary", "absolute path"),
    "drive letter": ("C:\\Windows\\canary", "absolute path"),
    "control characters": ("\x1b]0;owned\x07model.pth", "can't be printed"),
    "a name of 3000 characters": ("x" * 3000, "too long"),
    "folders a hundred deep": ("a/" * 100 + "model.pth", "too deep"),
}


def _name_case(title: str, name: str, words: str) -> None:
    @case(f"zip: {title}", "BadArchive", words)
    def make_zip(workshop: Workshop) -> Path:
        return zipped(workshop, {"model.pth": b"x", name: b"x"})

    @case(f"tar: {title}", "BadArchive", words)
    def make_tar(workshop: Workshop) -> Path:
        return tarred(workshop, tar_member("model.pth"), tar_member(name))


for _title, (_name, _words) in NAMES.items():
    _name_case(_title, _name, _words)

KINDS = {
    "symbolic link": (tarfile.SYMTYPE, "symbolic link"),
    "hard link": (tarfile.LNKTYPE, "hard link"),
    "character device": (tarfile.CHRTYPE, "device"),
    "block device": (tarfile.BLKTYPE, "device"),
    "named pipe": (tarfile.FIFOTYPE, "named pipe"),
}


def _kind_case(title: str, kind: bytes, words: str) -> None:
    @case(f"tar: {title}", "BadArchive", words, "model.pth")
    def make(workshop: Workshop) -> Path:
        return tarred(workshop, tar_member("model.pth", kind, "/etc/passwd"), compressed=True)


for _title, (_kind, _words) in KINDS.items():
    _kind_case(_title, _kind, _words)


@case("zip: symbolic link", "BadArchive", "symbolic link", "model.pth")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {"model.pth": b"/etc/passwd"}, mode=0o120777)


@case("zip: bomb", "BadArchive", "100 times its size")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {"model.pth": bytes(100 << 20)})


@case("zip: overlapping bomb", "BadArchive", "archive")
def _(workshop: Workshop) -> Path:
    """A thousand directory entries of one compressed member."""
    path = zipped(workshop, {"0": bytes(1 << 20)})
    with zipfile.ZipFile(path, "a") as archive:
        (first,) = archive.infolist()
        for i in range(1, 900):
            info = zipfile.ZipInfo(f"{i}")
            for field in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
                setattr(info, field, getattr(first, field))
            archive.filelist.append(info)
        archive._didModify = True
    return path


@case("zip: declares less than it holds", "BadArchive", "damaged archive")
def _(workshop: Workshop) -> Path:
    path = zipped(workshop, {"model.pth": bytes(range(256)) * 100})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 25_600), struct.pack("<I", 100)))
    return path


@case("zip: ten thousand files", "BadArchive", "more than 1000 files")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {f"{i}": b"" for i in range(10_000)})


@case("zip: a directory of 20 MB", "BadArchive", "directory is larger")
def _(workshop: Workshop) -> Path:
    path = workshop.folder / "upload.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"x"
        for i in range(300):
            info = zipfile.ZipInfo(f"{i}")
            info.extra = struct.pack("<HH", 0x6A6B, 60_000) + bytes(60_000)
            archive.writestr(info, b"")
    return path


@case("zip: encrypted", "BadArchive", "encrypted")
def _(workshop: Workshop) -> Path:
    path = zipped(workshop, {"model.pth": b"secret"})
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    path.write_bytes(data)
    return path


@case("zip: LZMA, whose dictionary can be 4 GB", "BadArchive", "unusual")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {"model.pth": b"x"}, compression=zipfile.ZIP_LZMA)


@case("zip: truncated", "BadArchive", "damaged archive")
def _(workshop: Workshop) -> Path:
    path = zipped(workshop, {"model.pth": np.random.default_rng(1).bytes(10_000)})
    path.write_bytes(path.read_bytes()[:5_000])
    return path


@case("zip: one name twice", "BadArchive", "two files of one name")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {"model.pth": b"good", "./model.pth": b"evil"})


@case("zip: an archive in an archive", "UnknownFamily", "an archive inside")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {"submission.zip": zipped(workshop, {"model.pth": bytes(1000)}).read_bytes()})


@case("zip: nothing in it", "UnknownFamily", "no files")
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {})


@case("tar.gz: bomb", "BadArchive", "100 times its size")
def _(workshop: Workshop) -> Path:
    return tarred(workshop, tar_member("model.pth", size=100 << 20), compressed=True)


@case("tar.gz: bomb in a file that is ignored", "BadArchive", "100 times its size")
def _(workshop: Workshop) -> Path:
    return tarred(
        workshop, tar_member("__MACOSX/x", size=100 << 20), tar_member("model.pth"), compressed=True
    )


@case("tar.gz: bomb in a header", "BadArchive", "directory is larger")
def _(workshop: Workshop) -> Path:
    path = workshop.folder / "upload.tar.gz"
    header = tar_member("x", tarfile.XHDTYPE, size=100 << 20).tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(path, "wb") as file:
        file.write(header)
        file.write(bytes(100 << 20))
    return path


@case("tar: ten thousand files", "BadArchive", "more than 1000 files")
def _(workshop: Workshop) -> Path:
    return tarred(workshop, *(tar_member(f"{i}") for i in range(10_000)))


@case("tar.gz: truncated", "BadArchive", "damaged archive")
def _(workshop: Workshop) -> Path:
    path = workshop.folder / "upload.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tar_member("model.pth", size=100_000)
        archive.addfile(info, io.BytesIO(np.random.default_rng(1).bytes(100_000)))
    path.write_bytes(path.read_bytes()[:50_000])
    return path


@case("tar.gz: noise behind the magic", "BadArchive", "damaged archive")
def _(workshop: Workshop) -> Path:
    path = workshop.folder / "upload.tar.gz"
    path.write_bytes(b"\x1f\x8b" + np.random.default_rng(1).bytes(10_000))
    return path


@case(
    "archive: more than the limit",
    "UploadTooLarge",
    "more than 1000 bytes",
    limits=Limits(max_upload_bytes=1000),
)
def _(workshop: Workshop) -> Path:
    return zipped(workshop, {"model.pth": np.random.default_rng(1).bytes(2_000)})


@case(
    "folder: more than the limit",
    "UploadTooLarge",
    "more than 1000 bytes",
    limits=Limits(max_upload_bytes=1000),
)
def _(workshop: Workshop) -> Path:
    return workshop.submission()


@case("file: no archive", "BadArchive", "neither a .zip nor a .tar")
def _(workshop: Workshop) -> Path:
    path = workshop.folder / "upload.rar"
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(1000))
    return path


@case("file: a named pipe", "BadArchive", "named pipe")
def _(workshop: Workshop) -> Path:
    path = workshop.folder / "upload.zip"
    os.mkfifo(path)
    return path


@case("folder: symbolic link to a secret", "BadArchive", "symbolic link", "model.pth")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission(model=None)
    (folder / "model.pth").symlink_to("/etc/passwd")
    return folder


@case("folder: symbolic link to itself", "BadArchive", "symbolic link")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission()
    (folder / "again").symlink_to(folder)
    return folder


@case("folder: named pipe", "BadArchive", "named pipe", "config.json")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission(config=None)
    os.mkfifo(folder / "config.json")
    return folder


@case("folder: socket", "BadArchive", "socket")
def _(workshop: Workshop) -> Path:
    folder = workshop.submission(config=None)
    with suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # socket names are at most 107 bytes long
        try:
            server.bind("s")
        finally:
            os.chdir(here)
    return folder


@case("folder: empty", "UnknownFamily", "no files")
def _(workshop: Workshop) -> Path:
    return workshop.folder


# What must hold for all of them


def contents(store: ModelsStore) -> dict[str, str]:
    """Every file of the store and its digest."""
    return {
        str(path.relative_to(store.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("hostile", [pytest.param(c, id=f"{c.title} -> {c.code}") for c in CASES])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_hostile_upload_is_refused(hostile: Case, workshop: Workshop, store: ModelsStore) -> None:
    path = hostile.make(workshop)
    before = contents(store)
    with pytest.raises(SubmissionError) as refused:
        store.submit(path, "hostile", limits=hostile.limits)
    told = [str(problem) for problem in refused.value.problems if problem.code == hostile.code]
    assert any(all(word in line for word in hostile.words) for line in told), refused.value.problems
    assert all(line.isprintable() for line in str(refused.value).splitlines())
    assert not workshop.canary.exists()
    assert contents(store) == before
    assert store.submissions() == []


@pytest.mark.parametrize("title", PAYLOADS)
def test_payload_would_have_run(title: str, workshop: Workshop) -> None:
    """The control: Python's own unpickler runs what the intake refuses."""
    program = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    payload = PAYLOADS[title](workshop.command)
    subprocess.run([sys.executable, "-c", program], input=payload, capture_output=True, check=False)
    assert workshop.canary.exists()


@pytest.mark.parametrize("title", PAYLOADS)
def test_reader_needs_no_sandbox_to_run_nothing(title: str, workshop: Workshop) -> None:
    path = workshop.with_pickle(PAYLOADS[title](workshop.command)) / "model.pth"
    with path.open("rb") as file:
        try:
            names = read_checkpoint(file.fileno()).foreign_names
        except CheckpointDamaged as damage:
            names = damage.foreign_names
    assert names
    assert not workshop.canary.exists()


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40
    assert len({case.title for case in CASES}) == len(CASES)
