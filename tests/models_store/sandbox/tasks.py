"""What the sandbox tests run inside: functions that try things. Imported by name in the confined process."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16


def libc_call(name: str, *arguments: int) -> None:
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "open a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "create a file": lambda: os.open("/tmp/sandboxed", os.O_RDWR | os.O_CREAT),
    "list a folder": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink("/tmp/sandboxed"),
    "make a link": lambda: os.symlink("/etc/passwd", "/tmp/sandboxed"),
    "open a socket": lambda: socket.socket(),
    "make a socket pair": lambda: socket.socketpair(),
    "fork": os.fork,
    "start a program": lambda: subprocess.run(["/bin/true"], check=True),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "start a thread": lambda: threading.Thread(target=print).start(),
    "signal the parent": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "trace the parent": lambda: libc_call("ptrace", PTRACE_ATTACH, os.getppid(), 0, 0),
    "map executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "make memory executable": lambda: libc_call("mprotect", _page(), 4096, 5),
    "raise a limit": lambda: __import__("resource").setrlimit(7, (4096, 4096)),
    "change user": lambda: os.setuid(0),
    "mount": lambda: libc_call("mount", 0, 0, 0, 0, 0),
    "load a program into the kernel": lambda: libc_call("syscall", 321, 0, 0, 0),
}


def _page() -> int:
    memory = mmap.mmap(-1, 4096)
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def attempt(files: Mapping[str, int], arguments: Mapping[str, Any], progress: object) -> str:
    try:
        ATTEMPTS[arguments["what"]]()
    except (PermissionError, RuntimeError, ValueError) as error:  # of threading and resource
        return f"refused: {type(error).__name__}"
    return "done"


def work(files: Mapping[str, int], arguments: Mapping[str, Any], progress: Callable[[int, int], None]) -> Any:
    data = np.frombuffer(os.pread(files["source"], 1 << 20, 0), np.uint8)
    for step in range(11):
        progress(step, 10)
    os.write(files["target"], (data + 1).tobytes())
    return {"sum": int(data.sum())}


def look_around(files: object, arguments: object, progress: object) -> dict[str, Any]:
    return {"environment": sorted(os.environ), "modules": sorted(sys.modules), "uid": os.getuid()}


def allocate(files: object, arguments: object, progress: object) -> int:
    return len(np.ones(1 << 30, np.uint8))


def spin(files: object, arguments: object, progress: object) -> None:
    while True:
        pass


def wait(files: object, arguments: object, progress: object) -> None:
    signal.pause()


def sleep(files: object, arguments: object, progress: Callable[[int, int], None]) -> None:
    import time

    progress(0, 1)
    time.sleep(30)


def crash(files: object, arguments: object, progress: object) -> None:
    ctypes.string_at(0)


def fail(files: object, arguments: object, progress: object) -> None:
    raise ValueError("no such thing")


def fill_disk(files: object, arguments: object, progress: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def garble(files: object, arguments: object, progress: object) -> None:
    """As taken-over code could: on every descriptor but the standard ones."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b'{"type": "result"}\n')


def leave(files: object, arguments: object, progress: object) -> None:
    os._exit(3)


def chatter(files: object, arguments: object, progress: object) -> str:
    os.write(1, b"x" * 1_000_000)
    return "said it"


def write_much(files: Mapping[str, int], arguments: object, progress: object) -> None:
    for _ in range(4096):
        os.write(files["target"], bytes(4096))


def report_much(files: object, arguments: object, progress: object) -> str:
    return "x" * (17 << 20)
