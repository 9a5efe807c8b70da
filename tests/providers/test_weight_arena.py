from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from providers.weight_arena import ALIGNMENT, WeightArena, map_tensors

CHUNK_BYTES = 4096


def ordinary(size_bytes):
    return torch.empty(size_bytes, dtype=torch.uint8)


@pytest.fixture
def arena():
    return WeightArena(ordinary, CHUNK_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    weight: torch.Tensor
    bias: torch.Tensor
    name: str = "layer"


def test_copies_have_the_dtype_asked_for_and_a_place_that_kernels_like(arena):
    given = torch.randn(7, 5)
    copies = [arena.copy(given.t(), dtype) for dtype in (torch.float32, torch.bfloat16) for _ in range(3)]
    for copy in copies:
        torch.testing.assert_close(copy, given.t().to(copy.dtype), rtol=0, atol=0)
        assert copy.is_contiguous()
        in_chunk = copy.data_ptr() - copy.untyped_storage().data_ptr()
        assert in_chunk % ALIGNMENT == 0
    copies[0].zero_()
    assert copies[1].abs().min() > 0, "no two share a byte"


def test_layouts_are_kept_where_asked(arena):
    given = torch.randn(4, 6, 1, 3).contiguous(memory_format=torch.channels_last)
    (copy,) = arena.copy_all({"weight": given}).values()
    assert copy.stride() == given.stride()
    assert torch.equal(copy, given)


def test_gaps_are_filled_and_what_is_too_large_for_a_chunk_gets_its_own(arena):
    sizes = [3000, 2000, 9000, 1000, 2000]  # bytes: the last two go behind the first two
    copies = [arena.copy(torch.ones(size, dtype=torch.uint8), torch.uint8) for size in sizes]
    storages = [copy.untyped_storage().data_ptr() for copy in copies]
    assert len(set(storages)) == 3
    assert storages[3] == storages[0]
    assert storages[4] == storages[1]
    held = arena.hold(tuple(copies))
    assert [len(chunk) for chunk in held.chunks] == [CHUNK_BYTES, CHUNK_BYTES, 9216]


def test_the_last_chunk_ends_with_its_last_tensor(arena):
    held = arena.hold(arena.copy(torch.zeros(100), torch.float32))
    assert held.size_bytes == 512


def test_views_of_other_chunks_have_their_values(arena):
    weight, bias = torch.randn(40, 30), torch.randn(30)
    layers = {"a": (Layer(arena.copy(weight, torch.float32), arena.copy(bias, torch.bfloat16)),) * 2}
    held = arena.hold(layers)
    elsewhere = [chunk.clone() for chunk in held.chunks]
    for chunk in held.chunks:
        chunk.zero_()
    first, second = held.at(elsewhere)["a"]
    for layer in (first, second):
        assert torch.equal(layer.weight, weight)
        assert torch.equal(layer.bias, bias.bfloat16())
        assert layer.name == "layer"
    assert not layers["a"][0].weight.any(), "the held ones are as they were"


def test_what_has_no_tensors_stays_itself():
    value = (1, "two", None, {"three": 3.0})
    assert map_tensors(value, torch.zeros_like) == value
