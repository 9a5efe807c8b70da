"""Chunks of host memory on their way to a device, beside what the device is doing.

Copies run on a stream of their own, and a thread sleeps until they have ended. Whoever computes with what is
brought waits for that thread, or has its own stream wait (`Upload.join`); nobody else waits at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """Chunks that are being copied, or have been."""

    chunks: list[Tensor]  # on the device
    arrival: Future[None]  # done when they are, or failed as the device did
    done: Any  # the event behind the last copy
    stream: Any  # that was current when it began: the chunks' memory goes back to it

    def join(self) -> None:
        """Have that stream go on after the last copy. Costs nothing once that has ended."""
        if not self.done.query():
            self.stream.wait_event(self.done)


class Uploader:
    """The stream that brings weights to one device. Any thread may start an upload."""

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        """`cuda` has the streams: torch's, or what stands in for them."""
        self._device = device
        self._cuda = cuda
        self._stream = cuda.Stream(device)
        self._waiting = ThreadPoolExecutor(1, "upload")

    def start(self, chunks: Sequence[Tensor]) -> Upload:
        """Queue copies of page-locked chunks (uint8) and return at once.

        Raises torch's out-of-memory error before anything is queued. Both ends stay as they are until the
        last copy has ended, also if the upload is dropped.
        """
        copies = [torch.empty(len(chunk), dtype=torch.uint8, device=self._device) for chunk in chunks]
        current = self._cuda.current_stream(self._device)
        # Memory that others have just let go may still be read by what they had queued.
        self._stream.wait_stream(current)
        with self._cuda.stream(self._stream):
            for copy, chunk in zip(copies, chunks, strict=True):
                copy.copy_(chunk, non_blocking=True)
        done = self._cuda.Event(blocking=True)  # whoever waits for it sleeps, and leaves the core to others
        done.record(self._stream)
        return Upload(copies, self._waiting.submit(_wait, done, copies, chunks), done, current)


def _wait(done: Any, *_kept: Sequence[Tensor]) -> None:
    done.synchronize()
