"""Memory: what a device says when it is out of it, in our words, and what the system gets back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from providers.errors import DeviceOutOfMemory

_CPU_ALLOCATOR = "DefaultCPUAllocator"


@contextmanager
def raise_out_of_memory(what: str) -> Iterator[None]:
    """Turn a failed allocation into DeviceOutOfMemory, naming what there was no room for."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceOutOfMemory(f"no room on the device for {what}: {error}") from error
    except RuntimeError as error:
        if _CPU_ALLOCATOR not in str(error):
            raise
        raise DeviceOutOfMemory(f"no room in memory for {what}: {error}") from error


def return_freed_memory() -> None:
    """Give heap that loading or evicting has freed back to the system.

    glibc keeps it: after a full-size XTTS was packed for a CPU that is 0.4 GB of temporary copies.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
