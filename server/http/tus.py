"""The tus protocol 1.0, by which a file arrives in pieces: headers in, headers out. https://tus.io

Ours, because the package for FastAPI (tuspyserver 4.4) counts what has arrived beside the file and appends
wherever the file ends: killed in between, it goes on at the wrong place. It also writes, and waits for its
locks, on the event loop, and acknowledges what is not on the disk.
"""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate

import structlog
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from models_store.errors import StorageError
from models_store.report import GIB
from models_store.resumable_uploads import Announced, ResumableUpload, ResumableUploads, StagedPiece
from server.http.errors import Refused
from server.http.tus_checksum import Checksum, sent_checksum
from server.http.uploads import in_pieces
from server.settings import Settings

log = structlog.get_logger()

VERSION = "1.0.0"
EXTENSIONS = "checksum,creation,creation-with-upload,expiration,termination"
PIECE_TYPE = "application/offset+octet-stream"
# What pages of other origins must be let read.
RESPONSE_HEADERS = ("Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires", "Upload-Metadata")

MAX_METADATA_BYTES = 4096
SYNC_BYTES = 64 * 2**20  # written before they are waited for, so that the end needn't wait for gigabytes
EXPIRY_INTERVAL_S = 3600.0
IDLE_S = 60.0  # a connection that brings nothing for so long is dead


@dataclass(frozen=True, slots=True)
class Purpose:
    """What files may be sent for. Whoever takes the files asks for them by its name."""

    max_bytes: Callable[[Settings], int]  # of files that are handed in together


# `purpose` of an upload's metadata → its row.
PURPOSES: Mapping[str, Purpose] = {
    "submission": Purpose(lambda settings: round(settings.max_upload_gib * GIB)),
    "voice_data": Purpose(lambda settings: round(settings.max_upload_gib * GIB)),
}


def largest_bytes(settings: Settings) -> int:
    return max(purpose.max_bytes(settings) for purpose in PURPOSES.values())


