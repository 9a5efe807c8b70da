"""Who may call: one shared key, as a bearer token."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.errors import Refused, error_response

# What load balancers, prewarming clients and people look at first, and the two lists that Open WebUI reads
# without sending its key.
OPEN_TO_ALL = {
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/audio/models"),
    ("GET", "/v1/audio/voices"),
}


class BearerAuth:
    """Turns requests without the key away before anything reads their body."""

    def __init__(self, app: ASGIApp, api_key: str, open_folders: frozenset[str]) -> None:
        """`open_folders`: what may be read below `/` without the key, besides OPEN_TO_ALL."""
        self._app = app
        self._expected = api_key.encode()
        self._open_folders = open_folders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_open(scope) or self._carries_key(scope):
            await self._app(scope, receive, send)
            return
        refusal = Refused(
            401,
            "found no valid API key; expected `Authorization: Bearer <key>` with the key this server was "
            "started with.",
            "invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
        await error_response(refusal, scope)(scope, receive, send)

    def _carries_key(self, scope: Scope) -> bool:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        # Latin-1 gives back the bytes that were sent, whatever the key's characters are.
        found = token.strip().encode("latin-1")
        return scheme.lower() == "bearer" and hmac.compare_digest(found, self._expected)

    def _is_open(self, scope: Scope) -> bool:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        folder = scope["path"].removeprefix("/").split("/")[0]
        return (method, scope["path"]) in OPEN_TO_ALL or (method == "GET" and folder in self._open_folders)
