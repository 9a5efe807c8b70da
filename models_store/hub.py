"""Downloads pinned files from a Hugging Face hub, or from a mirror that answers like one.

huggingface_hub is not used: its current releases (2.4) write to a file of a random name that goes with the
process, so an interrupted download of 2 GB begins again, and they compare sizes, not digests. What is left
of it then is one GET, for which httpx is here already.

A hub answers `<endpoint>/<repository>/resolve/<revision>/<path>`: with the file, or with a redirect to where
it is stored, whose X-Linked-Etag is the SHA-256 of its content.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

import httpx

from models_store.durable import digest_file, hex_of, publish_file
from models_store.errors import HubError, InUse, StorageError
from models_store.published import HubFile
from models_store.report import Progress, ProgressCallback
from models_store.submission import Blob

ATTEMPTS = 6  # in a row that bring not one byte
LONGEST_WAIT_S = 60.0
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')
CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)")
RANGE_NOT_SATISFIABLE = 416

NOT_A_HUB = "Check the endpoint: does a hub answer there?"
REFUSALS = {
    401: "Set HF_TOKEN to a token that may read it.",
    403: "Accept its terms on the hub's page and set HF_TOKEN to a token that may read it.",
    404: "Check the endpoint; a mirror may lack this repository.",
}


class Declared(NamedTuple):
    """What the hub says about a file."""

    size_bytes: int | None
    sha256: str | None


class _Interrupted(Exception):
    """Trying again may help."""

    def __init__(self, found: str, wait_s: float | None = None) -> None:
        super().__init__(found)
        self.wait_s = wait_s


class Hub:
    """A hub at an endpoint, such as https://huggingface.co. Any thread may download."""

    def __init__(
        self, endpoint: str, token: str | None = None, timeout_s: float = 30.0, retry_s: float = 1.0
    ) -> None:
        """`timeout_s` of silence and `retry_s`, doubled with each failure, are what a bad line may cost."""
        self.endpoint = endpoint.rstrip("/")
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "voicecore"}
        if token:  # httpx leaves it out where a redirect goes to another host
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        self._retry_s = retry_s

    def url(self, file: HubFile) -> str:
        return f"{self.endpoint}/{file.repository}/resolve/{file.revision}/{quote(file.path)}"

    def download(self, file: HubFile, target: Path, progress: ProgressCallback | None = None) -> Blob:
        """Bring a file to `target`, going on where an earlier download of it stopped.

        Until all of it has come and is what it should be, it lies beside `target` as `<name>.part`. A file
        that is at `target` already is taken for what was downloaded before, if its digest is still right.
        `progress` is called on this thread with the file's path as the phase; what it raises ends the
        download, which then can go on another time. Raises HubError, InUse, StorageError, OSError.
        """
        if target.exists() and _complaint(file, Declared(None, None), blob := digest_file(target)) is None:
            return blob
        part = target.with_name(f"{target.name}.part")
        with _exclusive(part) as output:
            blob = self._whole(file, part, output, progress)
            publish_file(part, target)
        return blob

    def _whole(self, file: HubFile, part: Path, output: BinaryIO, progress: ProgressCallback | None) -> Blob:
        """Where what an earlier process left behind was not the file's beginning, begin anew: once."""
        resumed = output.seek(0, os.SEEK_END) > 0
        while True:
            declared = self._receive(file, output, progress)
            output.flush()
            blob = digest_file(part)
            if (complaint := _complaint(file, declared, blob)) is None:
                return blob
            output.truncate(0)
            if not resumed:
                raise HubError(f"{self.url(file)}: {complaint} Try again; if it stays so, the hub is wrong.")
            resumed = False

    def _receive(self, file: HubFile, output: BinaryIO, progress: ProgressCallback | None) -> Declared:
        failures = 0
        while True:
            start = output.seek(0, os.SEEK_END)
            try:
                return self._receive_rest(file, output, start, progress)
            except (httpx.TooManyRedirects, httpx.InvalidURL) as error:
                raise HubError(f"{self.url(file)}: found {error}; expected the file. {NOT_A_HUB}") from error
            except (_Interrupted, httpx.TransportError) as error:
                came = output.seek(0, os.SEEK_END) > start
                failures = 1 if came else failures + 1
                if failures == ATTEMPTS:
                    raise HubError(
                        f"{self.url(file)}: found {str(error) or type(error).__name__}, {ATTEMPTS} times; "
                        "expected the file. What has come is kept: the same command goes on from there. "
                        "HF_ENDPOINT names another hub or a mirror."
                    ) from error
                wait_s = getattr(error, "wait_s", None)
                time.sleep(self._retry_s * 2 ** (failures - 1) if wait_s is None else wait_s)

    def _receive_rest(
        self, file: HubFile, output: BinaryIO, start: int, progress: ProgressCallback | None
    ) -> Declared:
        """From `start` on, as one response. Raises _Interrupted, httpx.TransportError, HubError."""
        headers = self._headers | ({"Range": f"bytes={start}-"} if start else {})
        client = httpx.Client(headers=headers, timeout=self._timeout_s, follow_redirects=True)
        with client, client.stream("GET", self.url(file)) as response:
            declared = _declared(response)
            if response.status_code == RANGE_NOT_SATISFIABLE:
                return _nothing_left(file, declared, output, start)
            self._check_status(file, response)
            if (first := _first_byte(response)) != start:
                if first:
                    raise _Interrupted(f"bytes from {first} on where those from {start} on were asked for")
                start = 0  # a server without ranges sends all of it
                output.truncate(0)
            size_bytes = self._check_size(file, declared, output, start)
            for chunk in response.iter_raw():
                output.write(chunk)
                start += len(chunk)
                if progress is not None:
                    progress(Progress(file.path, start, max(size_bytes or 0, start)))
        if size_bytes is not None and start < size_bytes:
            raise _Interrupted(f"{start} of {size_bytes} bytes")
        return declared

    def _check_status(self, file: HubFile, response: httpx.Response) -> None:
        status = response.status_code
        if response.is_success:
            return
        found = f"{status} {response.reason_phrase}"
        if status in TRANSIENT:
            raise _Interrupted(found, _retry_after_s(response))
        remedy = REFUSALS.get(status, "Look at the hub's page.")
        raise HubError(f"{self.url(file)}: found {found}; expected the file. {remedy}")

    def _check_size(self, file: HubFile, declared: Declared, output: BinaryIO, start: int) -> int | None:
        """What the whole file has. Raises HubError, and StorageError where the disk is too small."""
        if None not in (file.size_bytes, declared.size_bytes) and file.size_bytes != declared.size_bytes:
            raise HubError(
                f"{self.url(file)}: found a file of {declared.size_bytes} bytes; expected "
                f"{file.size_bytes}. This hub has something else under that name."
            )
        size_bytes = file.size_bytes or declared.size_bytes
        free_bytes = shutil.disk_usage(Path(output.name).parent).free
        if size_bytes is not None and size_bytes - start > free_bytes:
            raise StorageError(
                f"{output.name}: found {free_bytes} bytes free; expected {size_bytes - start} for what is "
                "left to download. Free space, or choose another data folder with VOICECORE_HOME."
            )
        return size_bytes


