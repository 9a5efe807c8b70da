"""What a cache of 8-bit floats gives back, by torch and by the kernels, and where there is none."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from providers.decoding import backend
from providers.decoding.kv_cache import in_format
from providers.decoding.plain import PlainBackend
from providers.errors import EngineError

pytest.importorskip("triton", reason="needs Triton")

import triton
import triton.language as tl

from providers.decoding import kernels

CPU = torch.device("cpu")
DEVICE = torch.device("cuda:0") if torch.cuda.is_available() else CPU
E4M3 = torch.float8_e4m3fn
BLOCK = 1024


@triton.jit
def round_trip(x, kept, given_back, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(kept + place, kernels.rounded(tl.load(x + place), kept.dtype.element_ty))
    tl.store(given_back + place, tl.load(kept + place).to(tl.float32))


def test_a_kernel_rounds_every_number_as_torch_does():
    """All finite numbers of bfloat16's grid, which has every tie between two neighbours."""
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()
    numbers = torch.where(numbers.isfinite(), numbers, 0.0).to(DEVICE)
    kept = torch.empty(numbers.shape, dtype=E4M3, device=DEVICE)
    given_back = torch.empty_like(numbers)
    round_trip[(len(numbers) // BLOCK,)](numbers, kept, given_back, BLOCK=BLOCK)
    expected = in_format(numbers, E4M3).float()
    torch.testing.assert_close(given_back, expected, rtol=0, atol=0)
    torch.testing.assert_close(kept.float(), expected, rtol=0, atol=0)


def test_the_nearest_is_taken_and_beyond_the_largest_the_largest():
    numbers = torch.tensor([0.0, 1.0, 1.07, 1.2, -300.0, 449.0, -1e9, 2.0**-9, 2.0**-11])
    expected = torch.tensor([0.0, 1.0, 1.125, 1.25, -288.0, 448.0, -448.0, 2.0**-9, 0.0])
    assert torch.equal(in_format(numbers, E4M3).float(), expected)
    assert in_format(numbers, torch.float32) is numbers


def test_a_device_that_only_imitates_eight_bits_is_refused(spec, monkeypatch):
    """It would round without saving a byte."""
    monkeypatch.setattr(backend, "_problem_with_kernels", lambda spec, device: "no compiler")
    cuda, eight_bits = torch.device("cuda:0"), dataclasses.replace(spec, kv_dtype=E4M3)
    with pytest.raises(EngineError, match=r"fused kernels, which it needs, don't run \(no compiler\)"):
        backend.backend_of(eight_bits, cuda)
    assert backend.backend_of(spec, cuda) is PlainBackend
    assert backend.backend_of(eight_bits, CPU) is PlainBackend
