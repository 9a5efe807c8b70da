"""The sandboxed process: confine, run one task, report over a pipe, end.

A task is a function `task(files, arguments, progress) -> JSON value` named as "module:function"; `files` maps
names to open descriptors. Its module is imported before the confinement, so whatever the task needs must be
imported at its module's top.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from models_store.sandbox import confinement
from models_store.sandbox.events import Confined, Error, Event, OutOfMemory, Progress, Result

PROGRESS_INTERVAL_S = 0.1
MAX_MESSAGE_CHARS = 1_000
MAX_TRACEBACK_CHARS = 4_000

ProgressCallback = Callable[[int, int], None]  # done, total
Task = Callable[[Mapping[str, int], Mapping[str, Any], ProgressCallback], Any]


def main() -> None:
    job = json.loads(sys.argv[1])
    events: int = job["events"]
    confinement.die_with_parent()
    refused_network = confinement.leave_network()  # first: importing numpy may start threads
    module, _, function = job["task"].partition(":")
    task: Task = getattr(importlib.import_module(module), function)
    own_status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    confinement.limit_resources(**job["limits"])
    refused_filter = confinement.filter_system_calls()
    _send(events, Confined(refused_network, refused_filter))
    _send(events, _run(task, job, events, own_status))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run(task: Task, job: Mapping[str, Any], events: int, own_status: int) -> Event:
    try:
        result = task(job["files"], job["arguments"], _throttled(events))
        return Result(result, _peak_rss_bytes(own_status))
    except MemoryError:
        return OutOfMemory()
    except BaseException as error:  # also the PanicException of libraries written in Rust
        trace = traceback.format_exc()[-MAX_TRACEBACK_CHARS:]
        system_error = error.errno if isinstance(error, OSError) else None
        return Error(f"{type(error).__name__}: {error}"[:MAX_MESSAGE_CHARS], trace, system_error)


def _throttled(events: int) -> ProgressCallback:
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_INTERVAL_S or done == total:
            last = now
            _send(events, Progress(done, total))

    return progress


def _send(events: int, event: Event) -> None:
    line = memoryview(msgspec.json.encode(event) + b"\n")
    while line:
        line = line[os.write(events, line) :]


def _peak_rss_bytes(own_status: int) -> int:
    # Not getrusage: its maximum includes the parent's memory from before exec.
    for line in os.pread(own_status, 8_192, 0).decode().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
