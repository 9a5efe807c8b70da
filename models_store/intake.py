"""An upload, from untrusted folder or archive to files that can't execute anything."""

from __future__ import annotations

import tempfile
from pathlib import Path

from models_store.report import Checked, Limits, ProgressCallback, Report


def read_submission(
    path: Path,
    scratch: Path,
    progress: ProgressCallback | None = None,
    limits: Limits | None = None,
) -> Checked:
    """Unpack, recognise, check and convert an upload: a folder, .zip, .tar or .tar.gz.

    `scratch` is an existing directory of the caller's, on the store's file system, into which archives are
    unpacked and converted files are written; the caller removes it. Nothing that is wrong with the upload raises:
    it is in the report. `progress` is called on this thread; what it raises ends the intake.
    Raises NotFound where `path` is nothing.
    """
    raise NotImplementedError


def check(path: Path, progress: ProgressCallback | None = None, limits: Limits | None = None) -> Report:
    """The report that `read_submission` would give, leaving nothing behind."""
    with tempfile.TemporaryDirectory(prefix="voicecore-check-") as scratch:
        return read_submission(path, Path(scratch), progress, limits).report
