"""The caller's side of the sandbox: start the process, hand it descriptors, listen, judge how it ended."""

from __future__ import annotations

import errno
import json
import logging
import os
import selectors
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import models_store
from models_store.errors import ModelsStoreError
from models_store.sandbox.events import Confined, Error, Event, OutOfMemory, Progress, Result

log = logging.getLogger(__name__)

MAX_EVENTS_BYTES = 16 << 20  # a report of 100,000 problems is not worth reading
KEPT_OUTPUT_BYTES = 8_192
OPEN_FILES = 64
# Ours to mend, not the submitter's: raised as they are.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])["path"]
from models_store.sandbox.child import main
main()
"""
# One thread each: the filter lets no more be started.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
INHERITED_VARIABLES = ("LD_LIBRARY_PATH", "LANG", "LC_ALL")


class SandboxFailure(ModelsStoreError):
    """The sandboxed process did not finish: `found` says what happened to it, in the words of a report."""

    def __init__(self, found: str) -> None:
        super().__init__(f"the sandboxed process {found}")
        self.found = found


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    memory_bytes: int  # address space
    cpu_s: int
    file_bytes: int  # of each file that it writes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    result: Any  # what the task returned
    missing: tuple[str, ...]  # what this kernel refused of the confinement that counts, and why
    peak_rss_bytes: int


def run_confined(
    task: str,
    *,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    arguments: Mapping[str, Any],
    limits: ResourceLimits,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run the task "module:function" on these files in a process of its own and wait for its result.

    Inputs must be regular files and are opened without following links; outputs are created. `progress` is
    called with (done, total) on this thread; what it raises ends the process. Raises SandboxFailure, and
    OSError where the disk is full or fails.
    """
    deadline = time.monotonic() + limits.timeout_s
    with ExitStack() as stack:
        files = {name: stack.enter_context(_opened_input(path)) for name, path in inputs.items()}
        files |= {name: stack.enter_context(_opened_output(path)) for name, path in outputs.items()}
        events_in, events_out = os.pipe()
        events = stack.enter_context(os.fdopen(events_in, "rb", buffering=0))
        job = {
            "path": _import_path(),
            "task": task,
            "files": files,
            "events": events_out,
            "arguments": dict(arguments),
            "limits": {
                "memory_bytes": limits.memory_bytes,
                "cpu_s": limits.cpu_s,
                "file_bytes": limits.file_bytes,
                "open_files": OPEN_FILES,
            },
        }
        try:
            process = _start(job)
        finally:
            os.close(events_out)
        conversation = _Conversation(process, events.fileno(), progress)
        with _ended(process):
            conversation.listen(deadline)
            status = _exit_status(process, deadline)
        return conversation.outcome(status)


class _Conversation:
    """What the process says: events, one JSON object per line, and whatever it prints."""

    def __init__(
        self, process: subprocess.Popen[bytes], events: int, progress: Callable[[int, int], None] | None
    ) -> None:
        self._events = events
        self._output = process.stdout.fileno() if process.stdout else -1
        self._progress = progress
        self._unhandled = bytearray()  # the beginning of a line
        self._events_bytes = 0
        self._printed = b""
        self._missing: tuple[str, ...] = ()
        self._end: Event | None = None

    def listen(self, deadline: float) -> None:
        """Until both pipes are closed. Raises SandboxFailure past the deadline or when it talks too much."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._events, selectors.EVENT_READ, self._hear_events)
            selector.register(self._output, selectors.EVENT_READ, self._hear_output)
            while selector.get_map():
                ready = selector.select(deadline - time.monotonic())
                if not ready and time.monotonic() >= deadline:
                    raise SandboxFailure("took longer than allowed")
                for key, _ in ready:
                    if not key.data():
                        selector.unregister(key.fd)

    def outcome(self, status: int) -> Outcome:
        match self._end:
            case Result() if status == 0:
                return Outcome(self._end.result, self._missing, self._end.peak_rss_bytes)
            case Error() if self._end.system_error in DISK_ERRORS:
                raise OSError(self._end.system_error, os.strerror(self._end.system_error or 0))
            case Error():
                log.warning("sandboxed task failed: %s\n%s", self._end.error, self._end.traceback)
                raise SandboxFailure(f"stopped with {self._end.error}")
            case OutOfMemory():
                raise SandboxFailure("needed more memory than allowed")
        log.warning("sandboxed process ended with %s:\n%s", status, self._printed.decode(errors="replace"))
        raise SandboxFailure(_how_it_ended(status))

    def _hear_output(self) -> bool:
        data = os.read(self._output, 65_536)
        self._printed = (self._printed + data)[-KEPT_OUTPUT_BYTES:]
        return bool(data)

    def _hear_events(self) -> bool:
        data = os.read(self._events, 65_536)
        self._events_bytes += len(data)
        if self._events_bytes > MAX_EVENTS_BYTES:
            raise SandboxFailure("reported more than allowed")
        self._unhandled += data
        if b"\n" in data:
            *lines, self._unhandled = self._unhandled.split(b"\n")
            for line in lines:
                self._handle(line)
        return bool(data)

    def _handle(self, line: bytearray) -> None:
        try:
            event = msgspec.json.decode(line, type=Event)
        except msgspec.MsgspecError:
            raise SandboxFailure("garbled its report") from None
        match event:
            case Progress():
                if self._progress:
                    self._progress(event.done, event.total)
            case Confined():
                self._missing = missing_parts(event)
            case _:
                self._end = event


def missing_parts(confined: Confined) -> tuple[str, ...]:
    """What the kernel refused, and why, as far as it leaves a way out."""
    if confined.system_calls is None:
        return ()  # the filter alone leaves no network either
    parts = {"no system call filter": confined.system_calls, "no network namespace": confined.network}
    return tuple(f"{part} ({reason})" for part, reason in parts.items() if reason)


def _start(job: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    return subprocess.Popen(
        # Isolated, and without site: nothing but our own path is looked at.
        [sys.executable, "-I", "-S", "-c", START, json.dumps(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT | inherited,
        cwd="/",
        pass_fds=(*job["files"].values(), job["events"]),
        start_new_session=True,
    )


def _import_path() -> list[str]:
    project = str(Path(models_store.__file__).parents[1])
    return [project, *(str(Path(entry).absolute()) for entry in sys.path if entry and entry != project)]


@contextmanager
def _opened_input(path: Path) -> Iterator[int]:
    # O_NONBLOCK: opening a fifo must not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened_output(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, the process is gone afterwards."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _exit_status(process: subprocess.Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise SandboxFailure("took longer than allowed") from None


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGXCPU:
        return "used more processor time than allowed"
    if status == -signal.SIGXFSZ:
        return "wrote more than allowed"
    if status == -signal.SIGKILL:
        return "was killed, perhaps for want of memory"
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return f"ended with status {status}"
