from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from providers.decoding.linear import DenseLinear, PackedLinear, can_pack, prepare_linear

CPU = torch.device("cpu")
ACTIVATIONS = {
    "none": lambda y: y,
    "relu": F.relu,
    "gelu_tanh": lambda y: F.gelu(y, approximate="tanh"),
}
needs_packing = pytest.mark.skipif(not can_pack(CPU, torch.bfloat16), reason="no oneDNN kernels here")


def tensors(inputs=96, outputs=130, rows=5):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(inputs, outputs, generator=generator) * inputs**-0.5
    return weight, torch.randn(outputs, generator=generator), torch.randn(rows, inputs, generator=generator)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("kind", ["prepared", "dense"])
def test_multiplies_adds_and_activates(kind, dtype, atol, activation):
    weight, bias, x = tensors()
    if kind == "prepared":
        linear = prepare_linear(weight, bias, CPU, dtype, activation)
    else:
        linear = DenseLinear(weight.to(dtype), bias.to(dtype), activation)
    expected = ACTIVATIONS[activation](x.double() @ weight.double() + bias.double())
    actual = linear(x.to(dtype))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("kind", ["prepared", "dense"])
def test_adds_to_a_residual_and_leaves_it_as_it_was(kind, dtype, atol):
    weight, bias, x = tensors()
    prepared = prepare_linear(weight, bias, CPU, dtype)
    linear = prepared if kind == "prepared" else DenseLinear(weight.to(dtype), bias.to(dtype))
    residual = torch.randn(5, 130, generator=torch.Generator().manual_seed(1)).to(dtype)
    before = residual.clone()
    expected = residual.double() + x.double() @ weight.double() + bias.double()
    torch.testing.assert_close(linear.add_to(residual, x.to(dtype)).double(), expected, rtol=0, atol=atol)
    assert torch.equal(residual, before)


@needs_packing
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inputs", "outputs"), [(48, 144), (1024, 1024), (4096, 1024)])
def test_a_packed_row_does_not_depend_on_the_rows_beside_it(dtype, inputs, outputs):
    weight, bias, x = tensors(inputs, outputs, rows=40)
    linear = prepare_linear(weight, bias, CPU, dtype, "gelu_tanh")
    assert isinstance(linear, PackedLinear)
    x = x.to(dtype)
    together = linear(x)
    for rows in (2, 3, 4, 5, 7, 8, 16, 33):
        assert torch.equal(linear(x[:rows].contiguous()), together[:rows]), rows
    assert torch.equal(linear(x.flip(0).contiguous()), together.flip(0))


def test_takes_views_and_keeps_none_of_them():
    weight, bias, x = tensors()
    strided = torch.stack((weight, torch.zeros_like(weight)), dim=-1)[..., 0]
    for given in (weight, strided, weight.t().contiguous().t()):
        given = given.clone() if given is weight else given
        linear = prepare_linear(given, bias, CPU, torch.float32)
        expected = x @ weight + bias
        given.zero_()
        torch.testing.assert_close(linear(x), expected, rtol=0, atol=1e-5)


def test_counts_its_bytes():
    weight, bias, _ = tensors(inputs=64, outputs=128)
    assert prepare_linear(weight, bias, CPU, torch.float32).size_bytes == (64 * 128 + 128) * 4
    assert DenseLinear(weight.bfloat16(), bias.bfloat16()).size_bytes == (64 * 128 + 128) * 2
