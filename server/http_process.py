"""`python -m server.http_process --supervised DESCRIPTOR`: one of the processes that serve HTTP.

All of them accept from one listening socket, which the supervisor has bound and hands down.
"""

from __future__ import annotations

import socket
import sys

from server import child, logs
from server.http.process import serve_http
from server.scheduling.address import worker_socket


def run_process() -> None:
    settings = child.begin()
    logs.configure(settings)
    listener = socket.socket(fileno=int(sys.argv[-1]))
    serve_http(settings, listener, worker_socket(settings.home_path))


if __name__ == "__main__":
    run_process()
