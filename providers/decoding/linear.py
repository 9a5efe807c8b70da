"""A linear layer prepared once, at load, for the device and the number format it will run in.

On a CPU a decode step is bound by reading weights, so their layout decides its speed. Thirty layers of 1024
channels, one thread, milliseconds for all linear layers (one run of benchmarks/cpu_kernels.py on a busy
machine, so compare within a column):

    rows                     1     4     8   101
    float32  torch.addmm    81   220   256  1042
             F.linear      103   215   243  1013
             oneDNN packed 120    95   120   763
    bfloat16 torch.addmm   105   113   126   460
             F.linear       80    83   117   421
             oneDNN packed  51    48    62   374

Packed weights also make a row's result independent of the rows beside it, bit for bit, from two rows on
(one row takes another kernel). `CPU_MIN_ROWS` keeps decoding there: four rows cost less than one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Literal["none", "relu", "gelu_tanh"]

# (tensor, dtype) → its values in this dtype, contiguous, in memory of their own.
Copy = Callable[[Tensor, torch.dtype], Tensor]

CPU_MIN_ROWS = 4
# Prompts are padded to a multiple of this: oneDNN makes and keeps four products for every number of rows.
CPU_PROMPT_ROWS = 4

# Rows that the packed layout is chosen for: 16 and more give the layout that is fastest for 1 to 101 rows.
_PACKED_FOR_ROWS = 16

# Activation → oneDNN's post-operation and its algorithm.
_POST_OPERATIONS: dict[Activation, tuple[str, str]] = {
    "none": ("none", ""),
    "relu": ("relu", ""),
    "gelu_tanh": ("gelu", "tanh"),
}


class Linear(Protocol):
    """y = activation(x W + b), x [rows, in] and y [rows, out] in the layer's dtype."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + x W + b; only for layers without an activation."""

    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DenseLinear:
    """Plain tensors on any device."""

    weight: Tensor  # [in, out]
    bias: Tensor  # [out]
    activation: Activation = "none"

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.addmm(self.bias, x, self.weight)
        if self.activation == "relu":
            return F.relu(y)
        return F.gelu(y, approximate="tanh") if self.activation == "gelu_tanh" else y

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        return residual + torch.addmm(self.bias, x, self.weight)

    @property
    def size_bytes(self) -> int:
        return self.weight.nbytes + self.bias.nbytes


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """Weights in oneDNN's own blocked layout, activation and residual fused into the product. CPU only."""

    packed: Tensor  # opaque, of shape [out, in]
    bias: Tensor  # [out]
    activation: Activation = "none"

    def __call__(self, x: Tensor) -> Tensor:
        operation, algorithm = _POST_OPERATIONS[self.activation]
        return torch.ops.mkldnn._linear_pointwise.default(x, self.packed, self.bias, operation, [], algorithm)

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.packed, self.bias, "add")

    @property
    def size_bytes(self) -> int:
        return int(torch.ops.mkldnn._nbytes(self.packed)) + self.bias.nbytes


def copy_to(device: torch.device) -> Copy:
    return partial(_copy_to, device)


def _copy_to(device: torch.device, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(tensor.shape, dtype=dtype, device=device).copy_(tensor)


def prepare_linear(
    weight: Tensor,
    bias: Tensor,
    device: torch.device,
    dtype: torch.dtype,
    activation: Activation = "none",
    copy: Copy | None = None,
) -> Linear:
    """Copy a layer's tensors in the layout that is fastest on the device where it is to run.

    They go there, or wherever `copy` puts them. `weight` [in, out] and `bias` [out] may be of any floating
    dtype, mapped or strided; they are not kept.
    """
    copy = copy or copy_to(device)
    if can_pack(device, dtype):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).t(), _PACKED_FOR_ROWS)
        return PackedLinear(packed, copy(bias, dtype), activation)
    return DenseLinear(copy(weight, dtype), copy(bias, dtype), activation)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN has kernels for this dtype on this CPU."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
