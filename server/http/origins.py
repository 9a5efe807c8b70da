"""Which web pages may make a browser change something here."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.errors import Refused, error_response

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class OriginCheck:
    """Refuses a form that a foreign page posts through somebody's browser.

    CORS only keeps such a page from reading the answer; on a server without a key the upload would be done.
    Programs send no Origin and pass.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] in SAFE_METHODS
            or self._may_change(Headers(scope=scope))
        ):
            await self._app(scope, receive, send)
            return
        refusal = Refused(
            403,
            "found the Origin of another site; expected this server's own or one of VOICECORE_CORS_ORIGINS.",
            "foreign_origin",
        )
        await error_response(refusal, scope)(scope, receive, send)

    def _may_change(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or "*" in self._allowed or origin in self._allowed:
            return True
        return urlsplit(origin).netloc == headers.get("host")
