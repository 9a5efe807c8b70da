"""A request's body to files on disk, piece by piece: never whole in memory, never on the event loop.

Takes a bare archive as the body, or multipart/form-data with files and fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from server.http.errors import Refused, refusal_of

Body = TypeVar("Body", bound=BaseModel)

MAX_JSON_BYTES = 2**20
WRITE_BYTES = 2**20  # what is collected before a thread is asked to write it
MAX_PARTS = 200
MAX_FIELD_BYTES = 64 * 2**10

# Content types of a bare archive, and the suffix that names the same.
ARCHIVE_SUFFIXES = {
    "application/zip": ".zip",
    "application/x-zip-compressed": ".zip",
    "application/x-tar": ".tar",
    "application/tar": ".tar",
    "application/gzip": ".tar.gz",
    "application/x-gzip": ".tar.gz",
    "application/x-gtar": ".tar.gz",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """What a body held. Files keep the last part of their names; fields are text."""

    folder: Path
    files: tuple[Path, ...]
    fields: dict[str, str]


async def receive_upload(request: Request, folder: Path) -> Upload:
    """Write a body's files into an existing, empty folder. Raises Refused."""
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    kind = content_type.decode("latin-1").lower()
    body: _Body
    if kind == "multipart/form-data" and (boundary := options.get(b"boundary")):
        body = _MultipartBody(folder, boundary)
    elif (suffix := ARCHIVE_SUFFIXES.get(kind)) is not None:
        body = _BareBody(folder / f"upload{suffix}")
    else:
        raise Refused(
            415,
            f"found the content type {kind or 'none'!r}; expected multipart/form-data, or an archive as "
            f"{', '.join(ARCHIVE_SUFFIXES)}.",
            "unsupported_media_type",
        )
    try:
        async for piece in in_pieces(request.stream()):
            await asyncio.to_thread(body.write, piece)
        return await asyncio.to_thread(body.finish)
    finally:
        body.close()


async def read_json(request: Request, model: type[Body]) -> Body:
    """A body where another could be of any size. Raises Refused."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_JSON_BYTES:
            message = f"found a JSON body of more than {MAX_JSON_BYTES} bytes; send less."
            raise Refused(413, message, "body_too_large")
    try:
        return model.model_validate_json(received)
    except ValidationError as error:
        raise _refusal(error) from None


def read_fields(fields: Mapping[str, str], model: type[Body]) -> Body:
    """A form's fields, which are text. Raises Refused."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> Refused:
    return refusal_of([finding | {"loc": ("body", *finding["loc"])} for finding in error.errors()])


async def in_pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body in pieces worth a thread; what came before it broke off is the last, and then that raises."""
    collected = bytearray()
    broken_off: Exception | None = None
    try:
        async for chunk in stream:
            collected += chunk
            if len(collected) >= WRITE_BYTES:
                yield bytes(collected)
                collected.clear()
    except Exception as error:
        broken_off = error
    yield bytes(collected)
    if broken_off is not None:
        raise broken_off


class _Body(Protocol):
    def write(self, data: bytes) -> None: ...
    def finish(self) -> Upload: ...
    def close(self) -> None: ...


class _BareBody:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def finish(self) -> Upload:
        self._file.close()
        return Upload(self._path.parent, (self._path,), {})

    def close(self) -> None:
        self._file.close()


@dataclass
class _Part:
    """The part that is being read. A part with a file name is a file, any other a field."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytes = b""
    header_value: bytes = b""
    name: str = ""
    file: BinaryIO | None = None
    value: bytes = b""


class _MultipartBody:
    def __init__(self, folder: Path, boundary: bytes) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self._fields: dict[str, str] = {}
        self._part = _Part()
        self._num_parts = 0
        self._is_complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._complete,
            },
        )

    def write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Refused(400, f"found a damaged multipart body: {error}.", "invalid_multipart") from error

    def finish(self) -> Upload:
        if not self._is_complete:
            raise Refused(400, "found a multipart body without its end; send it whole.", "invalid_multipart")
        return Upload(self._folder, tuple(self._files), self._fields)

    def close(self) -> None:
        if self._part.file is not None:
            self._part.file.close()

    def _begin(self) -> None:
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise Refused(413, f"found more than {MAX_PARTS} parts; send an archive.", "too_many_parts")
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[part.header_name.lower()] = part.header_value
        part.header_name = part.header_value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            path = self._folder / _file_name(options[b"filename"].decode("utf-8", "replace"))
            if path in self._files:
                raise Refused(422, f"found two files called {path.name!r}; expected one.", "duplicate_file")
            self._part.file = path.open("xb")
            self._files.append(path)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.file is not None:
            self._part.file.write(data[start:end])
            return
        self._part.value += data[start:end]
        if len(self._part.value) > MAX_FIELD_BYTES:
            message = f"`{self._part.name}`: found more than {MAX_FIELD_BYTES} bytes; send less."
            raise Refused(413, message, "field_too_large", self._part.name)

    def _end(self) -> None:
        if self._part.file is not None:
            self._part.file.close()
        else:
            self._fields[self._part.name] = self._part.value.decode("utf-8", "replace")

    def _complete(self) -> None:
        self._is_complete = True


def _file_name(sent: str) -> str:
    """The last part of a path in either system's spelling: nothing that leads out of the folder."""
    name = PurePosixPath(sent.replace("\\", "/")).name
    if name in ("", "..") or not name.isprintable() or len(name.encode()) > 255:
        message = f"found a file called {sent[:80]!r}; expected a plain file name."
        raise Refused(422, message, "invalid_file_name")
    return name
