"""Writes a safetensors file tensor by tensor, so that none of it is held in memory.

The library's own writer wants all tensors at once. The same tensors always give the same bytes: no time, no
insertion order.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from typing import NamedTuple

ALIGNMENT = 64  # of the first tensor, for reading by memory map
ITEM_SIZES = {"F32": 4, "F16": 2, "BF16": 2}


class Entry(NamedTuple):
    element: str  # a key of ITEM_SIZES
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * ITEM_SIZES[self.element]


def file_order(entries: Mapping[str, Entry]) -> list[str]:
    """Wide elements first, as the format's own writer does, so that every tensor is aligned; then by name."""
    return sorted(entries, key=lambda name: (-ITEM_SIZES[entries[name].element], name))


def write_header(descriptor: int, entries: Mapping[str, Entry]) -> None:
    """What goes before the tensors' bytes, which follow in `file_order`."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in file_order(entries):
        entry = entries[name]
        header[name] = {
            "dtype": entry.element,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size_bytes],
        }
        offset += entry.size_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    write_all(descriptor, struct.pack("<Q", len(text)) + text)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """All of it, where one system call may take only a part."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
