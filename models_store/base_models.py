"""The base models in the store: which build of each role is there, how one comes in, and what is missing.

<root>/base_models/<role>/current         the name of the folder that counts
<root>/base_models/<role>/<digits>/       a build: the role's files, and manifest.json

A build's folder is never changed. One that was replaced stays until the next is, for those who hold its path.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from models_store.base_intake import read_build
from models_store.base_roles import ROLES, Role, need
from models_store.durable import digest_file, flocked, hex_of, publish_file, sync, write_atomically
from models_store.errors import MissingBaseModels, NotFound, Problem
from models_store.report import ProgressCallback, Report
from models_store.submission import Blob, Submission, SubmissionFiles, manifest_digest

CURRENT = "current"
MANIFEST = "manifest.json"
FOLDER_DIGITS = 16


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A build of a role, in the store."""

    role: str
    folder: Path
    given: Mapping[str, Blob]  # the files it was made of, by their names there
    kept: Mapping[str, Blob]  # those in the folder
    is_pinned: bool  # every file whose digest is pinned has that digest

    @property
    def size_bytes(self) -> int:
        return sum(blob.size_bytes for blob in self.kept.values())


class AddedBaseModel(NamedTuple):
    base_model: BaseModel
    unpinned: tuple[str, ...]  # files that aren't the pinned ones, with their digests
    is_new: bool  # False: this build had been there before
    replaced: bool  # there was another build until now


class Missing(NamedTuple):
    role: str
    consequence: str
    is_optional: bool


class BaseModels:
    """The area `root` of the store. Making one writes nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Reading

    def get(self, role: str) -> BaseModel | None:
        """The build that counts; None: there is none, or one that `verify` would call damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return self._read(role)
        return None

    def _read(self, role: str) -> BaseModel:
        """Raises OSError, ValueError, KeyError, TypeError."""
        folder = self.root / role / (self.root / role / CURRENT).read_text()
        manifest = json.loads((folder / MANIFEST).read_bytes())
        given, kept = (
            {name: Blob(**blob) for name, blob in manifest[part].items()} for part in ("given", "kept")
        )
        build = BaseModel(role, folder, given, kept, manifest["is_pinned"])
        if any((folder / name).stat().st_size != blob.size_bytes for name, blob in kept.items()):
            raise ValueError("a file of another size than was written")
        return build

    def verify(self, deep: bool = False) -> Iterator[Problem]:
        """What is damaged; with `deep` every byte is read."""
        for role in ROLES:
            place = f"base_models/{role}"
            remedy = f"Check the disk, then get it again with `voicecore base pull {role}`."
            if not (self.root / role / CURRENT).exists():
                continue
            try:
                build = self._read(role)
            except (OSError, ValueError, KeyError, TypeError) as error:
                found = f"a damaged base model ({error})"[:200]
                yield Problem("DamagedStore", place, found, "the one that was put there", remedy)
                continue
            for name, blob in build.kept.items() if deep else ():
                if digest_file(build.folder / name) != blob:
                    found = "other content than was written"
                    yield Problem("DamagedStore", f"{place}/{name}", found, blob.digest, remedy)

    def folders(self, submission: Submission) -> dict[str, Path]:
        """Role → folder, of all that are here and that a submission of this kind can use."""
        found = {role.name: self.get(role.name) for role in wanted_by(submission)}
        return {role: build.folder for role, build in found.items() if build is not None}

    def missing(self, submission: Submission, languages: Iterable[str] | None = None) -> tuple[Missing, ...]:
        """What is not here and would be wanted for these languages; None: for all the submission's."""
        return self.missing_for(
            submission.family, submission.variant, submission.languages if languages is None else languages
        )

    def missing_for(
        self, family: str | None, variant: str | None, languages: Iterable[str]
    ) -> tuple[Missing, ...]:
        spoken = tuple(languages)
        return tuple(
            Missing(role.name, wanted.consequence, wanted.is_optional)
            for role in ROLES.values()
            if (wanted := need(role, family, variant, spoken)) and self.get(role.name) is None
        )

    def completed(self, report: Report) -> Report:
        """A report on an upload, with a warning for each base model that it wants and that is missing."""
        missing = self.missing_for(report.family, report.variant, report.languages) if report.ok else ()
        return replace(report, warnings=(*report.warnings, *map(_warning, missing)))

    # Changing

    def add(
        self, path: Path, role_name: str, scratch: Path, progress: ProgressCallback | None = None
    ) -> AddedBaseModel:
        """Take in any build of a role: a folder of its published layout, an archive of one, or its only file.

        Checkpoints are read in the sandbox and kept as safetensors. `scratch` is an existing folder on the
        root's file system. Raises SubmissionError with every problem, NotFound for an unknown role.
        """
        role = find_role(role_name)
        before = self.get(role.name)
        build = read_build(path, role, scratch, progress)
        kept = {path.name: digest_file(path) for path in build.folder.iterdir()}
        manifest = {
            "role": role.name,
            "given": {name: asdict(blob) for name, blob in sorted(build.given.items())},
            "kept": {name: asdict(blob) for name, blob in sorted(kept.items())},
            "is_pinned": not build.unpinned,
        }
        (build.folder / MANIFEST).write_text(json.dumps(manifest, indent=2))
        current = self._publish(role, build.folder, manifest, scratch)
        return AddedBaseModel(current, build.unpinned, current != before, before not in (None, current))

    def _publish(self, role: Role, source: Path, manifest: Mapping[str, Any], scratch: Path) -> BaseModel:
        """Let it count. Interrupted before the last step, the build that counted until now still does."""
        folder = self.root / role.name / hex_of(manifest_digest(manifest))[:FOLDER_DIGITS]
        with self._changing(role):
            before = self.get(role.name)
            if not _is_whole(folder, manifest):
                shutil.rmtree(folder, ignore_errors=True)
                for file in source.iterdir():
                    file.chmod(0o444)
                    sync(file)
                publish_file(source, folder)
            write_atomically(folder.parent / CURRENT, folder.name.encode(), scratch)
            current = self._read(role.name)
            kept = {build.folder for build in (before, current) if build}
            for other in folder.parent.iterdir():
                if other.is_dir() and other not in kept:
                    shutil.rmtree(other, ignore_errors=True)
        return current

    @contextmanager
    def _changing(self, role: Role) -> Iterator[None]:
        folder = self.root / role.name
        folder.mkdir(parents=True, exist_ok=True)
        with flocked(folder, fcntl.LOCK_EX):
            yield


