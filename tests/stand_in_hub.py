"""A hub on loopback that answers as the real one does, and can be told to misbehave.

`<endpoint>/<owner>/<name>/resolve/<revision>/<path>` redirects large files to `/stored/<sha256>` with their
digest and size in the headers, and answers with small ones itself.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE_BYTES = 1_000
RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass(slots=True)
class Misbehaviour:
    """Each happens to the next so many requests for content."""

    failures: int = 0  # 503
    retry_after: str | None = None  # with them
    cuts: int = 0  # the connection is closed ...
    cut_bytes: int = 500  # ... after these
    without_ranges: bool = False
    refusal: int | None = None  # a status for everything
    corrupted: bool = False


@dataclass(slots=True)
class Seen:
    path: str
    range: str | None
    authorization: str | None


@dataclass(slots=True)
class StandInHub:
    endpoint: str = ""
    files: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)

    def publish(self, repository: str, revision: str, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            self.files[repository, revision, path] = content

    @property
    def ranges(self) -> list[str | None]:
        """Of the requests for content, in order."""
        return [request.range for request in self.seen if request.path.startswith("/stored/")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandInHub

    def do_GET(self) -> None:
        self.hub.seen.append(Seen(self.path, self.headers["Range"], self.headers["Authorization"]))
        if self.hub.misbehaviour.refusal:
            return self._answer(self.hub.misbehaviour.refusal, b"no")
        if self.path.startswith("/stored/"):
            return self._send_stored()
        match = RESOLVE.fullmatch(self.path)
        content = self.hub.files.get(tuple(match.groups())) if match else None  # type: ignore[arg-type]
        if content is None:
            return self._answer(404, b"Entry not found")
        if len(content) < LARGE_BYTES:
            return self._send(content)
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {
            "Location": f"/stored/{sha256}",
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
        }
        return self._answer(302, b"Found", headers)

    def _send_stored(self) -> None:
        odd = self.hub.misbehaviour
        if odd.failures:
            odd.failures -= 1
            return self._answer(503, b"busy", {"Retry-After": odd.retry_after} if odd.retry_after else {})
        sha256 = self.path.rpartition("/")[2]
        contents = {hashlib.sha256(content).hexdigest(): content for content in self.hub.files.values()}
        content = contents[sha256]
        return self._send(content[::-1] if odd.corrupted else content)

    def _send(self, content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(asked[1]) if asked and not self.hub.misbehaviour.without_ranges else 0
        if start >= len(content):
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        return self._answer(206 if start else 200, content[start:], headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        odd = self.hub.misbehaviour
        if odd.cuts and status in (200, 206) and len(body) > odd.cut_bytes:
            odd.cuts -= 1
            self.wfile.write(body[: odd.cut_bytes])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Serving:
    """Serves a hub until the end of the `with`."""

    def __enter__(self) -> StandInHub:
        hub = StandInHub()
        handler = type("Handler", (_Handler,), {"hub": hub})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        hub.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return hub

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
