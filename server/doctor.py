"""What the server needs from this machine, looked at one by one: `voicecore doctor`."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

from models_store import integrity
from models_store.recordings import wav_bytes
from models_store.report import RecordingLength
from models_store.sandbox import run_confined
from models_store.store import ModelsStore
from models_store.voices import LIMITS
from server.settings import Settings

GIB = 2**30
# Full-size XTTS in float32 takes 1.9 GB; torch, text front ends and audio another 1.5.
WANTED_MEMORY_BYTES = 4 * GIB
# One trainer checkpoint while it is being converted.
WANTED_DISK_BYTES = 10 * GIB

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(settings: Settings, deep: bool) -> Iterator[Finding]:
    """One subject after the other; what breaks while being looked at has failed."""
    for subject, look in EXAMINATIONS.items():
        try:
            yield from look(subject, settings, deep)
        except Exception as error:
            yield Finding(subject, "fail", f"{type(error).__name__}: {error}", "See what the message says.")


def _python(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}"
    verdict: Verdict = "ok" if sys.version_info >= (3, 10) else "fail"
    yield Finding(subject, verdict, found, "" if verdict == "ok" else "Install Python 3.10 or newer.")


def _packages(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    """Those that this project's own metadata asks for, and those of its extras."""
    missing, optional = [], []
    for requirement in metadata.requires("voicecore") or []:
        match = re.match(r"[\w.-]+", requirement)
        name = match[0] if match else requirement
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        version = _version(name)
        if extra is None and version is None:
            missing.append(name)
        elif extra is not None and extra[1] != "dev":
            optional.append(f"{name} {version or 'not installed'} ({extra[1]})")
    if missing:
        yield Finding(subject, "fail", f"without {', '.join(missing)}", "Run `make setup`.")
    else:
        yield Finding(subject, "ok", "every required one is installed")
    yield Finding("optional", "ok", ", ".join(optional) or "none")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    # By name: everything else on the command line works without torch.
    torch = import_module("torch")
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    open_device = import_module("server.scheduling.device").open_device
    engine = open_device(settings).engine
    yield Finding(subject, "ok", f"{engine.device} in {engine.dtype}, {engine.num_slots} slots")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _cuda_device(torch, index)
    else:
        built = torch.version.cuda or "none"
        yield Finding("cuda", "ok", f"no CUDA device (torch is built for: {built})")
    yield Finding("dtypes", "ok", _cpu_dtypes(torch) if engine.device == "cpu" else _cuda_dtypes(torch))


def _cuda_device(torch: Any, index: int) -> Finding:
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    capability = f"{properties.major}.{properties.minor}"
    memory = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    return Finding(f"cuda:{index}", "ok", f"{properties.name}, compute capability {capability}, {memory}")


def _cuda_dtypes(torch: Any) -> str:
    return f"float32; bfloat16 {'native' if torch.cuda.is_bf16_supported() else 'emulated'}"


def _cpu_dtypes(torch: Any) -> str:
    try:
        flags = set(re.findall(r"\S+", Path("/proc/cpuinfo").read_text()))
    except OSError:
        flags = set()
    native = [name for name in ("amx_bf16", "avx512_bf16", "bf16") if name in flags]
    capability = torch.backends.cpu.get_cpu_capability()
    return f"float32 ({capability}); bfloat16 {f'native ({native[0]})' if native else 'emulated, slower'}"


def _memory(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB available"
    found += f", {len(os.sched_getaffinity(0))} processors"
    if memory.available >= WANTED_MEMORY_BYTES:
        yield Finding(subject, "ok", found)
    else:
        remedy = (
            f"A full-size submission wants {WANTED_MEMORY_BYTES / GIB:.0f} GiB; stop something else first."
        )
        yield Finding(subject, "warn", found, remedy)


def _disk(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    home = settings.home_path
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=home) as file:
        file.write(b"writable")
    free = shutil.disk_usage(home).free
    found = f"{free / GIB:.1f} GiB free at {home}"
    if free >= WANTED_DISK_BYTES:
        yield Finding(subject, "ok", found)
    else:
        remedy = f"Converting a trainer checkpoint wants {WANTED_DISK_BYTES / GIB:.0f} GiB; free some space."
        yield Finding(subject, "warn", found, remedy)


def _store(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    store = ModelsStore(settings.store_path)
    problems = list(integrity.verify(store.layout, deep))
    for problem in problems:
        yield Finding(
            subject, "fail", f"{problem.file}: {problem.found}; expected {problem.expected}", problem.remedy
        )
    if not problems:
        how = "every byte" if deep else "sizes only; --deep reads every byte"
        count = f"{len(store.submissions())} submissions, {len(store.voices())} voices"
        yield Finding(subject, "ok", f"{count} ({how})")


def _base_models(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    """Those that some submission wants, but for what the settings do without."""
    store = ModelsStore(settings.store_path)
    missing = {
        row: None
        for submission in store.submissions()
        for row in store.base_models.missing(submission)
        if row.role not in settings.dispensable_base_models
    }
    for row in missing:
        verdict: Verdict = "ok" if row.is_optional else "warn"
        found = f"without {row.role} {row.consequence}"
        yield Finding(subject, verdict, found, f"Get it with `voicecore base pull {row.role}`.")
    if not missing:
        yield Finding(subject, "ok", "all that the submissions in the store need")


def _sandbox(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    """By using it: a second of noise goes through as an upload's recording does."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, 24_000).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.wav"
        recording.write_bytes(wav_bytes(noise, 24_000))
        missing = run_confined(
            "models_store.uploaded_audio:convert",
            inputs={"recording": recording},
            outputs={"wav": Path(folder) / "converted.wav"},
            arguments={"file": recording.name, "length": asdict(RecordingLength())},
            limits=LIMITS,
        ).missing
    if missing:
        remedy = "Uploads are read in a less confined process: take them only from people you trust."
        yield Finding(subject, "warn", "; ".join(missing), remedy)
    else:
        yield Finding(subject, "ok", "system call filter, no network, limited memory, time and files")


def _port(subject: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    place = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            remedy = "If that isn't your server, choose another with VOICECORE_PORT."
            yield Finding(subject, "warn", f"{place}: {error.strerror}", remedy)
        else:
            yield Finding(subject, "ok", f"{place} is free")


EXAMINATIONS: dict[str, Callable[[str, Settings, bool], Iterator[Finding]]] = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "memory": _memory,
    "disk": _disk,
    "store": _store,
    "base models": _base_models,
    "sandbox": _sandbox,
    "port": _port,
}