def wanted_by(submission: Submission) -> Iterator[Role]:
    """The roles that submissions of this kind use in some of its languages."""
    for role in ROLES.values():
        if need(role, submission.family, submission.variant, submission.languages):
            yield role


def require_base_models(
    files: SubmissionFiles, languages: Iterable[str] = (), dispensable: Collection[str] = ()
) -> None:
    """Raises MissingBaseModels where these languages can't be spoken; none given: where nothing can.

    Nobody is refused for want of a `dispensable` role.
    """
    submission, spoken = files.submission, tuple(languages)
    roles = [
        role.name
        for role in ROLES.values()
        if (wanted := need(role, submission.family, submission.variant, spoken))
        and not (wanted.is_optional or role.name in files.base_models or role.name in dispensable)
    ]
    if roles:
        raise MissingBaseModels(f"{submission.family} {submission.variant}", roles)


def _is_whole(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the build is there and undamaged: else the same one, given again, mends it."""
    try:
        kept = {name: asdict(digest_file(folder / name)) for name in manifest["kept"]}
        return kept == manifest["kept"] and json.loads((folder / MANIFEST).read_bytes()) == manifest
    except (OSError, ValueError):
        return False


def _warning(missing: Missing) -> Problem:
    return Problem(
        "MissingBaseModel",
        "",
        f"no base model {missing.role} in the store: {missing.consequence} without it",
        ROLES[missing.role].title,
        f"Get it with `voicecore base pull {missing.role}`.",
    )


def find_role(name: str) -> Role:
    """Raises NotFound."""
    if name not in ROLES:
        raise NotFound("base model", name)
    return ROLES[name]
