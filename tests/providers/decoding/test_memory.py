from __future__ import annotations

import pytest
import torch

from providers.decoding.memory import raise_out_of_memory, return_freed_memory
from providers.errors import DeviceOutOfMemory


def test_a_failed_allocation_says_what_there_was_no_room_for():
    with (
        pytest.raises(DeviceOutOfMemory, match="no room in memory for a whale") as raised,
        raise_out_of_memory("a whale"),
    ):
        torch.empty(2**60)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_a_devices_own_error_is_translated():
    with (
        pytest.raises(DeviceOutOfMemory, match="no room on the device for a whale"),
        raise_out_of_memory("a whale"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shape"), raise_out_of_memory("a whale"):
        raise RuntimeError("shape")


def test_freed_memory_can_be_returned():
    return_freed_memory()
