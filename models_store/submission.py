"""What was submitted, as frozen values: `Blob`, `Voice`, `Submission`.

A submission is addressed by the digest of its manifest, so the same content submitted twice is one
submission. Names are aliases kept by the store and are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Blob:
    """An immutable file, addressed by its content."""

    digest: str  # "sha256:<64 hex digits>"
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Voice:
    """Reference recordings of one speaker: mono float32 wav blobs at their own sample rates."""

    recordings: tuple[Blob, ...]
    duration_s: float
    language: str | None = None  # BCP-47
    transcript: str | None = None

    @property
    def id(self) -> str:
        """Digest of the recordings and the transcript: what a conditioning depends on."""
        return manifest_digest(voice_to_manifest(self))


@dataclass(frozen=True, slots=True)
class Submission:
    """One checked, content-addressed model.

    Roles of `blobs` for xtts: `weights` (safetensors, published tensor names, weight norm folded,
    training-only tensors gone), `config` (JSON, normalised by the intake) and `vocabulary` (vocab.json);
    for gpt_sovits: `sovits_weights`, `gpt_weights` and `config`, of the same kinds.
    """

    family: str
    variant: str
    languages: tuple[str, ...]  # BCP-47
    blobs: Mapping[str, Blob]
    voice: Voice  # the submission's own
    submitted_at: str  # ISO 8601, UTC; not part of the id

    @property
    def id(self) -> str:
        manifest = submission_to_manifest(self)
        del manifest["submitted_at"]
        return manifest_digest(manifest)

    @property
    def size_bytes(self) -> int:
        return sum(blob.size_bytes for blob in (*self.blobs.values(), *self.voice.recordings))


@dataclass(frozen=True, slots=True)
class SubmissionFiles:
    """A submission and where its blobs lie on this machine. Picklable, so any process can be handed one."""

    submission: Submission
    paths: Mapping[str, Path]  # role → file
    recordings: tuple[Path, ...]  # of the submission's own voice
    base_models: Mapping[str, Path] = field(default_factory=dict)  # role → folder, of those in the store

    @property
    def edition(self) -> str:
        """Which builds of the base models these are: the same for the same content, wherever it lies."""
        return " ".join(f"{role}={folder.name}" for role, folder in sorted(self.base_models.items()))

    @property
    def identity(self) -> str:
        """Equal for what reads a text alike: the submission, and the base models that it is read with."""
        return f"{self.submission.id} {self.edition}".rstrip()


def voice_to_manifest(voice: Voice) -> dict[str, Any]:
    return {
        "recordings": [_blob_to_manifest(blob) for blob in voice.recordings],
        "duration_s": voice.duration_s,
        "language": voice.language,
        "transcript": voice.transcript,
    }


def voice_from_manifest(manifest: Mapping[str, Any]) -> Voice:
    return Voice(
        recordings=tuple(Blob(**blob) for blob in manifest["recordings"]),
        duration_s=manifest["duration_s"],
        language=manifest["language"],
        transcript=manifest["transcript"],
    )


def submission_to_manifest(submission: Submission) -> dict[str, Any]:
    return {
        "family": submission.family,
        "variant": submission.variant,
        "languages": list(submission.languages),
        "blobs": {role: _blob_to_manifest(blob) for role, blob in sorted(submission.blobs.items())},
        "voice": voice_to_manifest(submission.voice),
        "submitted_at": submission.submitted_at,
    }


def submission_from_manifest(manifest: Mapping[str, Any]) -> Submission:
    return Submission(
        family=manifest["family"],
        variant=manifest["variant"],
        languages=tuple(manifest["languages"]),
        blobs={role: Blob(**blob) for role, blob in manifest["blobs"].items()},
        voice=voice_from_manifest(manifest["voice"]),
        submitted_at=manifest["submitted_at"],
    )


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return DIGEST_PREFIX + hashlib.sha256(canonical.encode()).hexdigest()


def _blob_to_manifest(blob: Blob) -> dict[str, Any]:
    return {"digest": blob.digest, "size_bytes": blob.size_bytes}
