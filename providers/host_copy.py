"""What was made on the device, on its way to the host."""

from __future__ import annotations

import torch
from torch import Tensor


class HostCopy:
    """A copy of a tensor, queued behind what makes it and waited for when it is read.

    It lands in page-locked memory, which a CUDA device writes by itself and at the speed of its link. The
    host goes on meanwhile, and what is queued after the copy doesn't delay it.
    """

    def __init__(self, source: Tensor) -> None:
        """Queues the copy on the current stream. A CPU's tensor is not copied: leave it as it is."""
        self._tensor = source
        self._done: torch.cuda.Event | None = None
        if source.is_cuda:
            self._tensor = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
            self._tensor.copy_(source, non_blocking=True)
            self._done = torch.cuda.current_stream(source.device).record_event()

    def wait(self) -> Tensor:
        if self._done is not None:
            self._done.synchronize()
        return self._tensor
