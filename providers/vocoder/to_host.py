"""The vocoder's waves, brought to the host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from providers.host_copy import HostCopy


def to_host(waves: Mapping[int, Tensor]) -> dict[int, NDArray[np.float32]]:
    """Waves by slot → the same on the host, by one copy off the device for all."""
    joined = HostCopy(torch.cat(list(waves.values()))).wait()
    parts = joined.split([len(wave) for wave in waves.values()])
    return {slot: part.numpy() for slot, part in zip(waves, parts, strict=True)}
