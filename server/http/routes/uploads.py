"""Resumable uploads: files that arrive in pieces, by the tus protocol 1.0, until somebody takes them."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from server.http.openapi import binary, headers
from server.http.services import Serving
from server.http.tus import (
    EXTENSIONS,
    PIECE_TYPE,
    VERSION,
    TusRoute,
    announced,
    byte_count,
    check_piece,
    check_version,
    find_purpose,
    receive_piece,
    state_headers,
)
from server.http.tus_checksum import ALGORITHMS

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=TusRoute)

SPEAKS_TUS = [Depends(check_version)]

_ANNOUNCEMENT = headers(
    **{
        "Tus-Resumable": VERSION,
        "Upload-Length": "Bytes of the file.",
        "Upload-Metadata": "`filename`, and if need be `purpose` (submission) and `group`, base64-encoded: "
        "files of one group are handed in together.",
    }
)
_PIECE = headers(
    optional=("Upload-Checksum",),
    **{
        "Tus-Resumable": VERSION,
        "Upload-Offset": "Where the upload ends, as HEAD says it.",
        "Upload-Checksum": f"{' or '.join(ALGORITHMS)}, a space, and the piece's digest, base64-encoded. "
        "A piece that is something else is refused with 460, and nothing of it kept.",
    },
)


@router.options("", status_code=204)
async def describe_uploads(
    services: Serving, purpose: Annotated[str, Query(description="What the files are for.")] = "submission"
) -> Response:
    """What this server can do: tus's version, extensions and the most that may be handed in together."""
    limit = find_purpose(purpose).max_bytes(services.settings)
    told = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        "Tus-Max-Size": str(limit),
    }
    return Response(status_code=204, headers=told)


@router.post("", status_code=201, dependencies=SPEAKS_TUS, openapi_extra=_ANNOUNCEMENT)
async def create_upload(request: Request, services: Serving) -> Response:
    """Announce a file; its first piece may be the body."""
    file = announced(request.headers)
    limit = find_purpose(file.purpose).max_bytes(services.settings)
    upload = await asyncio.to_thread(services.uploads.create, file, limit)
    if request.headers.get("content-type") == PIECE_TYPE:
        check_piece(request, upload, 0)
        upload = await receive_piece(request, services.uploads, upload, 0)
    location = {"Location": f"/v1/uploads/{upload.id}"}
    return Response(status_code=201, headers=location | state_headers(upload))


@router.head("/{upload_id}", dependencies=SPEAKS_TUS)
async def get_upload(upload_id: str, services: Serving) -> Response:
    """How far it is."""
    upload = await asyncio.to_thread(services.uploads.get, upload_id)
    file = {"Upload-Length": str(upload.announced.length_bytes), "Upload-Metadata": upload.announced.metadata}
    return Response(status_code=200, headers=file | state_headers(upload))


@router.patch(
    "/{upload_id}", status_code=204, dependencies=SPEAKS_TUS, openapi_extra=_PIECE | binary(PIECE_TYPE)
)
async def append_to_upload(upload_id: str, request: Request, services: Serving) -> Response:
    """Add what follows: on the disk when this answers. What came of a piece that broke off counts as well."""
    offset_bytes = byte_count(request.headers, "Upload-Offset")
    upload = await asyncio.to_thread(services.uploads.get, upload_id)
    check_piece(request, upload, offset_bytes)
    upload = await receive_piece(request, services.uploads, upload, offset_bytes)
    return Response(status_code=204, headers=state_headers(upload))


@router.delete("/{upload_id}", status_code=204, dependencies=SPEAKS_TUS)
async def give_up_upload(upload_id: str, services: Serving) -> Response:
    """Give it up."""
    await asyncio.to_thread(services.uploads.remove, upload_id)
    return Response(status_code=204)
