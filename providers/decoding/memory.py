"""What a device says when it is out of memory, in our words."""

from __future__ import annotations

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
