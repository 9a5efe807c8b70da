"""A server's process that knows the fake family: `fake_process.py worker|http [arguments of the real one]`.

Run as a script by the tests of processes. Everything but the registry's row is the real thing. The row is
added when the module is imported, so that the text processes, which import it again, have it as well.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from providers.registry import FAMILIES, Family

# The test's own way to slow the engine down, so that something is under way when it kills a process.
SECONDS_PER_STEP = "FAKE_FAMILY_SECONDS_PER_STEP"

sys.path.insert(0, str(Path(__file__).parent))
FAMILIES["fake"] = Family(
    provider="fake_process:make_provider", text_front_end="fake_family:FakeTextFrontEnd"
)


def make_provider() -> object:
    from fake_family import FakeProvider

    return FakeProvider(seconds_per_step=float(os.environ.get(SECONDS_PER_STEP, "0")))


if __name__ == "__main__":
    if sys.argv.pop(1) == "worker":
        from server.scheduling.worker import run_process
    else:
        from server.http_process import run_process
    run_process()
