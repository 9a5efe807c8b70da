"""What submissions derived from voices: in memory by bytes, on disk for the next start.

Knows nothing about models: a Conditioning is opaque but for its size, its arrays come from the engine.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models_store.durable import hex_of, write_atomically
from models_store.errors import StorageError
from providers.interface import Conditioning, Engine, ReferenceVoice

# Part of a file's metadata; raise it when what engines export changes its meaning.
FORMAT = "1"

Arrays = dict[str, NDArray[np.float32]]

log = structlog.get_logger()


class ConditioningKey(NamedTuple):
    submission_id: str
    voice_id: str
    edition: str = ""  # of the files that the submission was made of: base models may be others later


class ConditioningCache:
    """Keeps conditionings, most recently used first. Any thread may call it.

    `executor` does the reading and deriving; one thread of it keeps that out of each other's way. `kind`
    names how the engines are set: what one of them derived in bfloat16 is not for another.
    """

    def __init__(
        self, capacity_bytes: int, kind: str, folder_of: Callable[[str], Path], executor: Executor
    ) -> None:
        self._capacity_bytes = capacity_bytes
        self._kind = kind
        self._folder_of = folder_of
        self._executor = executor
        self._lock = Lock()
        self._kept: OrderedDict[ConditioningKey, Conditioning] = OrderedDict()
        self._coming: dict[ConditioningKey, Future[Conditioning]] = {}
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    def get(
        self, key: ConditioningKey, engine: Engine, read_voice: Callable[[], ReferenceVoice]
    ) -> Future[Conditioning]:
        """Done at once if it's in memory; everybody who asks while it is being made gets the same one.

        The future raises what the engine or `read_voice` raised: UnusableVoice, NotFound …
        """
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                self.hits += 1
                done: Future[Conditioning] = Future()
                done.set_result(kept)
                return done
            self.misses += 1
            if (coming := self._coming.get(key)) is not None:
                return coming
            coming = self._executor.submit(self._make, key, engine, read_voice)
            self._coming[key] = coming
        coming.add_done_callback(partial(self._keep, key))
        return coming

    def _keep(self, key: ConditioningKey, made: Future[Conditioning]) -> None:
        with self._lock:
            del self._coming[key]
            if made.cancelled() or made.exception() is not None:
                return
            conditioning = made.result()
            self._kept[key] = conditioning
            self.size_bytes += conditioning.size_bytes
            while self.size_bytes > self._capacity_bytes:
                _, oldest = self._kept.popitem(last=False)
                self.size_bytes -= oldest.size_bytes

    def _make(
        self, key: ConditioningKey, engine: Engine, read_voice: Callable[[], ReferenceVoice]
    ) -> Conditioning:
        path = self._folder_of(key.submission_id) / f"{hex_of(key.voice_id)}.{self._kind}.safetensors"
        metadata = {"format": FORMAT, **key._asdict()}
        if (arrays := _read(path, metadata)) is not None:
            return engine.import_conditioning(arrays)
        conditioning = engine.condition(key.submission_id, read_voice())
        _write(path, engine.export_conditioning(conditioning), metadata)
        return conditioning


def _read(path: Path, metadata: Mapping[str, str]) -> Arrays | None:
    """The arrays of a file that is whole and has this metadata, else nothing."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            found = file.metadata() or {}
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        log.warning("ignored a damaged conditioning", path=str(path), error=str(error))
        return None
    if found.pop("sha256", None) != _digest(arrays):
        log.warning("ignored a damaged conditioning", path=str(path), error="its digest doesn't fit")
        return None
    return arrays if found == metadata else None


def _write(path: Path, arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """A cache: what can't be written is derived again next time."""
    content = save(arrays, {**metadata, "sha256": _digest(arrays)})
    try:
        with suppress(FileNotFoundError):  # the submission was removed meanwhile
            write_atomically(path, content, path.parent)
    except (OSError, StorageError) as error:
        log.warning("could not keep a conditioning on disk", path=str(path), error=str(error))


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()