def _declared(response: httpx.Response) -> Declared:
    """By the hub, whose redirect knows the digest, and by where that led, which knows the size."""
    linked = next(
        (sha256 for step in (*response.history, response) if (sha256 := _linked_sha256(step))), None
    )
    if response.status_code in (206, RANGE_NOT_SATISFIABLE):
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return Declared(int(total) if total.isdecimal() else None, linked)


def _linked_sha256(response: httpx.Response) -> str | None:
    match = SHA256.fullmatch(response.headers.get("X-Linked-Etag", ""))
    return match[1] if match else None


def _first_byte(response: httpx.Response) -> int:
    """Where in the file the body begins."""
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(match["start"]) if response.status_code == 206 and match else 0


def _nothing_left(file: HubFile, declared: Declared, output: BinaryIO, start: int) -> Declared:
    """There are no bytes from `start` on: the download was complete, or of something else."""
    if start != (file.size_bytes or declared.size_bytes):
        output.truncate(0)
        raise _Interrupted("an earlier download longer than the file")
    return declared


def _retry_after_s(response: httpx.Response) -> float | None:
    """None: it doesn't say, or gives a date."""
    seconds = response.headers.get("Retry-After", "")
    return min(float(seconds), LONGEST_WAIT_S) if seconds.isdecimal() else None


def _complaint(file: HubFile, declared: Declared, blob: Blob) -> str | None:
    """Why these are not the file's bytes, or None. A pinned digest comes before a declared one."""
    size_bytes, sha256 = file.size_bytes or declared.size_bytes, file.sha256 or declared.sha256
    if size_bytes is not None and blob.size_bytes != size_bytes:
        return f"found {blob.size_bytes} bytes; expected {size_bytes}."
    if sha256 is not None and hex_of(blob.digest) != sha256:
        whose = "is pinned here" if file.sha256 else "the hub declares"
        return f"found content of {blob.digest}; expected sha256:{sha256}, which {whose}."
    return None


@contextmanager
def _exclusive(part: Path) -> Iterator[BinaryIO]:
    """The file, for this process alone: two that write to one file would ruin it."""
    with part.open("ab") as output:
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"{part} is being written by another process; expected one download of it at a time. "
                "Wait for the other one, or stop it: this one then goes on from there."
            ) from None
        yield output
