"""The fused kernels compile for an H200, on a machine that has none: at XTTS's size, in small tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="needs Triton")

MOST_SHARED_BYTES = 227 * 2**10  # of one program on an H200


@pytest.mark.slow
def test_every_kernel_fits_and_loads_its_weights_asynchronously():
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    # From 3.9 on Triton warns where nobody says whether products and sums may be fused.
    environment |= {"TRITON_DEFAULT_FP_FUSION": "1"}
    script = Path(__file__).with_name("compile_kernels.py")
    finished = subprocess.run(
        [sys.executable, str(script), "xtts", "16"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    compiled = [json.loads(line) for line in finished.stdout.splitlines()]
    assert len(compiled) == 10
    for kernel in compiled:
        assert kernel["shared_bytes"] <= MOST_SHARED_BYTES, kernel
        if "linear" in kernel["kernel"] or "queries" in kernel["kernel"]:
            assert kernel["asynchronous_loads"] > 0, kernel
            assert kernel["narrow_loads"] == 0, kernel
        assert (kernel["eight_bit_conversions"] > 0) is ("eight bits" in kernel["kernel"]), kernel
