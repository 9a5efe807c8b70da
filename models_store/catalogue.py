"""Manifests by id, and the names that point to them.

A folder of two folders: `manifests/<hex digits of the id>.json` and `names/<name>`, a file with an id in
it. Each changes by one rename, nothing is cached, so every process sees every change at once.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from models_store.durable import flocked, hex_of, is_flocked, sync, write_atomically
from models_store.errors import BadName, NotFound, StorageError
from models_store.submission import DIGEST_PREFIX

# Whatever is safe in a path, a URL and a shell.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ID = re.compile(r"(?:sha256:)?(?P<digits>[0-9a-f]{8,64})")
OWN_VOICE = "default"  # where a voice is asked for: the submission's own


class HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=HasId)


def check_name(name: str) -> None:
    """Raises BadName."""
    if name == OWN_VOICE:
        raise BadName(f"found the name {name!r}, which means a submission's own voice. Choose another.")
    if ID.fullmatch(name):
        raise BadName(
            f"found the name {name!r}; expected one that can't be taken for an id. "
            "Use another character than 0-9 and a-f, or fewer than 8 of them."
        )
    if not NAME.fullmatch(name):
        raise BadName(
            f"found the name {name!r}; expected 1 to 64 letters, digits, dots, hyphens or underscores, "
            "beginning with a letter or digit. Choose a name like my-voice-v2."
        )


class Catalogue(Generic[T]):
    """What the store has of one kind: values by id, with names. `scratch` is for files being written."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        scratch: Path,
        to_manifest: Callable[[T], dict[str, Any]],
        from_manifest: Callable[[Mapping[str, Any]], T],
    ) -> None:
        self._kind = kind
        self._manifests = folder / "manifests"
        self._names = folder / "names"
        self._scratch = scratch
        self._to_manifest = to_manifest
        self._from_manifest = from_manifest

    def create_folders(self) -> None:
        for folder in (self._manifests, self._names):
            folder.mkdir(parents=True, exist_ok=True)

    def manifest_path(self, item_id: str) -> Path:
        return self._manifests / f"{hex_of(item_id)}.json"

    def get(self, item_id: str) -> T:
        """Raises NotFound, or StorageError where the manifest is damaged."""
        path = self.manifest_path(item_id)
        try:
            return self._from_manifest(json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise NotFound(self._kind, item_id) from None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{path}: found a damaged manifest; expected the {self._kind} that was written there. "
                "Check the disk, remove this file and submit again."
            ) from error

    def ids(self) -> set[str]:
        return {DIGEST_PREFIX + path.stem for path in self._manifests.glob("*.json")}

    def __iter__(self) -> Iterator[T]:
        """Every readable value, in no particular order: one damaged manifest must not hide the others."""
        for item_id in self.ids():
            with suppress(NotFound, StorageError):
                yield self.get(item_id)

    def add(self, item: T) -> bool:
        """Commit what was published; False: the same had been before, and its manifest stays."""
        target = self.manifest_path(item.id)
        content = json.dumps(self._to_manifest(item), indent=2, sort_keys=True, ensure_ascii=False)
        with flocked(self._manifests, fcntl.LOCK_EX):  # so that of two equal submissions one is the first
            if target.exists():
                return False
            write_atomically(target, content.encode(), self._scratch)
            return True

    def remove(self, item_id: str) -> None:
        self.manifest_path(item_id).unlink(missing_ok=True)
        sync(self._manifests)

    def names(self) -> dict[str, str]:
        """Name → id."""
        found = {path.name: self._named(path.name) for path in self._names.iterdir()}
        return {name: item_id for name, item_id in sorted(found.items()) if item_id is not None}

    def is_locked(self, item_id: str) -> bool:
        """Whether any process holds a lock on the manifest."""
        with flocked(self._manifests, fcntl.LOCK_EX):  # so that two who ask don't see each other
            return is_flocked(self.manifest_path(item_id))

    def names_of(self, item_id: str) -> tuple[str, ...]:
        return tuple(name for name, named_id in self.names().items() if named_id == item_id)

    def set_name(self, name: str, item_id: str) -> str | None:
        """Point a name to an id; returns the other id it pointed to before. Raises BadName."""
        check_name(name)
        with flocked(self._names, fcntl.LOCK_EX):  # so that of two movers each knows whom it replaced
            previous = self._named(name)
            if previous == item_id:
                return None
            write_atomically(self._names / name, item_id.encode(), self._scratch)
            return previous

    def remove_name(self, name: str) -> None:
        """Raises NotFound."""
        if self._named(name) is None:
            raise NotFound(self._kind, name)
        (self._names / name).unlink(missing_ok=True)
        sync(self._names)

    def resolve_id(self, name_or_id: str) -> str:
        """A name, an id or 8 and more first digits of one → the id. Raises NotFound, BadName if ambiguous."""
        if (named := self._named(name_or_id)) is not None:
            return named
        if (match := ID.fullmatch(name_or_id)) is None:
            raise NotFound(self._kind, name_or_id)
        candidates = sorted(self._manifests.glob(f"{match['digits']}*.json"))
        if not candidates:
            raise NotFound(self._kind, name_or_id)
        if len(candidates) > 1:
            raise BadName(
                f"{name_or_id!r} begins {len(candidates)} {self._kind} ids; give more of its digits."
            )
        return DIGEST_PREFIX + candidates[0].stem

    def resolve(self, name_or_id: str) -> T:
        return self.get(self.resolve_id(name_or_id))

    def _named(self, name: str) -> str | None:
        # The pattern also keeps callers' strings from naming files elsewhere.
        if not NAME.fullmatch(name):
            return None
        try:
            return (self._names / name).read_text()
        except FileNotFoundError:
            return None
