"""A build of a base model, as someone has it → the folder that the store keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from models_store.archives import read_files
from models_store.base_roles import WEIGHTS_FILE, Role, RoleFile
from models_store.durable import digest_file, hex_of
from models_store.errors import Problem, SubmissionError
from models_store.report import GIB, Limits, Progress, ProgressCallback
from models_store.sandbox import ResourceLimits, SandboxFailure, run_confined
from models_store.submission import Blob

LIMITS = ResourceLimits(memory_bytes=2 * GIB, cpu_s=900, file_bytes=8 * GIB, timeout_s=1_800.0)
CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Build:
    folder: Path  # what the store keeps, in the caller's scratch folder
    given: Mapping[str, Blob]  # what it was made of, by name
    unpinned: tuple[str, ...]  # those of `given` that aren't the published build's, with their digests


def read_build(path: Path, role: Role, scratch: Path, progress: ProgressCallback | None = None) -> Build:
    """Check and convert. `path` is a folder, an archive of one, or the only file that the role has.

    Raises SubmissionError with every problem.
    """
    given = _given_files(path, role, scratch, progress)
    _check_config(given, role)
    folder = scratch / "build"
    folder.mkdir()
    names = _keep(given, role, folder, progress)
    if role.tells and (untold := [end for end in role.tells if not any(n.endswith(end) for n in names)]):
        found = f"weights without {', '.join(untold)}"
        _refuse("MissingTensor", "", found, f"those of {role.title}", "Is it meant for another role?")
    blobs = {file.name: digest_file(file) for file in given.values()}
    pins = {file.name: file.sha256 for file in role.files}
    unpinned = tuple(
        f"{name} ({blob.digest})"
        for role_file, name, blob in ((key, file.name, blobs[file.name]) for key, file in given.items())
        if pins[role_file] not in (None, hex_of(blob.digest))
    )
    return Build(folder, blobs, unpinned)


def _given_files(
    path: Path, role: Role, scratch: Path, progress: ProgressCallback | None
) -> Mapping[str, Path]:
    """Name in the role's layout → the file that was given for it."""
    if path.is_file() and len(role.files) == 1:
        return {role.files[0].name: path}
    if path.is_dir():
        files: Mapping[str, Path] = {entry.name: entry for entry in path.iterdir() if entry.is_file()}
    else:
        files = _unpack(path, scratch, progress)
    given = {file.name: found for file in role.files if (found := _find(files, file))}
    if missing := [file for file in role.files if file.name not in given]:
        raise SubmissionError([_missing(file) for file in missing])
    return given


def _unpack(path: Path, scratch: Path, progress: ProgressCallback | None) -> Mapping[str, Path]:
    """Under their own names, which they lose in an archive's unpacking."""
    unpacked, named = scratch / "unpacked", scratch / "named"
    unpacked.mkdir()
    named.mkdir()
    paths, problems = read_files(path, unpacked, progress, Limits())
    if problems:
        raise SubmissionError(problems)
    return {name: file.rename(named / name) for name, file in paths.items() if "/" not in name}


def _find(files: Mapping[str, Path], file: RoleFile) -> Path | None:
    """Tensors may come as safetensors just as well."""
    return files.get(file.name) or (files.get(WEIGHTS_FILE) if file.holds_tensors else None)


def _missing(file: RoleFile) -> Problem:
    expected = f"{file.name} or {WEIGHTS_FILE}" if file.holds_tensors else file.name
    return Problem("MissingFile", file.name, "no such file", expected, "Add it to the folder.")


def _check_config(given: Mapping[str, Path], role: Role) -> None:
    if role.model_type is None:
        return
    with given[CONFIG_FILE].open("rb") as file:
        content = file.read(MAX_CONFIG_BYTES)
    try:
        config = json.loads(content)
    except ValueError:
        config = None
    found = config.get("model_type") if isinstance(config, dict) else None
    if found != role.model_type:
        expected = f"{role.model_type!r}, as {role.title.partition(':')[0]} has it"
        remedy = "Is it meant for another role?"
        _refuse("BadConfig", CONFIG_FILE, f"the model_type {found!r}", expected, remedy)


def _keep(
    given: Mapping[str, Path], role: Role, folder: Path, progress: ProgressCallback | None
) -> Sequence[str]:
    """Copy what is harmless and convert what isn't: the names of the tensors."""
    names: Sequence[str] = ()
    for file in role.files:
        source = given[file.name]
        if not file.holds_tensors:
            shutil.copyfile(source, folder / file.name)
        elif source.suffix == ".safetensors":
            names = _tensor_names(source)
            shutil.copyfile(source, folder / WEIGHTS_FILE)
        else:
            names = _convert(source, folder / WEIGHTS_FILE, progress)
    return names


def _tensor_names(path: Path) -> Sequence[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return [*file.keys()]
    except SafetensorError as error:
        _refuse("BadCheckpoint", path.name, f"no safetensors file ({error})", "one", "Get it again.")


def _convert(source: Path, target: Path, progress: ProgressCallback | None) -> Sequence[str]:
    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress("convert", done, total))

    try:
        outcome = run_confined(
            "models_store.checkpoints.state_dict:convert",
            inputs={"checkpoint": source.resolve()},
            outputs={"weights": target},
            arguments={},
            limits=LIMITS,
            progress=report,
        )
    except SandboxFailure as failure:
        remedy = "Get the file again from where it was published."
        _refuse("BadCheckpoint", source.name, f"a file whose reader {failure.found}", "a checkpoint", remedy)
    if problems := outcome.result["problems"]:
        raise SubmissionError([Problem(**{**problem, "file": source.name}) for problem in problems])
    names: Sequence[str] = outcome.result["names"]
    return names


def _refuse(code: str, file: str, found: str, expected: str, remedy: str) -> NoReturn:
    raise SubmissionError([Problem(code, file, found, expected, remedy)])
