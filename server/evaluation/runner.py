"""Evaluations get made: in the background, one after the other, each by whichever process holds its lock.

First everything is spoken, through the path that serves listeners; then a process of its own listens to it
(measuring.py). Whatever is finished stays on the disk, so what was interrupted goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from server import child
from server.background_work import BackgroundWork
from server.evaluation.archive import Archive, Progress, Samples, Spoken
from server.evaluation.errors import EvaluationFailed, UnknownEvaluation
from server.evaluation.plan import Item, Plan
from server.settings import Settings

log = structlog.get_logger()

POLL_S = 5.0
CONCURRENCY = 4  # utterances at once, of the seeds that aren't timed
STOP_S = 5.0
LISTENER_COMMAND = (sys.executable, "-m", "server.evaluation.measuring")


class Utterance(NamedTuple):
    spoken: Spoken
    samples: Samples  # [n]; empty where `spoken.error` says why


# Raises Later, or what `describe` tells whoever asked for the evaluation.
Speak = Callable[[Item], Awaitable[Utterance]]


class Later(Exception):
    """Speech isn't possible now, but may be in a moment. What it was is the cause."""


class Runner(BackgroundWork):
    def __init__(
        self,
        archive: Archive,
        settings: Settings,
        speak: Speak,
        describe: Callable[[Exception], str],
        listener_command: Sequence[str] = LISTENER_COMMAND,
        poll_s: float = POLL_S,
    ) -> None:
        super().__init__(poll_s)
        self._archive = archive
        self._settings = settings
        self._speak = speak
        self._describe = describe
        self._listener_command = tuple(listener_command)

    async def _work(self) -> None:
        try:
            for plan in await asyncio.to_thread(self._archive.unfinished):
                await self._evaluate(plan)
        except Later as error:
            log.warning("evaluations wait for speech", reason=str(error.__cause__ or error))
        except Exception:
            log.exception("the search for evaluations failed")

    async def _evaluate(self, plan: Plan) -> None:
        """Raises Later; every other failure is the evaluation's own, and its end."""
        try:
            with self._archive.held(plan.id):
                await self._speak_all(plan)
                await self._listen(plan)
        except (BlockingIOError, UnknownEvaluation):
            pass  # another process works on it, or it was deleted
        except Later:
            raise
        except Exception as error:
            log.warning("an evaluation failed", evaluation=plan.id, exc_info=error)
            await asyncio.to_thread(self._archive.fail, plan.id, self._describe(error))

    async def _speak_all(self, plan: Plan) -> None:
        """The first seed alone, so that its times are the server's and not its neighbours'."""
        items = list(plan.items())
        missing = [item for item in items if self._archive.spoken(item.key) is None]
        progress = _Spoken(self._archive, plan, len(items) - len(missing))
        timed = [item for item in missing if item.seed == plan.seeds[0]]
        for item in timed:
            await self._speak_one(item, progress, is_alone=True)
        room = asyncio.Semaphore(CONCURRENCY)

        async def speak(item: Item) -> None:
            async with room:
                await self._speak_one(item, progress, is_alone=False)

        await _all([speak(item) for item in missing if item.seed != plan.seeds[0]])

    async def _speak_one(self, item: Item, progress: _Spoken, is_alone: bool) -> None:
        spoken, samples = await self._speak(item)
        if not is_alone:
            spoken = spoken.untimed()
        await asyncio.to_thread(self._archive.put_spoken, item, spoken, samples)
        await asyncio.to_thread(progress.one_more)

    async def _listen(self, plan: Plan) -> None:
        """Raises EvaluationFailed with what the listening process says."""
        command = (*self._listener_command, plan.id, child.SUPERVISED)
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # Stays open: its end tells the process that we are gone.
            with suppress(OSError):
                process.stdin.write(child.settings_line(self._settings))
                await process.stdin.drain()
            error = await self._follow(process.stdout, plan)
            if status := await process.wait():
                raise EvaluationFailed(error or f"the process that measures has ended with status {status}.")
        finally:
            await _end(process)

    async def _follow(self, output: asyncio.StreamReader, plan: Plan) -> str | None:
        """Passes progress on; gives the error, if it tells one."""
        error = None
        async for line in output:
            told = json.loads(line)
            error = told.get("error", error)
            if "done" in told:
                progress = Progress("measuring", told["done"], told["total"])
                await asyncio.to_thread(self._archive.report_progress, plan.id, progress)
        return error


class _Spoken:
    """Counts utterances that are on the disk."""

    def __init__(self, archive: Archive, plan: Plan, done: int) -> None:
        self._archive = archive
        self._plan = plan
        self._done = done
        self._report()

    def one_more(self) -> None:
        self._done += 1
        self._report()

    def _report(self) -> None:
        self._archive.plan(self._plan.id)  # raises UnknownEvaluation: it was deleted, nobody wants the rest
        progress = Progress("speaking", self._done, self._plan.num_items)
        self._archive.report_progress(self._plan.id, progress)


async def _all(calls: Sequence[Awaitable[None]]) -> None:
    """The first failure ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except asyncio.TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
