"""One HTTP process: the application on a socket that the supervisor has already bound."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from server.settings import Settings

# Streams that are still speaking when the server is told to stop.
GRACE_S = 10.0
# Longer than the proxies and clients keep idle connections, so that they, not we, close them.
KEEP_ALIVE_S = 75


def metrics_folder(settings: Settings) -> Path:
    return settings.home_path / "run" / "metrics"


def clear_metrics(settings: Settings) -> None:
    """Forget what an earlier server counted. The supervisor's to call, before it starts HTTP processes."""
    shutil.rmtree(metrics_folder(settings), ignore_errors=True)


def serve_http(settings: Settings, listening_socket: socket.socket, worker_socket_path: Path) -> None:
    """Serve until SIGTERM or SIGINT, then let what is being spoken end, for GRACE_S at most. Exits with 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)  # uvicorn raises the signal again when it is done
    if settings.http_processes > 1:
        # Read when prometheus_client is imported, so before the application is.
        folder = metrics_folder(settings)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    import uvicorn

    from models_store.store import ModelsStore
    from server.http.app import create_app
    from server.scheduling.client import SpeechClient

    app = create_app(settings, ModelsStore(settings.store_path), SpeechClient(worker_socket_path))
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=settings.log_level,
        access_log=False,  # every request has a line of ours
        lifespan="on",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(GRACE_S),
    )
    uvicorn.Server(config).run(sockets=[listening_socket])


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
