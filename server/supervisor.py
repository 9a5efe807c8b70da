"""`voicecore serve`: starts the device process and the HTTP processes, and starts again what dies.

Holds the listening socket, so that no connection is refused while a process restarts. Imports neither torch
nor the web framework: it lives as long as the server and must stay small.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import signal
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import structlog

from models_store.store import ModelsStore
from server import child, logs
from server.demo_voices import submit_demo_voices
from server.evaluation.extra import complaint
from server.http.process import GRACE_S, clear_metrics
from server.scheduling.address import run_folder
from server.settings import Settings

BACKLOG = 2048
# Time for a process to end by itself after it was told to; HTTP first finishes what is being spoken.
HTTP_STOP_S = GRACE_S + 3
WORKER_STOP_S = 5.0
FIRST_RESTART_S = 0.1
LAST_RESTART_S = 10.0
# A process that lives this long has started well; one that fails this often before that never will.
STARTED_AFTER_S = 30.0
MOST_FAILED_STARTS = 6

WORKER_COMMAND = (sys.executable, "-m", "server.scheduling.worker", child.SUPERVISED)
HTTP_COMMAND = (sys.executable, "-m", "server.http_process", child.SUPERVISED)

log = structlog.get_logger()


class CannotServe(Exception):
    """Why the server doesn't start, or doesn't go on, in the words of the person who can mend it."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 1 and the reason where that can't be."""
    logs.configure(settings)
    try:
        serve(settings)
    except CannotServe as error:
        sys.exit(f"voicecore can't serve: {error}")


