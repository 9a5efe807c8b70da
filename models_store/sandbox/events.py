"""What the sandboxed process tells its caller: one JSON object per line, checked when it is read."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class Confined(msgspec.Struct, frozen=True, tag="confined"):
    """The confinement is in place; each part is None, or why the kernel refused it."""

    network: str | None
    system_calls: str | None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    done: int
    total: int


class Result(msgspec.Struct, frozen=True, tag="result"):
    result: Any  # what the task returned
    peak_rss_bytes: int


class Error(msgspec.Struct, frozen=True, tag="error"):
    error: str
    traceback: str
    system_error: int | None  # the errno of an OSError


class OutOfMemory(msgspec.Struct, frozen=True, tag="out of memory"):
    """An allocation failed at the address space limit."""


Event: TypeAlias = Confined | Progress | Result | Error | OutOfMemory
