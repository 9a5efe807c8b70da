"""What was made on the device, brought to the host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_host(waves: Mapping[int, Tensor]) -> dict[int, NDArray[np.float32]]:
    """Waves by slot → the same on the host, by one copy off the device for all."""
    joined = _on_host(torch.cat(list(waves.values())))
    parts = joined.split([len(wave) for wave in waves.values()])
    return {slot: part.numpy() for slot, part in zip(waves, parts, strict=True)}


def _on_host(samples: Tensor) -> Tensor:
    """Through page-locked memory, which a CUDA device writes at the speed of its link."""
    if not samples.is_cuda:
        return samples.cpu()
    pinned = torch.empty(samples.shape, dtype=samples.dtype, pin_memory=True)
    pinned.copy_(samples, non_blocking=True)
    torch.cuda.current_stream(samples.device).synchronize()
    return pinned
