"""What this process holds in memory, in MiB."""

from __future__ import annotations

import re
from pathlib import Path

import psutil


def resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def peak_resident_mib() -> float:
    """Since this program was started. `getrusage` would count what the process that started it held then."""
    status = Path("/proc/self/status").read_text()
    (peak_kib,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(peak_kib) / 1024
