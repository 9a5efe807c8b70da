"""How a process that the supervisor started begins, and how it ends if the supervisor is no more.

Its standard input is a pipe whose other end only the supervisor holds. First come the settings, in one line;
then nothing, until the supervisor is gone, however it went.
"""

from __future__ import annotations

import json
import os
import sys
from threading import Thread

from pydantic import SecretStr

from server.settings import Settings

EXIT_ORPHANED = 75
EXIT_UNUSABLE = 78  # the settings or the machine are to blame: starting again won't help
SUPERVISED = "--supervised"


def settings_line(settings: Settings) -> bytes:
    """What `begin` reads. Holds secrets in clear: a pipe, unlike a command line, is nobody else's."""
    values = settings.model_dump(mode="json")
    values |= {name: value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    return json.dumps(values).encode() + b"\n"


def begin() -> Settings:
    """The supervisor's settings, or the environment's where somebody else has started the process."""
    if SUPERVISED not in sys.argv[1:]:
        return Settings()
    settings = Settings.model_validate_json(_read_line(0))
    Thread(target=_end_with_supervisor, name="supervisor watch", daemon=True).start()
    return settings


def _read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (data := os.read(descriptor, 65_536)):
            sys.exit("the supervisor has gone before it sent the settings")
        line += data
    return line


def _end_with_supervisor() -> None:
    # Not sys.stdin: its lock, held by a daemon thread, would break an orderly exit.
    while os.read(0, 1024):
        pass
    os._exit(EXIT_ORPHANED)
