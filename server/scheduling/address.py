"""Where a server's socket and locks lie: under its data folder, so that one home is one server."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

# sun_path holds 108 bytes on Linux and 104 on macOS, one of them the closing zero.
MAX_SOCKET_PATH_BYTES = 103
WORKER_SOCKET = "worker.sock"


def run_folder(home: Path) -> Path:
    """A folder that only this user can enter: VOICECORE_HOME/run, or a short one if that is too long."""
    folder = home / "run"
    if len(os.fsencode(folder / WORKER_SOCKET)) > MAX_SOCKET_PATH_BYTES:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"voicecore-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    # Anybody can make a folder of this name in the system's temporary folder before we do.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder}: found a folder of another user; expected our own. Remove it.")
    folder.chmod(0o700)
    return folder


def worker_socket(home: Path) -> Path:
    """Where the device process of this data folder listens."""
    return run_folder(home) / WORKER_SOCKET
