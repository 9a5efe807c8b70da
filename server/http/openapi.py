"""Bodies that routes read from the wire themselves, described for the OpenAPI page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel

from server.http.uploads import ARCHIVE_SUFFIXES

FILE_FIELDS = {"file", "audio_sample"}


def multipart(required: Sequence[str] = (), **fields: str) -> dict[str, Any]:
    """`openapi_extra` of a form: field → its sentence."""
    return {"requestBody": {"required": True, "content": _form(required, fields)}}


def multipart_archive_or(model: type[BaseModel], **fields: str) -> dict[str, Any]:
    """`openapi_extra` of a form that may also be an archive as the whole body, or this JSON."""
    archive = {"schema": {"type": "string", "format": "binary"}}
    content = _form((), fields) | {media_type: archive for media_type in ARCHIVE_SUFFIXES}
    content["application/json"] = {"schema": model.model_json_schema()}
    return {"requestBody": {"required": True, "content": content}}


def binary(media_type: str) -> dict[str, Any]:
    """`openapi_extra` of a body of bytes."""
    schema = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def headers(optional: Collection[str] = (), **fields: str) -> dict[str, Any]:
    """`openapi_extra` of headers that a route reads itself: header → its sentence."""
    return {
        "parameters": [
            {
                "in": "header",
                "name": name,
                "required": name not in optional,
                "description": sentence,
                "schema": _schema(name),
            }
            for name, sentence in fields.items()
        ]
    }


def _form(required: Sequence[str], fields: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"description": sentence} | _schema(name) for name, sentence in fields.items()}
    schema = {"type": "object", "required": list(required), "properties": properties}
    return {"multipart/form-data": {"schema": schema}}


def _schema(name: str) -> dict[str, Any]:
    if name in FILE_FIELDS:
        return {"type": "array", "items": {"type": "string", "format": "binary"}}
    return {"type": "string"}
