"""Ways to multiply and to attend on a CPU, at the sizes of one XTTS decode step. One table each.

    OMP_NUM_THREADS=1 python -m benchmarks.cpu_kernels [--rounds N]

What `providers.decoding.linear` and `providers.decoding.attention` chose is among them. Figures are
milliseconds of processor time for all thirty layers, the least of some rounds. Every layer has weights and
keys of its own: nothing is found in a cache that would not be there in a real step, but in the row that says
so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from providers.decoding.attention import BagAttention, RowAttention
from providers.decoding.kv_cache import KVShape
from providers.decoding.linear import DenseLinear, prepare_linear

LAYERS, CHANNELS, HEADS = 30, 1024, 16
SHAPES = ((CHANNELS, 3 * CHANNELS), (CHANNELS, CHANNELS), (CHANNELS, 4 * CHANNELS), (4 * CHANNELS, CHANNELS))
ROWS = (1, 2, 4, 8, 69, 101)
TOKENS = (100, 200, 400)
SLOTS = 8
CPU = torch.device("cpu")
INT8_MAX = 127

Multiply = Callable[[Tensor], Tensor]


def linear_with_transposed_weight(weight: Tensor, bias: Tensor) -> Multiply:
    transposed = weight.t().contiguous()
    return lambda x: F.linear(x, transposed, bias)


def int8_weights(weight: Tensor, bias: Tensor) -> Multiply:
    """Inputs as they are, in bfloat16: the only ones that torch's kernel takes."""
    numbers, scales = in_int8(weight)
    scales = scales.to(torch.bfloat16)
    return lambda x: torch.ops.aten._weight_int8pack_mm(x.bfloat16(), numbers, scales).to(x.dtype) + bias


def int8_weights_and_inputs(weight: Tensor, bias: Tensor) -> Multiply:
    """A scale per output and per row. oneDNN multiplies signed by unsigned numbers: inputs are 128 up."""
    numbers, scales = in_int8(weight)
    packed = torch.ops.onednn.qlinear_prepack(numbers, None)
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    bias = bias.float()

    def multiply(x: Tensor) -> Tensor:
        x_scales = x.float().abs().amax(1, keepdim=True).div_(INT8_MAX)
        x_numbers = (x.float() / x_scales).add_(128.5).to(torch.uint8)  # cut off: the nearest
        y = torch.ops.onednn.qlinear_pointwise.default(
            x_numbers, 1.0, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return torch.addcmul(bias, y, x_scales).to(x.dtype)

    return multiply


def in_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """[in, out] → [out, in] int8 and the scale of each output [out]."""
    rows = weight.float().t()
    scales = rows.abs().amax(1) / INT8_MAX
    return (rows / scales[:, None]).round().to(torch.int8).contiguous(), scales


def only_read(weight: Tensor, bias: Tensor) -> Multiply:
    """What no product can be faster than, unless its weights are in a cache."""
    return lambda x: weight.view(torch.float32).sum()


MULTIPLY: dict[str, Callable[[Tensor, Tensor], Multiply]] = {
    "torch.addmm, weights as published": DenseLinear,
    "F.linear, weights transposed": linear_with_transposed_weight,
    "int8 weights": int8_weights,
    "int8 weights and inputs": int8_weights_and_inputs,
    "prepare_linear": lambda weight, bias: prepare_linear(weight, bias, CPU, weight.dtype),
    "weights read, not multiplied": only_read,
}


def attend_one_by_one(shape: KVShape, dtype: torch.dtype, tokens: int) -> Callable[[int], object]:
    size = (shape.layers, shape.slots, shape.heads, tokens, shape.head_channels)
    keys, values = (torch.randn(size).to(dtype) for _ in range(2))
    queries = torch.randn(shape.slots, shape.heads, 1, shape.head_channels).to(dtype)

    def attend(layer: int) -> object:
        return [
            F.scaled_dot_product_attention(queries[i, None], keys[layer, i, None], values[layer, i, None])
            for i in range(shape.slots)
        ]

    return attend


def attend_with(
    attention: type[BagAttention] | type[RowAttention], shape: KVShape, dtype: torch.dtype, tokens: int
) -> Callable[[int], object]:
    cached = attention(shape, CPU, dtype)
    prompt = torch.randn(tokens - 1, shape.heads, shape.head_channels).to(dtype)
    for layer in range(shape.layers):
        for slot in range(shape.slots):
            cached.write_prompt(layer, slot, prompt, prompt)
    lengths = torch.full((shape.slots,), tokens - 1)
    plan = cached.plan(torch.arange(shape.slots), lengths, tokens)
    new = torch.randn(shape.slots, shape.heads, shape.head_channels).to(dtype)
    return lambda layer: cached(layer, plan, new, new, new)  # type: ignore[arg-type]


ATTEND: dict[str, Callable[[KVShape, torch.dtype, int], Callable[[int], object]]] = {
    "scaled_dot_product_attention, slot by slot": attend_one_by_one,
    "RowAttention": lambda *arguments: attend_with(RowAttention, *arguments),
    "BagAttention": lambda *arguments: attend_with(BagAttention, *arguments),
}


def least_ms(step: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):  # the first warms up
        started = time.thread_time()
        step()
        times.append(time.thread_time() - started)
    return 1e3 * min(times[1:])


def measure_linear(name: str, dtype: torch.dtype, rounds: int, copies: int = LAYERS) -> list[float]:
    """`copies`: of each layer's weights; one is found in the cache from the second layer on."""

    def prepare(size: int, out: int) -> Multiply:
        return MULTIPLY[name](torch.randn(size, out).mul_(0.02).to(dtype), torch.zeros(out, dtype=dtype))

    layers = {shape: [prepare(*shape) for _ in range(copies)] * (LAYERS // copies) for shape in SHAPES}

    def all_layers(rows: int) -> Callable[[], object]:
        inputs = {size: torch.randn(rows, size).to(dtype) for size in (CHANNELS, 4 * CHANNELS)}
        return lambda: [multiply(inputs[size]) for (size, _), own in layers.items() for multiply in own]

    return [least_ms(all_layers(rows), rounds) for rows in ROWS]


def measure_attention(name: str, dtype: torch.dtype, rounds: int) -> list[float]:
    shape = KVShape(LAYERS, HEADS, CHANNELS // HEADS, SLOTS, max(TOKENS))

    def all_layers(tokens: int) -> Callable[[], object]:
        attend = ATTEND[name](shape, dtype, tokens)
        return lambda: [attend(layer) for layer in range(LAYERS)]

    return [least_ms(all_layers(tokens), rounds) for tokens in TOKENS]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    linear = Table("linear layers, ms at rows", "", *map(str, ROWS))
    attention = Table(f"attention of {SLOTS} slots, ms at tokens", "", *map(str, TOKENS))
    for dtype in (torch.float32, torch.bfloat16):
        dtype_name = str(dtype).removeprefix("torch.")
        for name in MULTIPLY:
            linear.add_row(name, dtype_name, *(f"{ms:.1f}" for ms in measure_linear(name, dtype, rounds)))
        in_cache = measure_linear("prepare_linear", dtype, rounds, copies=1)
        linear.add_row("prepare_linear, weights in the cache", dtype_name, *(f"{ms:.1f}" for ms in in_cache))
        for name in ATTEND:
            attention.add_row(
                name, dtype_name, *(f"{ms:.1f}" for ms in measure_attention(name, dtype, rounds))
            )
    Console(width=110).print(linear, attention)


if __name__ == "__main__":
    main()
