"""Compiles the kernels for an H200 at the families' sizes and prints what each takes, as JSON lines.

Run by test_kernels_compile.py in a process of its own: where kernels are interpreted they can't be compiled.
"""

from __future__ import annotations

import json
import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from providers.decoding import kernels
from providers.decoding.fused import TILINGS, _block_in, _block_out
from providers.decoding.kv_pages import PAGE_TOKENS

H200 = GPUTarget("cuda", 90, 32)
ALIGNED = [["tt.divisibility", 16]]
TYPES = {
    "pages": "*i32",
    **dict.fromkeys(("addresses", "resident_of_tile", "slots", "positions", "visible", "tokens"), "*i64"),
}
SIZES = {"xtts": (1024, 16), "gpt_sovits": (512, 16)}


def main(families: list[str]) -> None:
    for family in families:
        channels, heads = SIZES[family]
        head_channels = channels // heads
        shape = {"HEAD_CHANNELS": head_channels, "PAGE_TOKENS": PAGE_TOKENS}
        report(family, "attend", kernels.attend, {"HEADS": heads, **shape}, {})
        for tile, tiling in TILINGS.items():
            row = {"CHANNELS": channels, "PADDED": channels, "TILE": tile}
            options = {"num_warps": tiling.num_warps, "num_stages": tiling.num_stages}
            report(
                family,
                f"queries_keys_values, {tile} rows",
                kernels.queries_keys_values,
                {**row, **shape, "NORMALISE": True, "EPSILON": 1e-5, **blocks(channels, channels, tile)},
                options,
            )
            for inputs, outputs, flags in (
                (channels, 4 * channels, {"NORMALISE": True, "ACTIVATION": "gelu_tanh", "RESIDUAL": "none"}),
                (4 * channels, channels, {"NORMALISE": False, "ACTIVATION": "none", "RESIDUAL": "plain"}),
                (channels, channels, {"NORMALISE": False, "ACTIVATION": "none", "RESIDUAL": "normalised"}),
            ):
                sizes = {"INPUTS": inputs, "OUTPUTS": outputs, "TILE": tile, "EPSILON": 1e-5}
                padded = {"PADDED_INPUTS": inputs, "PADDED_OUTPUTS": outputs}
                name = f"linear {inputs} to {outputs}, {tile} rows"
                constants = {**sizes, **padded, **flags, **blocks(inputs, outputs, tile)}
                report(family, name, kernels.linear, constants, options)


def blocks(inputs: int, outputs: int, tile: int) -> dict[str, int]:
    return {
        "BLOCK_IN": _block_in(inputs, torch.bfloat16, TILINGS[tile]),
        "BLOCK_OUT": _block_out(outputs, tile),
    }


def report(family, name, kernel, constants, options) -> None:
    signature, attributes = {}, {}
    pointers = [parameter.name for parameter in kernel.params if not parameter.do_not_specialize]
    for i, argument in enumerate(kernel.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in pointers:
            signature[argument] = TYPES.get(argument, "*bf16")
            attributes[i,] = ALIGNED
        else:
            signature[argument] = "i32"
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    compiled = compile(source, target=H200, options=options)
    ptx = compiled.asm["ptx"]
    print(
        json.dumps(
            {
                "kernel": f"{family}: {name}",
                "shared_bytes": compiled.metadata.shared,
                "asynchronous_loads": ptx.count("cp.async.cg.shared"),
                "narrow_loads": ptx.count("ld.global.b16"),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:] or [*SIZES])
