"""What this process holds in memory, in MiB."""

from __future__ import annotations

import resource

import psutil


def resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def peak_resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
