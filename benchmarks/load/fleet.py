"""One load, asked by several client processes at once."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

from benchmarks.load.adapters import Target
from benchmarks.load.client import Client, HttpTransport, Share, open_session
from benchmarks.load.record import Record, decode_record, encode_record

NICENESS = -10  # the clients only watch, but have to be on time; where the machine allows it
HEAD_START_S = 0.2  # from the start signal to the first request
# Beyond it a process of Python falls behind: 0.6 ms of CPU per request of 20 chunks, measured.
REQUESTS_PER_S_AND_PROCESS = 150.0
STREAMS_PER_PROCESS = 100


class ClientDied(Exception):
    """A client process ended before its share was done."""


@dataclass(frozen=True, slots=True)
class _Work:
    share: Share
    target: Target
    part_path: Path


def num_processes(share: Share) -> int:
    """As many as the load needs; no more than there are processors."""
    per_process = REQUESTS_PER_S_AND_PROCESS if share.load.is_open else STREAMS_PER_PROCESS
    return max(1, min(os.cpu_count() or 1, -int(-share.load.level // per_process)))


def ask(share: Share, target: Target, folder: Path, processes: int = 0) -> list[Record]:
    """Run a load against a target from as many processes; 0: as many as it needs. Records by schedule.

    `folder` is for what they write meanwhile. Raises ClientDied.
    """
    count = processes or num_processes(share)
    context = multiprocessing.get_context("spawn")  # a fork would take threads' locks along
    parts = [folder / f"part-{part}.jsonl" for part in range(count)]
    started = []
    for part, path in enumerate(parts):
        ours, theirs = context.Pipe()
        work = _Work(replace(share, part=part, of=count), target, path)
        process = context.Process(target=_ask_share, args=(work, theirs), daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
    try:
        for _, connection in started:
            _receive(connection)
        begin_at = time.monotonic() + HEAD_START_S
        for _, connection in started:
            connection.send(begin_at)
        for _, connection in started:
            _receive(connection)
    finally:
        for process, connection in started:
            connection.close()
            process.join(timeout=5)
            process.terminate()
            process.join()
    records = [decode_record(line) for path in parts for line in path.read_bytes().splitlines()]
    for path in parts:
        path.unlink()
    return sorted(records, key=lambda record: (record.scheduled_s, record.index))


def _receive(connection: Connection) -> None:
    try:
        connection.recv()
    except EOFError:
        raise ClientDied("a client process died; its error is above. Run it again.") from None


def _ask_share(work: _Work, parent: Connection) -> None:
    """A client process."""
    with suppress(PermissionError):
        os.nice(NICENESS)
    gc.freeze()
    with work.part_path.open("wb", buffering=1 << 20) as file:
        with suppress(asyncio.CancelledError, EOFError):
            # Not uvloop, whose clock has milliseconds.
            asyncio.run(_run(work, parent, file))
    with suppress(BrokenPipeError):
        parent.send("done")
    parent.close()


async def _run(work: _Work, parent: Connection, file: BinaryIO) -> None:
    def keep(record: Record) -> None:
        file.write(encode_record(record))

    async with open_session(work.target, work.share.load.kind == "listeners") as session:
        client = Client(work.share, HttpTransport(session, work.target), keep)
        parent.send("ready")
        begin_at = await asyncio.to_thread(parent.recv)
        # It says nothing more. If it's killed, nobody wants the rest, the server least of all.
        whole = asyncio.ensure_future(client.run(begin_at))
        asyncio.get_running_loop().add_reader(parent.fileno(), whole.cancel)
        await whole