class TusRoute(APIRoute):
    """Says the version in whatever it answers, errors included."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = VERSION
            await send(message)

        await super().handle(scope, receive, send_with_version)


def check_version(request: Request) -> None:
    """Raises Refused."""
    found = request.headers.get("tus-resumable", "")
    if found != VERSION:
        message = f"found Tus-Resumable: {found or 'none'}; expected {VERSION}."
        raise Refused(412, message, "unsupported_tus_version", headers={"Tus-Version": VERSION})


def find_purpose(name: str) -> Purpose:
    """Raises Refused."""
    if name not in PURPOSES:
        message = f"found the purpose {name[:80]!r}; expected one of {', '.join(PURPOSES)}."
        raise Refused(422, message, "invalid_value", "purpose")
    return PURPOSES[name]


def announced(headers: Mapping[str, str]) -> Announced:
    """What a creation says about its file. Raises Refused, BadUpload."""
    if "upload-defer-length" in headers:
        message = "found Upload-Defer-Length; expected Upload-Length: the size must be known beforehand."
        raise Refused(400, message, "length_required")
    sent = headers.get("upload-metadata", "")
    metadata = _metadata(sent)
    if "filename" not in metadata:
        message = "found no `filename` in Upload-Metadata; expected the file's name, base64-encoded."
        raise Refused(400, message, "invalid_upload_metadata", "filename")
    return Announced(
        file_name=metadata["filename"],
        length_bytes=byte_count(headers, "Upload-Length"),
        purpose=metadata.get("purpose", "submission"),
        group=metadata.get("group", ""),
        metadata=sent,
    )


def byte_count(headers: Mapping[str, str], name: str) -> int:
    """Raises Refused."""
    found = headers.get(name.lower(), "")
    if not (found.isascii() and found.isdecimal() and len(found) <= 18):
        raise Refused(
            400, f"found {name}: {found[:80] or 'none'}; expected a number of bytes.", "bad_request"
        )
    return int(found)


def _metadata(sent: str) -> dict[str, str]:
    """`key base64, key base64`; a key without a value has an empty one."""
    if len(sent) > MAX_METADATA_BYTES:
        message = f"found {len(sent)} bytes of Upload-Metadata; expected at most {MAX_METADATA_BYTES}."
        raise Refused(413, message, "invalid_upload_metadata")
    pairs = (item.strip().partition(" ") for item in sent.split(",") if item.strip())
    try:
        return {key: b64decode(value, validate=True).decode() for key, _, value in pairs}
    except (binascii.Error, UnicodeDecodeError):
        message = "found Upload-Metadata that can't be read; expected `key base64` pairs with commas between."
        raise Refused(400, message, "invalid_upload_metadata") from None


def state_headers(upload: ResumableUpload) -> dict[str, str]:
    """How far it is, and until when it waits for its rest."""
    return {
        "Upload-Offset": str(upload.offset_bytes),
        "Upload-Expires": formatdate(upload.expires_at, usegmt=True),
        "Cache-Control": "no-store",
    }


def check_piece(request: Request, upload: ResumableUpload, offset_bytes: int) -> None:
    """What can be said before the body is read. Raises Refused."""
    found = request.headers.get("content-type", "none")
    if found != PIECE_TYPE:
        message = f"found the content type {found[:80]!r}; expected {PIECE_TYPE}."
        raise Refused(415, message, "unsupported_media_type")
    if "content-length" not in request.headers:
        return
    end, length = offset_bytes + byte_count(request.headers, "Content-Length"), upload.announced.length_bytes
    if end > length:
        message = f"found a piece that ends at byte {end}; expected none beyond the announced {length}."
        raise Refused(413, message, "upload_too_large")


async def receive_piece(
    request: Request, uploads: ResumableUploads, upload: ResumableUpload, offset_bytes: int
) -> ResumableUpload:
    """Append the body. What came before it breaks off stays, for the sender to go on from there.

    With a checksum all of it stays or nothing.

    Raises Refused, and what `ResumableUploads.append` raises.
    """
    pieces = in_pieces(_while_alive(request))
    checksum = sent_checksum(request.headers)
    if checksum is None:
        return await _append(pieces, uploads, upload, offset_bytes)
    with await asyncio.to_thread(uploads.stage, upload) as staged:
        async for piece in pieces:
            await asyncio.to_thread(_stage, staged, checksum, piece)
        checksum.check()
        return await _append(_read_back(staged), uploads, upload, offset_bytes)


def _stage(staged: StagedPiece, checksum: Checksum, piece: bytes) -> None:
    checksum.feed(piece)
    staged.write(piece)


async def _read_back(staged: StagedPiece) -> AsyncIterator[bytes]:
    blocks = staged.read_back()
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block


async def _append(
    pieces: AsyncIterator[bytes], uploads: ResumableUploads, upload: ResumableUpload, offset_bytes: int
) -> ResumableUpload:
    unsynced = 0
    async for piece in pieces:
        offset_bytes = await asyncio.to_thread(uploads.append, upload, offset_bytes, piece)
        unsynced += len(piece)
        if unsynced >= SYNC_BYTES:
            await asyncio.to_thread(uploads.get, upload.id)
            unsynced = 0
    return await asyncio.to_thread(uploads.get, upload.id)


async def _while_alive(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), IDLE_S)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            message = f"found nothing on this connection for {IDLE_S:g} s; ask for the offset and go on."
            raise Refused(408, message, "request_timeout") from None
        yield chunk


async def expire_uploads(uploads: ResumableUploads) -> None:
    """For ever: the disk is wanted for other things than uploads, so this can't wait for the next of them."""
    while True:
        try:
            await asyncio.to_thread(uploads.expire)
        except StorageError:
            log.exception("expired uploads are still there")
        await asyncio.sleep(EXPIRY_INTERVAL_S)
