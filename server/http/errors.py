"""Every failure as OpenAI's clients read it: `{"error": {"message", "type", "param", "code"}}`.

The status of an error comes from the one table in `server.errors`; what only HTTP knows (a bad key, a body
that isn't JSON) is a `Refused`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Scope

from models_store.errors import NotFound, SubmissionError
from server.errors import STATUS

OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
HTTP_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}  # of Starlette's own errors


class Refused(HTTPException):
    """A request that is turned away before it reaches anything that speaks.

    An HTTPException so that it passes through Starlette's and FastAPI's body parsing as it is.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code
        self.param = param


def error_body(
    status: int, message: str, code: str, param: str | None = None, **extra: Any
) -> dict[str, dict[str, Any]]:
    """`extra` goes beside OpenAI's four fields, which clients ignore."""
    default = "server_error" if status >= 500 else "invalid_request_error"
    fields = {"message": message, "type": OPENAI_TYPES.get(status, default), "param": param, "code": code}
    return {"error": fields | extra}


def status_of(error: Exception) -> int | None:
    """None: not an error that we raise on purpose."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), None)


def describe(error: Exception) -> tuple[int, dict[str, dict[str, Any]], dict[str, str]]:
    """Status, body and headers of a failure. What we did not foresee shows no internals."""
    if isinstance(error, HTTPException):
        code = (
            error.code if isinstance(error, Refused) else _snake_case(HTTP_CODES.get(error.status_code, ""))
        )
        param = error.param if isinstance(error, Refused) else None
        body = error_body(error.status_code, str(error.detail), code or "http_error", param)
        return error.status_code, body, dict(error.headers or {})
    if (status := status_of(error)) is None:
        message = "The server failed. Its log tells why, under the x-request-id of this response."
        return 500, error_body(500, message, "internal_error"), {}
    return status, _known_error_body(status, error), _retry_after(error, status)


class ForeignRoute(APIRoute):
    """A route of another API, whose clients read failures in a shape of their own."""

    @staticmethod
    def translate(status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A failure as `describe` has it → as these clients read it."""
        return status, body


def error_response(error: Exception, scope: Scope) -> JSONResponse:
    """`scope` of the request: the route that it has come to, if any, may speak another dialect."""
    status, body, headers = describe(error)
    if isinstance(route := scope.get("route"), ForeignRoute):
        status, body = route.translate(status, body)
    return JSONResponse(body, status, headers)


def install_handlers(app: FastAPI) -> None:
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return error_response(error, request.scope)

    async def handle_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return error_response(refusal_of(error.errors()), request.scope)

    kinds: tuple[type[Exception], ...] = (HTTPException, *STATUS)
    for kind in kinds:
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(RequestValidationError, handle_validation)


def refusal_of(findings: Sequence[Mapping[str, Any]]) -> Refused:
    """Pydantic's findings as one message: what was found, what was expected."""
    first = findings[0]
    if first["type"] == "json_invalid":
        return Refused(400, f"found a body that is not JSON ({first['ctx']['error']}).", "invalid_json")
    if first["loc"] == ("body",):
        return Refused(
            422,
            "found a body that is not a JSON object; expected one, sent with Content-Type: application/json.",
            "invalid_body",
        )
    # What follows a field's name in `loc` is which of its types was tried: the first one's finding will do.
    by_field = {str(finding["loc"][1]): finding for finding in reversed(findings)}
    message = " ".join(_sentence(field, finding) for field, finding in reversed(by_field.items()))
    return Refused(422, message, "invalid_value", str(first["loc"][1]))


def _known_error_body(status: int, error: Exception) -> dict[str, dict[str, Any]]:
    if isinstance(error, SubmissionError):
        problems = [
            {name: getattr(problem, name) for name in ("code", "file", "found", "expected", "remedy")}
            for problem in getattr(error, "problems", ())  # what came from another process has none
        ]
        return error_body(status, str(error), _snake_case(type(error).__name__), problems=problems)
    code = _snake_case(type(error).__name__)
    kind = getattr(error, "kind", None) if isinstance(error, NotFound) else None
    return error_body(status, str(error), f"{kind}_not_found" if kind else code)


def _retry_after(error: Exception, status: int) -> dict[str, str]:
    if status not in (429, 503):
        return {}
    return {"Retry-After": str(max(1, math.ceil(getattr(error, "retry_after_s", 1.0))))}


def _sentence(field: str, finding: Mapping[str, Any]) -> str:
    expected = finding["msg"].removeprefix("Value error, ")
    expected = expected[:1].lower() + expected[1:]
    if finding["type"] == "missing":
        return f"found no `{field}`; expected it: {expected}."
    shown = repr(finding["input"])
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return f"`{field}`: found {shown}; expected: {expected}."


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
