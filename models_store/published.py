"""What others have published and we can name exactly: files on a hub at one commit, with their digests.

A digest is here only where several independent sources state the same one; `None` means that it is not
pinned, and then what the hub itself declares is all there is to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a hub's repository at a commit, so that its content never changes."""

    repository: str  # "owner/name"
    revision: str  # a commit's 40 hex digits
    path: str  # inside the repository
    size_bytes: int | None = None  # None: not known
    sha256: str | None = None  # 64 hex digits; None: not pinned


@dataclass(frozen=True, slots=True)
class PublishedSubmission:
    """A published model that becomes a submission once its files have the names of the layout."""

    name: str
    title: str
    licence: str
    licence_file: HubFile  # whose text is to be accepted
    files: Mapping[str, HubFile]  # name in the submission's folder → where it is

    @property
    def size_bytes(self) -> int:
        """As far as known."""
        return sum(file.size_bytes or 0 for file in self.files.values())


def _xtts_v2(path: str, size_bytes: int | None = None, sha256: str | None = None) -> HubFile:
    return HubFile("coqui/XTTS-v2", "6c2b0d75eae4b7047358e3b6bd9325f857d43f77", path, size_bytes, sha256)


PUBLISHED = {
    published.name: published
    for published in (
        PublishedSubmission(
            name="xtts-v2",
            title="XTTS-v2, 17 languages",
            licence="Coqui Public Model License 1.0.0: non-commercial use of the model and of what it says",
            licence_file=_xtts_v2("LICENSE.txt"),
            files={
                "config.json": _xtts_v2(
                    "config.json", 4_368, "ef262b1454dd2a77e1461b0b2cd53e19b8a7624cc131b837d36df67356bc75e8"
                ),
                "vocab.json": _xtts_v2(
                    "vocab.json", 361_219, "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a"
                ),
                "audio.wav": _xtts_v2("samples/en_sample.wav"),
                "model.pth": _xtts_v2(
                    "model.pth",
                    1_867_929_118,
                    "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187",
                ),
            },
        ),
    )
}
