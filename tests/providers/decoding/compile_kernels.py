"""Compiles the kernels for an H200 and prints what each takes, as JSON lines.

    python compile_kernels.py [xtts] [gpt_sovits] [16] [64]      # of families' sizes and rows per tile

Run by test_kernels_compile.py in a process of its own: where kernels are interpreted they can't be compiled.
"""

from __future__ import annotations

import json
import sys

import torch
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from providers.decoding import draw_kernel, kernels
from providers.decoding.fused import TILINGS, _block_in, _block_out
from providers.decoding.kv_pages import PAGE_TOKENS
from providers.decoding.state import FULL, RUNNING, STOPPED

H200 = GPUTarget("cuda", 90, 32)
ALIGNED = [["tt.divisibility", 16]]
SIZES = {"xtts": (1024, 16), "gpt_sovits": (512, 16)}
EIGHT_BITS = dict.fromkeys(("keys", "values"), "*fp8e4nv")
VOCABULARY = {"xtts": 1026, "gpt_sovits": 1025}
REAL = ("logits", "latents", "kept_latents", "temperature", "top_p", "penalty")
WHOLE = ("cached", "generated", "limit", "position", "finish", "codes", "top_k", "key")
TYPES = {
    "pages": "*i32",
    "seen": "*u8",
    **dict.fromkeys(REAL, "*fp32"),
    **dict.fromkeys(WHOLE, "*i64"),
    **dict.fromkeys(("addresses", "resident_of_tile", "slots", "positions", "visible", "tokens"), "*i64"),
}


def main(families: list[str], tiles: list[int]) -> None:
    for family in families:
        channels, heads = SIZES[family]
        head_channels = channels // heads
        shape = {"HEAD_CHANNELS": head_channels, "PAGE_TOKENS": PAGE_TOKENS}
        report(family, "attend", kernels.attend, {"HEADS": heads, **shape}, {})
        report(family, "attend, eight bits", kernels.attend, {"HEADS": heads, **shape}, {}, **EIGHT_BITS)
        report(family, "draw", draw_kernel.draw, draw_constants(family, channels), {})
        report(family, "normalise", kernels.normalise, normalise_constants(channels), {})
        report(family, "head", kernels.linear, head_constants(channels, VOCABULARY[family]), {}, "*fp32")
        for tile in tiles:
            tiling, row = TILINGS[tile], {"CHANNELS": channels, "PADDED": channels, "TILE": tile}
            options = {"num_warps": tiling.num_warps, "num_stages": tiling.num_stages}
            projection = {**row, **shape, "NORMALISE": True, "EPSILON": 1e-5}
            for kind, types in (("", {}), (", eight bits", EIGHT_BITS)):
                report(
                    family,
                    f"queries_keys_values, {tile} rows{kind}",
                    kernels.queries_keys_values,
                    {**projection, **blocks(channels, channels, tile)},
                    options,
                    **types,
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


def draw_constants(family: str, channels: int) -> dict[str, object]:
    return {
        "VOCABULARY": VOCABULARY[family],
        "PADDED_VOCABULARY": 2048,
        "CHANNELS": channels,
        "PADDED_CHANNELS": channels,
        "TOKENS": 603,
        "TILE": 16,
        "STOP": VOCABULARY[family] - 1,
        "MIN_TOKENS": 0 if family == "xtts" else 11,
        "STOPS_IF_LIKELIEST": family != "xtts",
        "TOP_P_FIRST": family != "xtts",
        "COUNTS_STOP": family == "xtts",
        "RUNNING": RUNNING,
        "STOPPED": STOPPED,
        "FULL": FULL,
    }


def normalise_constants(channels: int) -> dict[str, object]:
    sizes = {"CHANNELS": channels, "PADDED": channels, "TILE": 16, "EPSILON": 1e-5}
    return {**sizes, "weight_dtype": tl.float32, "rounded_dtype": tl.float32}


def head_constants(channels: int, vocabulary: int) -> dict[str, object]:
    sizes = {"INPUTS": channels, "OUTPUTS": vocabulary, "TILE": 16, "EPSILON": 1e-5}
    padded = {"PADDED_INPUTS": channels, "PADDED_OUTPUTS": 2048}
    flags = {"NORMALISE": False, "ACTIVATION": "none", "RESIDUAL": "none"}
    cut = {
        "BLOCK_IN": _block_in(channels, torch.float32, TILINGS[16]),
        "BLOCK_OUT": _block_out(vocabulary, 16),
    }
    return {**sizes, **padded, **flags, **cut}


def blocks(inputs: int, outputs: int, tile: int) -> dict[str, int]:
    return {
        "BLOCK_IN": _block_in(inputs, torch.bfloat16, TILINGS[tile]),
        "BLOCK_OUT": _block_out(outputs, tile),
    }


def report(family, name, kernel, constants, options, default_type="*bf16", **types) -> None:
    """`types`: of arguments whose type isn't that in TYPES."""
    signature, attributes = {}, {}
    pointers = [parameter.name for parameter in kernel.params if not parameter.do_not_specialize]
    for i, argument in enumerate(kernel.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in pointers:
            signature[argument] = (TYPES | types).get(argument, default_type)
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
                "eight_bit_conversions": ptx.count("e4m3x2"),
            }
        )
    )


if __name__ == "__main__":
    chosen = sys.argv[1:]
    main(
        [name for name in chosen if name in SIZES] or [*SIZES],
        [int(name) for name in chosen if name.isdigit()] or [*TILINGS],
    )
