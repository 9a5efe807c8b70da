"""What every request passes: an id, a clock, a log line, a body limit, and a last net for errors."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.errors import Refused, error_response
from server.http.metrics import Metrics

log = structlog.get_logger()

_PROBES = {"/healthz", "/readyz", "/metrics"}
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Gives each request `state.request_id` (the client's own where it is sane) and `state.accepted_at`.

    The id is for people: it is echoed and logged. The device process never sees it, so two clients that
    choose the same id don't meet.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _SANE_REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        accepted_at = time.perf_counter()
        scope.setdefault("state", {}).update(request_id=request_id, accepted_at=accepted_at)
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                log.info("the client left while it sent its request", path=scope["path"])
            except Exception as error:
                log.exception("request failed", method=scope["method"], path=scope["path"])
                if status is None:
                    await error_response(error, scope)(scope, receive, send_with_id)
            finally:
                self._report(scope, status, time.perf_counter() - accepted_at)

    def _report(self, scope: Scope, status: int | None, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.requests.labels(scope["method"], route, str(status or 499)).inc()
        write = log.debug if scope["path"] in _PROBES else log.info
        write(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            duration_s=round(duration_s, 4),
        )


class BodyLimit:
    """Stops reading a body beyond the limit that `limit_bytes` gives for its method and path."""

    def __init__(self, app: ASGIApp, limit_bytes: Callable[[str, str], int]) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_bytes(scope["method"], scope["path"])
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await error_response(_too_large(limit), scope)(scope, receive, send)
            return
        received = 0

        async def receive_up_to_limit() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, receive_up_to_limit, send)


def _too_large(limit_bytes: int) -> Refused:
    return Refused(413, f"found a body of more than {limit_bytes} bytes; send less.", "body_too_large")
