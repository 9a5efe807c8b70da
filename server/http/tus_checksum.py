"""The checksum extension of tus: of a piece that is not what was sent, nothing is kept."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress

from server.http.errors import Refused

# What `Upload-Checksum` may name, in the order in which OPTIONS tells them.
ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
MISMATCH = 460  # the protocol's own status


class Checksum:
    """What a piece should come to, and what has come of it so far."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._algorithm = algorithm
        self._expected = expected
        self._hash = ALGORITHMS[algorithm]()

    def feed(self, data: bytes) -> None:
        self._hash.update(data)

    def check(self) -> None:
        """Raises Refused."""
        if self._hash.digest() != self._expected:
            message = (
                f"found a piece with the {self._algorithm} digest {self._hash.hexdigest()}; expected "
                f"{self._expected.hex()}. It is not kept: send it again."
            )
            raise Refused(MISMATCH, message, "checksum_mismatch")


def sent_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """`Upload-Checksum: sha256 base64`; None: there is none. Raises Refused."""
    sent = headers.get("upload-checksum")
    if sent is None:
        return None
    algorithm, _, encoded = sent.partition(" ")
    with suppress(ValueError):
        digest = b64decode(encoded, validate=True)
        if algorithm in ALGORITHMS and len(digest) == ALGORITHMS[algorithm]().digest_size:
            return Checksum(algorithm, digest)
    message = (
        f"found Upload-Checksum: {sent[:80]}; expected one of {', '.join(ALGORITHMS)}, a space, and the "
        "piece's digest, base64-encoded."
    )
    raise Refused(400, message, "invalid_upload_checksum")
