"""Vocoding beside the decoder of the same device."""

from __future__ import annotations

import torch

FIRST = -1  # before streams of the usual priority, 0


def own_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Where an engine vocodes while its decoder's stream is busy. None on a CPU, which has no streams.

    Its kernels go first when both have some: a listener waits for these, and the tokens that are decoded
    meanwhile are for later.

    It takes no event and no `record_stream` to keep the two apart. What a call of the vocoder reads (tokens,
    latents, conditionings, weights) was made before the host read the progress of these tokens, so it is all
    there when the call begins; and the host waits for the samples before the call ends, so nothing is read
    here any more when a slot is released, or a submission evicted. What is decoded meanwhile goes behind the
    tokens that are read.
    """
    return torch.cuda.Stream(device, priority=FIRST) if device.type == "cuda" else None
