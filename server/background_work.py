"""Work of an HTTP process that nobody waits for: looked for when there is some, and now and then anyway."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress


class BackgroundWork(ABC):
    def __init__(self, poll_s: float) -> None:
        """`poll_s`: how often to look for what another process left."""
        self._poll_s = poll_s
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """There is something new to do."""
        self._wanted.set()

    async def close(self) -> None:
        """What is unfinished is left to another process, or to the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _work(self) -> None:
        """Do all that there is to do. What it raises ends the loop: it logs its own failures."""

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            await self._work()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._poll_s)
