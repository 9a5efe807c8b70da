"""The simulated device refuses what a real one does: else what runs on it would say nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from providers.decoding.step_graph import capture
from providers.host_copy import HostCopy
from tests.simulated_cuda import CUDA, simulated


@pytest.fixture(autouse=True)
def device():
    with simulated():
        yield


def test_tensors_stay_where_they_are():
    there = torch.ones(3, device=CUDA)
    for result in (there[1:] * 2, torch.cat((there, there)), torch.empty_like(there), there.new_zeros(2)):
        assert result.is_cuda
        assert result.device == CUDA
    for result in (there.cpu(), there.to("cpu"), torch.ones(3)):
        assert not result.is_cuda
    assert torch.nn.Linear(3, 2).to(CUDA)(there).is_cuda


def test_sides_share_no_memory():
    here = torch.ones(3)
    here.to(CUDA).zero_()
    here.to(CUDA).cpu().zero_()
    assert here.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: torch.cat((here, there)),
        lambda here, there: there.index_fill_(0, here.long(), 1.0),
        lambda here, there: here[there.long()],
        lambda here, there: there.__setitem__(there.long(), here),
        lambda here, there: torch.nn.functional.linear(there, torch.ones(3, 3)),
    ],
)
def test_tensors_of_both_sides_are_refused(mix):
    with pytest.raises(AssertionError, match="host"):
        mix(torch.ones(3), torch.ones(3, device=CUDA))


def test_numbers_and_copies_cross():
    there = torch.ones(3, device=CUDA)
    there[1:] = torch.full((2,), 5.0)
    there[0] = 3
    assert (there * torch.tensor(2.0)).tolist() == [6, 10, 10]


def test_numpy_does_not_read_a_device():
    with pytest.raises(TypeError):
        np.asarray(torch.ones(3, device=CUDA))


def test_new_memory_holds_garbage():
    assert torch.empty(2, device=CUDA).isnan().all().item()


def test_a_copy_to_page_locked_memory_arrives_when_it_is_waited_for():
    copy = HostCopy(torch.ones(3, device=CUDA))
    assert copy._tensor.isnan().all()
    assert copy.wait().tolist() == [1, 1, 1]


def test_page_locked_memory_that_changes_too_early_is_found():
    source = torch.empty(3, pin_memory=True)
    there = torch.empty(3, device=CUDA)
    source.fill_(1)
    there.copy_(source, non_blocking=True)
    source.fill_(2)
    with pytest.raises(AssertionError, match="page-locked"):
        torch.cuda.synchronize()


def test_a_replay_repeats_what_was_captured_on_what_memory_holds_now():
    static, total = torch.ones(2, device=CUDA), torch.zeros(2, device=CUDA)

    def step():
        total.add_(torch.empty_like(static).copy_(static) * 2)

    replay = capture(step, CUDA, torch.cuda.graph_pool_handle())
    total.zero_()
    for value in (1, 10):
        static.fill_(value)
        replay()
    assert total.tolist() == [22, 22]


@pytest.mark.parametrize(
    "step",
    [
        lambda there: there.sum().item(),
        lambda there: there.tolist(),
        lambda there: there.nonzero(),
        lambda there: there.cpu(),
        lambda there: there[there > 0],
        lambda there: torch.tensor([1, 2], device=CUDA),
        lambda there: there.__setitem__(there.long(), 1.0),
        lambda there: there.copy_(torch.ones(3)),
        lambda there: torch.cuda.synchronize(),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(step):
    there = torch.ones(3, device=CUDA)
    with pytest.raises(AssertionError, match="captured"):
        capture(lambda: step(there), CUDA, None)
