"""Uploads on their way into the store, and what became of them.

With several HTTP processes a question may reach another one than the upload did, and it may come after a
restart; so the state of an intake is a small file under VOICECORE_HOME. What reads a stranger's files is the
store's sandbox; here is only a thread that waits for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import structlog

from models_store.errors import NotFound
from models_store.report import Limits, Progress, ProgressCallback
from models_store.store import ModelsStore
from server.errors import Overloaded
from server.http.errors import describe, error_body
from server.http.schemas import Intake, IntakeProgress

log = structlog.get_logger()

INTAKE_ID = re.compile(r"intake-[0-9a-f]{16}")
KEPT_S = 7 * 24 * 3600.0  # how long one may ask what became of an upload
MAX_WAITING = 16
PROGRESS_INTERVAL_S = 0.2
CLOCK_TOLERANCE_S = 5.0

T = TypeVar("T")


# Reads an upload, telling how far it is, and says how that ended, as fields of Intake. What it raises refuses
# or fails the intake.
Read = Callable[[ProgressCallback], dict[str, Any]]


class Stopped(Exception):
    """The server is shutting down."""


class Intakes:
    """Reads uploads one after the other, submissions and recordings: both take memory and a core."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = threading.Event()

    def check_room(self) -> None:
        """Raises Overloaded."""
        if len(self._tasks) >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} uploads are waiting to be read; send this one later.", 60.0)

    def start(
        self,
        read: Read,
        name: str,
        until_read: AsyncExitStack,
        once_published: Callable[[], None] = lambda: None,
    ) -> Intake:
        """Begin to read an upload; `until_read` is closed when its files are no longer needed.

        `once_published` is called on a thread, and not where the upload is refused or we are stopped.
        """
        self._forget_old()
        intake = Intake(id=f"intake-{secrets.token_hex(8)}", name=name, status="waiting")
        self._save(intake)
        task = asyncio.create_task(self._run(intake, read, until_read, once_published))
        self._tasks[intake.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(intake.id))
        return intake

    def get(self, intake_id: str) -> Intake:
        """Raises NotFound."""
        try:
            saved = json.loads(self._path(intake_id).read_bytes())
        except FileNotFoundError:
            raise NotFound("intake", intake_id) from None
        intake = Intake.model_validate(saved["intake"])
        if intake.status in ("waiting", "running") and not _is_alive(saved["process"]):
            message = "the server stopped while it read this upload; send it again."
            error = error_body(500, message, "interrupted", http_status=500)
            intake = intake.model_copy(update={"status": "failed"} | error)
        return intake

    async def finished(self, intake_id: str) -> Intake:
        """Wait for an intake that was started here."""
        if (task := self._tasks.get(intake_id)) is not None:
            await asyncio.wait({task})  # whoever waits may leave; the intake goes on
        return self.get(intake_id)

    async def close(self) -> None:
        """Give up what is being read: the store stays as it was."""
        self._stopping.set()
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, intake: Intake, read: Read, until_read: AsyncExitStack, once_published: Callable[[], None]
    ) -> None:
        async with until_read, self._turn:
            running = intake.model_copy(update={"status": "running"})
            self._save(running)
            ending = await _in_daemon_thread(lambda: self._read(running, read))
            self._save(running.model_copy(update=ending))
            if ending["status"] == "published":
                await asyncio.to_thread(once_published)

    def _read(self, intake: Intake, read: Read) -> dict[str, Any]:
        """How it ended, as fields of Intake."""
        try:
            return read(self._on_progress(intake))
        except Exception as error:
            status, body, _ = describe(error)
            if status >= 500:
                log.exception("an intake failed", intake=intake.id)
            body["error"]["http_status"] = status
            return {"status": "refused" if status < 500 else "failed"} | body

    def _on_progress(self, intake: Intake) -> Callable[[Progress], None]:
        saved_at = 0.0

        def save(progress: Progress) -> None:
            nonlocal saved_at
            if self._stopping.is_set():
                raise Stopped
            if (now := time.monotonic()) - saved_at >= PROGRESS_INTERVAL_S:
                saved_at = now
                done = IntakeProgress(
                    phase=progress.phase, done_bytes=progress.done_bytes, total_bytes=progress.total_bytes
                )
                self._save(intake.model_copy(update={"progress": done}))

        return save

    def _save(self, intake: Intake) -> None:
        process = {"pid": os.getpid(), "started_at": psutil.Process().create_time()}
        saved = {"intake": intake.model_dump(), "process": process}
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(intake.id)
        written = path.with_suffix(".written")
        written.write_text(json.dumps(saved))
        written.replace(path)

    def _path(self, intake_id: str) -> Path:
        if not INTAKE_ID.fullmatch(intake_id):
            raise NotFound("intake", intake_id)
        return self._folder / f"{intake_id}.json"

    def _forget_old(self) -> None:
        for path in self._folder.glob("intake-*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEPT_S:
                    path.unlink()


def reading_submission(store: ModelsStore, path: Path, name: str, max_upload_bytes: int) -> Read:
    """To check, convert and publish an upload under a name."""

    def read(progress: ProgressCallback) -> dict[str, Any]:
        published = store.submit(path, name, progress, Limits(max_upload_bytes=max_upload_bytes))
        return {
            "status": "published",
            "submission_id": published.submission.id,
            "is_new": published.is_new,
            "report": published.report.to_dict(),
        }

    return read


async def _in_daemon_thread(call: Callable[[], T]) -> T:
    """An executor's thread would keep a stopped server alive until its call returns."""
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not returned.done():
            set_outcome(outcome)

    def run() -> None:
        try:
            outcome = returned.set_result, call()
        except BaseException as error:
            outcome = returned.set_exception, error  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, daemon=True, name="intake").start()
    return await returned


def _is_alive(process: dict[str, Any]) -> bool:
    try:
        started_at = psutil.Process(process["pid"]).create_time()
    except psutil.NoSuchProcess:
        return False
    return bool(abs(started_at - process["started_at"]) < CLOCK_TOLERANCE_S)  # else the id was given again
