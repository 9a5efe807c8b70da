"""Text to prompts, in processes of their own: no text holds up anyone's audio.

Neither this process nor those import torch. Each keeps the text front ends of the submissions it read for
last; this one keeps the prompts.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import structlog

from models_store.submission import SubmissionFiles
from providers import registry
from providers.errors import EngineError, SynthesisError
from providers.interface import Prompt, SamplingParams, TextFrontEnd
from server.http.metrics import Metrics
from server.scheduling.failures import Failure, from_failure, to_failure

log = structlog.get_logger()

# Characters of text whose prompts are kept: some tens of MB.
CACHE_CHARACTERS = 1_000_000
# Front ends that one text process keeps; an XTTS one takes a few MB.
FRONT_ENDS_KEPT = 32


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a submission's text front end makes of a text."""

    prompts: tuple[Prompt, ...]
    default_sampling: SamplingParams


Read = Callable[[], ReadText | Failure]  # what a pool process is to do
TextKey = tuple[str, str, str | None, str | None]  # submission, text, language, method


class TextReader(Protocol):
    async def read(
        self, files: SubmissionFiles, text: str, language: str | None, method: str | None = None
    ) -> ReadText:
        """Raises UnsupportedLanguage, EmptyText, TextTooLong."""


class TextPool:
    """A process pool with a cache before it. A process that dies is replaced and its texts are read again."""

    def __init__(self, num_processes: int, metrics: Metrics) -> None:
        self._num_processes = num_processes
        self._metrics = metrics
        self._cache = PromptCache(CACHE_CHARACTERS)
        self._pool = _create_pool(num_processes)
        self._suspects = _Suspects()

    async def start(self) -> None:
        """Have the processes running, with their imports done, before the first request needs them."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(
                loop.run_in_executor(self._pool, registry.warm_up_text_front_ends)
                for _ in range(self._num_processes)
            )
        )

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def read(
        self, files: SubmissionFiles, text: str, language: str | None, method: str | None = None
    ) -> ReadText:
        key = (files.identity, text, language, method)
        if (cached := self._cache.get(key)) is not None:
            self._metrics.prompt_cache_hits.inc()
            return cached
        self._metrics.prompt_cache_misses.inc()
        reply = await self._ask(partial(_read, files, text, language, method))
        if isinstance(reply, Failure):  # exceptions with arguments of their own don't unpickle
            raise from_failure(reply)
        self._cache.put(key, reply)
        return reply

    async def _ask(self, read: Read) -> ReadText | Failure:
        loop = asyncio.get_running_loop()
        pool = self._pool
        try:
            return await loop.run_in_executor(pool, read)
        except BrokenProcessPool:
            self._replace(pool)
        # A dying process takes every text in the pool with it. They are read again one by one, so that the
        # one that kills processes cannot take the others along a second time.
        return await self._suspects.read(read)

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        if self._pool is broken:  # the first to notice replaces it for all
            log.error("a text process died; starting another")
            self._metrics.text_process_deaths.inc()
            self._pool = _create_pool(self._num_processes)
            broken.shutdown(wait=False)


class _Suspects:
    """Reads texts that were in a pool when it died, one at a time, in a process that lasts while any wait."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._num_waiting = 0

    async def read(self, read: Read) -> ReadText | Failure:
        self._num_waiting += 1
        try:
            async with self._one_at_a_time:
                self._pool = self._pool or _create_pool(1)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, read)
        except BrokenProcessPool as error:
            self._end_process()
            raise EngineError("the text process died twice while it read this text.") from error
        finally:
            self._num_waiting -= 1
            if not self._num_waiting:
                self._end_process()

    def _end_process(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


class PromptCache:
    """What was read last, up to a number of characters of text."""

    def __init__(self, capacity_characters: int) -> None:
        self._capacity = capacity_characters
        self._size = 0
        self._entries: OrderedDict[TextKey, ReadText] = OrderedDict()

    def get(self, key: TextKey) -> ReadText | None:
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: TextKey, value: ReadText) -> None:
        if key in self._entries:
            return
        self._entries[key] = value
        self._size += len(key[1])
        while self._size > self._capacity:
            (_, text, _, _), _ = self._entries.popitem(last=False)
            self._size -= len(text)


def _create_pool(num_processes: int) -> ProcessPoolExecutor:
    # Not fork: this process has threads and an event loop.
    return ProcessPoolExecutor(
        num_processes, multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )


def _end_with_parent() -> None:
    """A pool process waits on a pipe that it holds open itself, so a killed parent would leave it behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name="end-with-parent").start()


def _read(files: SubmissionFiles, text: str, language: str | None, method: str | None) -> ReadText | Failure:
    """In a pool process."""
    try:
        front_end = _front_end(_Key(files))
        return ReadText(tuple(front_end.prompts(text, language, method)), front_end.default_sampling)
    except Exception as error:
        if not isinstance(error, SynthesisError):
            log.exception("a text front end failed", submission=files.submission.id)
        return to_failure(error)


class _Key:
    """SubmissionFiles by their identity: their mappings have no hash."""

    def __init__(self, files: SubmissionFiles) -> None:
        self.files = files
        self._id = files.identity

    def __hash__(self) -> int:
        return hash(self._id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._id == self._id


@lru_cache(FRONT_ENDS_KEPT)
def _front_end(key: _Key) -> TextFrontEnd:
    return registry.text_front_end(key.files)