def serve(
    settings: Settings,
    worker_command: Sequence[str] = WORKER_COMMAND,
    http_command: Sequence[str] = HTTP_COMMAND,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotServe."""
    check_exposure(settings)
    check_gate(settings)
    with only_server(settings.home_path), listen(settings.host, settings.port) as listener:
        clear_metrics(settings)
        store = ModelsStore(settings.store_path)
        if settings.demo:
            submit_demo_voices(store)
        print(greeting(settings, listener, store.names()), flush=True)
        children = [Child("device process", worker_command, WORKER_STOP_S)]
        descriptor = listener.fileno()
        children += [
            Child(f"HTTP process {number}", (*http_command, str(descriptor)), HTTP_STOP_S, (descriptor,))
            for number in range(1, settings.http_processes + 1)
        ]
        asyncio.run(Supervisor(settings, children).run())


def check_exposure(settings: Settings) -> None:
    """Raises CannotServe where anybody on the network could use the server without a key."""
    if settings.api_key is None and not settings.allow_public_without_key and not _is_loopback(settings.host):
        raise CannotServe(
            f"found the address {settings.host} without an API key; expected a loopback address such as "
            "127.0.0.1, or a key. Set VOICECORE_API_KEY, or VOICECORE_ALLOW_PUBLIC_WITHOUT_KEY=true to let "
            "everybody in who reaches this address."
        )


def check_gate(settings: Settings) -> None:
    """Raises CannotServe where submissions are to be evaluated and can't be."""
    if settings.gate and (missing := complaint()):
        raise CannotServe(f"VOICECORE_GATE is set, so submissions are evaluated, and {missing}")


def _is_loopback(host: str) -> bool:
    """Whether every address that the name stands for is this machine's own."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)


@contextmanager
def only_server(home: Path) -> Iterator[None]:
    """Raises CannotServe if another server runs on this data folder."""
    try:
        lock = (run_folder(home) / "supervisor.lock").open("w")
    except OSError as error:
        raise CannotServe(f"{error}. Choose another data folder with VOICECORE_HOME.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotServe(
                f"another server runs on {home}. Stop it, or give this one a data folder of its own with "
                "VOICECORE_HOME."
            ) from None
        yield


def listen(host: str, port: int) -> socket.socket:
    """The socket that all HTTP processes accept from. Raises CannotServe."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotServe(f"found the address {host}: {error}. Set VOICECORE_HOST to another.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotServe(
            f"can't listen on {host} port {port}: {error.strerror}. Set VOICECORE_HOST or VOICECORE_PORT to "
            "others; port 0 takes a free one."
        ) from error
    return listener


def greeting(settings: Settings, listener: socket.socket, models: Collection[str]) -> str:
    """Where the server listens and what to try, given the names of what it can speak with."""
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"Voice Core listens on {url}\n{_suggestion(settings, url, models)}\nDocs: {url}/docs"


def _suggestion(settings: Settings, url: str, models: Collection[str]) -> str:
    if not models:
        return "It has no voice yet. Give it one: voicecore submit FOLDER --name NAME"
    model = settings.default_model if settings.default_model in models else min(models)
    key = ' -H "Authorization: Bearer $VOICECORE_API_KEY"' if settings.api_key is not None else ""
    return (
        f"Try: curl {url}/v1/audio/speech{key} -H 'Content-Type: application/json' \\\n"
        f'       -d \'{{"model": "{model}", "voice": "default", "input": "Hello there."}}\' -o speech.mp3'
    )


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running."""

    name: str
    command: Sequence[str]
    stop_s: float  # to end by itself once told to
    descriptors: tuple[int, ...] = ()  # that it inherits


class Supervisor:
    """Keeps children running until it is told to stop."""

    def __init__(self, settings: Settings, children: Sequence[Child]) -> None:
        self._settings = settings
        self._children = children
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until a signal. Raises CannotServe when a child can't be kept running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        worker, *https = self._children
        worker_may_stop = asyncio.Event()
        keeping_worker = asyncio.create_task(self._keep(worker, worker_may_stop))
        keeping_https = [asyncio.create_task(self._keep(http, self._stopping)) for http in https]
        try:
            # A child that can't be kept ends the others: HTTP first, which the worker serves until then.
            stop = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({stop, keeping_worker, *keeping_https}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            await asyncio.gather(*keeping_https, return_exceptions=True)
            worker_may_stop.set()
            await asyncio.gather(keeping_worker, return_exceptions=True)
        for keeping in (keeping_worker, *keeping_https):
            keeping.result()

    async def _keep(self, kept: Child, stopping: asyncio.Event) -> None:
        """Start it again whenever it dies. Raises CannotServe if it never starts well."""
        failed_starts = 0
        while not stopping.is_set():
            started_at = asyncio.get_running_loop().time()
            status = await self._run_once(kept, stopping)
            if stopping.is_set():
                return
            lived_s = asyncio.get_running_loop().time() - started_at
            failed_starts = 1 if lived_s >= STARTED_AFTER_S else failed_starts + 1
            log.error("a process died", process=kept.name, status=_status(status), lived_s=round(lived_s, 1))
            if status == child.EXIT_UNUSABLE or failed_starts >= MOST_FAILED_STARTS:
                raise CannotServe(
                    f"the {kept.name} ended soon after its start, {failed_starts} times in a row, the last "
                    f"time with {_status(status)}. Its lines above say why."
                )
            restart_s = min(FIRST_RESTART_S * 4 ** (failed_starts - 1), LAST_RESTART_S)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), restart_s)

    async def _run_once(self, kept: Child, stopping: asyncio.Event) -> int:
        """Its exit status, negative for a signal. Ends it when `stopping` is set."""
        process = await asyncio.create_subprocess_exec(
            *kept.command,
            stdin=PIPE,
            pass_fds=kept.descriptors,
            start_new_session=True,  # a terminal's Ctrl-C reaches us only, and we decide the order
        )
        log.debug("started a process", process=kept.name, pid=process.pid)
        assert process.stdin is not None
        try:
            # Stays open: its end tells the child that we are gone.
            with suppress(OSError):
                process.stdin.write(child.settings_line(self._settings))
                await process.stdin.drain()
            ended = asyncio.create_task(process.wait())
            stop = asyncio.create_task(stopping.wait())
            await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not ended.done():
                await _end(process, kept)
            return await ended
        finally:
            process.stdin.close()


async def _end(process: asyncio.subprocess.Process, kept: Child) -> None:
    """Tell it to end, then wait, then insist."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), kept.stop_s)
        except asyncio.TimeoutError:
            log.warning("killed a process that didn't end", process=kept.name, waited_s=kept.stop_s)
            process.kill()


def _status(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
