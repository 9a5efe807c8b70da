"""Where every resident's tensors are on the device, as a table that kernels and graphs read.

Loading or evicting a submission changes a column of the table and nothing else: no weight is copied into a
place of its own, and no captured graph names one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import torch
from torch import Tensor

from providers.decoding.blocks import DecoderWeights
from providers.decoding.linear import DenseLinear, Linear
from providers.errors import DeviceOutOfMemory

MAX_RESIDENTS = 1024

# Fields of a block, each followed by its bias's. Behind those of all blocks come the final norms', the head's
# and the two embedding tables'.
ATTENTION_NORM, QKV, ATTENTION_OUT, FEED_FORWARD_NORM, EXPAND, CONTRACT = range(0, 12, 2)
FIELDS_PER_BLOCK = 12


class WeightTable:
    """`addresses` [fields, MAX_RESIDENTS] int64."""

    def __init__(self, layers: int, final_norms: int, device: torch.device) -> None:
        self.final_norms = layers * FIELDS_PER_BLOCK
        self.head = self.final_norms + 2 * final_norms
        self.embeddings = self.head + 2
        self.addresses = torch.zeros(self.embeddings + 2, MAX_RESIDENTS, dtype=torch.int64, device=device)
        self._columns: dict[DecoderWeights, int] = {}
        self._free = list(range(MAX_RESIDENTS))

    def column(self, weights: DecoderWeights) -> int:
        """A resident's column; entered if it is new. Raises DeviceOutOfMemory beyond `MAX_RESIDENTS`."""
        if (column := self._columns.get(weights)) is not None:
            return column
        if not self._free:
            raise DeviceOutOfMemory(f"{MAX_RESIDENTS} submissions share this engine already")
        addresses = [tensor.data_ptr() for tensor in tensors_in_order(weights)]
        column = heapq.heappop(self._free)
        self.addresses[:, column] = torch.tensor(addresses).to(self.addresses.device, non_blocking=True)
        self._columns[weights] = column
        return column

    def forget(self, weights: DecoderWeights) -> None:
        if (column := self._columns.pop(weights, None)) is not None:
            heapq.heappush(self._free, column)


def tensors_in_order(weights: DecoderWeights) -> Iterator[Tensor]:
    """The tensors of a decoder, one per field."""
    for block in weights.blocks:
        yield from (block.attention_norm.weight, block.attention_norm.bias)
        yield from _dense(block.qkv)
        yield from _dense(block.attention_out)
        yield from (block.feed_forward_norm.weight, block.feed_forward_norm.bias)
        yield from _dense(block.expand)
        yield from _dense(block.contract)
    for norm in weights.final_norms:
        yield from (norm.weight, norm.bias)
    yield from _dense(weights.head)
    yield from (weights.token_table, weights.position_table)


def _dense(linear: Linear) -> Iterator[Tensor]:
    assert isinstance(linear, DenseLinear), "kernels read plain weights"
    yield from (linear.weight, linear.bias)
