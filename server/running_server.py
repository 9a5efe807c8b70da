"""The server that commands ask when it runs: found at the settings' address, and its failures told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx

from server.errors import ServerError
from server.settings import Settings

LONGEST_START_S = 60.0
LONGEST_SILENCE_S = 10.0  # of a busy machine; where no server listens there is an answer at once
STARTING = 503  # of /readyz


def find_server(settings: Settings) -> httpx.Client | None:
    """A client of the server at the settings' address; None where none answers. The caller closes it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    address = f"[{host}]" if ":" in host else host
    key = settings.api_key.get_secret_value() if settings.api_key else None
    client = httpx.Client(
        base_url=f"http://{address}:{settings.port}",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        # Nothing comes while the request waits for its turn.
        timeout=httpx.Timeout(settings.request_timeout_s, connect=1.0),
        trust_env=False,  # a proxy has no part in this
    )
    try:
        if client.get("/healthz", timeout=LONGEST_SILENCE_S).is_success:
            _wait_while_starting(client)
            return client
    except httpx.HTTPError:
        pass
    client.close()
    return None


@contextmanager
def running_server(settings: Settings) -> Iterator[httpx.Client]:
    """For what only a server can do. Raises ServerError where none answers."""
    if (server := find_server(settings)) is None:
        raise ServerError(
            f"{settings.host}:{settings.port}: found no server; expected one that runs. Start it with "
            "`voicecore serve`, or name its address with --host and --port."
        )
    with closing(server):
        yield server


def check_response(response: httpx.Response) -> None:
    """Raises ServerError with what the server says."""
    if response.is_success:
        return
    response.read()
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"{response.url}: found status {response.status_code}; expected a Voice Core server."
    raise ServerError(message)


def _wait_while_starting(server: httpx.Client) -> None:
    """A server that was started a moment ago needs some more; if it needs too many, the request says why."""
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline and server.get("/readyz").status_code == STARTING:
        time.sleep(0.2)
