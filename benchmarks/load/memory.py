"""What a server holds in memory while it works, and whether that grows."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import psutil
from scipy import stats

from benchmarks.load.adapters import Target, scrape

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# What a Voice Core server tells of its memory, and what that is called here.
SCRAPED = {
    "voicecore_worker_resident_memory_bytes": "device process",
    "voicecore_device_weight_bytes": "weights on the device",
}
MAX_GROWTH_MB_PER_H = 1.0
WARM_UP_SHARE = 0.25  # of a soak: caches fill, allocators settle
FEWEST_SAMPLES = 8
CONFIDENCE = 0.95

Verdict = Literal["steady", "grows", "unclear"]
Read = Callable[[], Mapping[str, float]]


class Sample(msgspec.Struct, frozen=True):
    """Bytes by name, some seconds after the sampling began; `processes` is how many there are."""

    at_s: float
    bytes: dict[str, float]


class Growth(msgspec.Struct, frozen=True):
    """Megabytes per hour, with the interval that the slope lies in with 95 % confidence."""

    name: str
    mb_per_h: float
    low: float
    high: float
    limit: float
    verdict: Verdict


def growth(
    samples: Sequence[Sample], name: str, limit_mb_per_h: float = MAX_GROWTH_MB_PER_H
) -> Growth | None:
    """The median of the slopes between all pairs of samples after the warm-up (Theil and Sen): a single
    jump, up or down, doesn't move it. None where there are too few samples."""
    known = [(sample.at_s / 3600, sample.bytes[name] / 1e6) for sample in samples if name in sample.bytes]
    if not known:
        return None
    start_h, stop_h = known[0][0], known[-1][0]
    settled = [(h, mb) for h, mb in known if h >= start_h + WARM_UP_SHARE * (stop_h - start_h)]
    if len(settled) < FEWEST_SAMPLES:
        return None
    hours, megabytes = zip(*settled, strict=True)
    slope, _, low, high = map(float, stats.theilslopes(megabytes, hours, CONFIDENCE))
    verdict: Verdict = "steady" if high < limit_mb_per_h else "grows" if low > limit_mb_per_h else "unclear"
    return Growth(name, slope, low, high, limit_mb_per_h, verdict)


class Sampling:
    """Reads every `every_s` seconds in a thread of its own, from `with` to its end."""

    def __init__(self, read: Read, every_s: float) -> None:
        self.samples: list[Sample] = []
        self._read = read
        self._every_s = every_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Sampling:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        began_at = time.monotonic()
        while True:
            self.samples.append(Sample(time.monotonic() - began_at, dict(self._read())))
            if self._is_over.wait(self._every_s):
                return


def reader(target: Target, pid: int | None = None) -> Read:
    """Reads what can be known of a server: its processes' memory where it runs on this machine,
    its own figures where it has /metrics, and the memory in use on this machine's NVIDIA devices."""
    root = server_process(target.url, pid)
    has_devices = shutil.which("nvidia-smi") is not None and urlsplit(target.url).hostname in LOOPBACK

    def read() -> dict[str, float]:
        found = _processes(root) if root else {}
        told = scrape(target)
        of_itself = {label: told[name] for name, label in SCRAPED.items() if name in told}
        return found | of_itself | (_devices() if has_devices else {})

    return read


def server_process(url: str, pid: int | None = None) -> psutil.Process | None:
    """The oldest process of the server that listens at a loopback URL; None if it can't be found."""
    parts = urlsplit(url)
    if pid is not None:
        return psutil.Process(pid)
    if parts.hostname not in LOOPBACK:
        return None
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    listening = [
        found.pid
        for found in connections
        if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == parts.port
    ]
    owner = next((psutil.Process(found) for found in listening if found), None)
    return None if owner is None else _oldest(owner)


def _oldest(process: psutil.Process) -> psutil.Process:
    """The ancestor that started a server of several processes; never one of our own."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    while (parent := process.parent()) is not None and parent.pid not in ours:
        try:
            if parent.exe() != process.exe():
                break
        except psutil.Error:
            break
        process = parent
    return process


def _processes(root: psutil.Process) -> dict[str, float]:
    try:
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    resident = 0
    for process in family:
        try:
            resident += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return {"all processes": float(resident), "processes": float(len(family))}


def _devices() -> dict[str, float]:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {"devices": sum(float(line) * 2**20 for line in told.split())} if told.strip() else {}
