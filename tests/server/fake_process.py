"""A server's processes, but they know the fake family: `fake_process.py serve|worker|http …`.

Run as a script by the tests of processes. Everything but the registry's row is the real thing. The row is
added when the module is imported, so that the text processes, which import it again, have it as well.
`serve` takes its settings from the environment, as the others do without a supervisor.
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


def serve() -> None:
    from server import child, logs, supervisor
    from server.settings import Settings

    settings = Settings()
    logs.configure(settings)
    supervisor.LAST_RESTART_S = 0.2  # a crash loop shows soon
    command = (sys.executable, __file__)
    try:
        supervisor.serve(
            settings, (*command, "worker", child.SUPERVISED), (*command, "http", child.SUPERVISED)
        )
    except supervisor.CannotServe as error:
        sys.exit(str(error))


def main() -> None:
    role = sys.argv.pop(1)
    if role == "serve":
        serve()
    elif role == "worker":
        from server.scheduling import worker

        worker.run_process()
    else:
        from server import http_process

        http_process.run_process()


if __name__ == "__main__":
    main()
