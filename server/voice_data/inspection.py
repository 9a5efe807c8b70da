"""Looking at recordings in a process of its own: neither HTTP nor speech waits for it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from models_store.report import Progress, ProgressCallback
from providers.audio.analysis.verdict import Inspection
from server.voice_data.errors import InspectionFailed

log = logging.getLogger(__name__)

PROGRAM = "providers.audio.analysis.process"
KEPT_OUTPUT_CHARS = 4_000


def inspect(
    files: Mapping[str, Path],
    scratch: Path,
    progress: ProgressCallback | None = None,
    *,
    fingerprints: Path | None = None,
    digests: Sequence[str] = (),
    opinions: bool = True,
) -> tuple[Inspection, ...]:
    """Name → file: an inspection each, in order; `scratch` keeps their fingerprints, 0.npy, 1.npy …

    What `progress` raises ends the process. Raises InspectionFailed.
    """
    job = {
        "files": {name: str(path.absolute()) for name, path in files.items()},
        "scratch": str(scratch),
        "fingerprints": str(fingerprints) if fingerprints else "",
        "digests": list(digests),
        "opinions": opinions,
    }
    total_bytes = sum(path.stat().st_size for path in files.values())

    def told(share: float) -> None:
        if progress is not None:
            progress(Progress("listen", round(share * total_bytes), total_bytes))

    return _run(job, told)


def _run(job: dict[str, object], told: Callable[[float], None]) -> tuple[Inspection, ...]:
    inspections: list[Inspection] = []
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        assert process.stdin
        assert process.stdout
        try:
            with suppress(BrokenPipeError):  # it has died: its status tells
                process.stdin.write(json.dumps(job))
                process.stdin.close()
            for line in process.stdout:
                news = json.loads(line)
                if "inspection" in news:
                    inspections.append(msgspec.convert(news["inspection"], Inspection))
                else:
                    told(news["progress"])
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if status:
            errors.seek(0)
            log.error(
                "inspecting recordings failed: %s",
                errors.read().decode(errors="replace")[-KEPT_OUTPUT_CHARS:],
            )
            raise InspectionFailed(
                f"found the process that listens to recordings ended with {status}; expected its report. "
                "The server's log tells why."
            )
    return tuple(inspections)
