"""The process that listens to uploads: files by standard input, inspections by standard output.

    python -m providers.audio.analysis.process < job.json

A line per piece of news: {"progress": share} of all files, {"inspection": …} of each. It steps behind
whatever else the machine does, and its memory goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models_store.durable import digest_file
from providers.audio.analysis.analyse import analyse
from providers.audio.analysis.fingerprint import Fingerprint, shared_share
from providers.audio.analysis.report import Analysis
from providers.audio.analysis.rules import bound_of
from providers.audio.analysis.verdict import Inspection, judge

NICENESS = 5


@dataclass(frozen=True, slots=True)
class Job:
    files: dict[str, str]  # name → path
    scratch: str  # gets a fingerprint per file, called after its place: 0.npy, 1.npy …
    fingerprints: str = ""  # a folder of those to compare with, called after their digests
    digests: tuple[str, ...] = ()  # of what is stored
    opinions: bool = True


def main() -> None:
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    for news in inspect(Job(**json.load(sys.stdin))):
        print(json.dumps(news), flush=True)


def inspect(job: Job) -> Iterator[dict[str, Any]]:
    """What `main` prints."""
    known = _Known(Path(job.fingerprints) if job.fingerprints else None, set(job.digests))
    sizes = [Path(path).stat().st_size for path in job.files.values()]
    total, done = max(1, sum(sizes)), 0
    for place, (name, path) in enumerate(job.files.items()):

        def tell(share: float, before: int = done, size: int = sizes[place]) -> None:
            print(json.dumps({"progress": (before + share * size) / total}), flush=True)

        blob = digest_file(Path(path))
        analysis, fingerprint = analyse(Path(path), Path(job.scratch), tell, job.opinions)
        analysis, duplicate_of = known.compare(name, blob.digest, analysis, fingerprint)
        np.save(Path(job.scratch) / f"{place}.npy", fingerprint)
        verdict, findings = judge(analysis)
        inspection = Inspection(name, blob.digest, blob.size_bytes, verdict, findings, analysis, duplicate_of)
        yield {"inspection": asdict(inspection)}
        done += sizes[place]


class _Known:
    """What new recordings are compared with: what is stored, and what was in the same upload before them."""

    def __init__(self, folder: Path | None, digests: set[str]) -> None:
        self._paths = {path.stem: path for path in folder.glob("*.npy")} if folder and folder.is_dir() else {}
        self._digests = dict.fromkeys(digests, "")
        self._before: dict[str, Fingerprint] = {}

    def compare(
        self, name: str, digest: str, analysis: Analysis, fingerprint: Fingerprint
    ) -> tuple[Analysis, str | None]:
        """With `duplicate_share` measured, and of what, where it's worth being told."""
        if analysis.not_wav is not None:
            return analysis, None
        if digest in self._digests:
            share, of = 1.0, self._digests[digest] or digest
        else:
            share, of = max(self._shares(fingerprint), default=(0.0, ""))
        self._digests[digest] = name
        self._before[name] = fingerprint
        measured = replace(analysis, measurements=analysis.measurements | {"duplicate_share": share})
        return measured, of if share > bound_of("duplicate") else None

    def _shares(self, fingerprint: Fingerprint) -> Iterator[tuple[float, str]]:
        for stem, path in self._paths.items():
            yield shared_share(fingerprint, np.load(path)), f"sha256:{stem}"
        for name, before in self._before.items():
            yield shared_share(fingerprint, before), name


if __name__ == "__main__":
    main()
