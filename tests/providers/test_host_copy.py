from __future__ import annotations

import pytest
import torch

from providers.host_copy import HostCopy


def test_on_a_cpu_it_is_the_tensor_itself():
    tensor = torch.arange(5)
    assert HostCopy(tensor).wait() is tensor


@pytest.mark.gpu
def test_it_holds_what_was_there_when_it_was_queued():
    tensor = torch.zeros(1000, device="cuda:0")
    copies = []
    for value in range(50):
        tensor.fill_(value)
        copies.append(HostCopy(tensor))
    for value, copy in enumerate(copies):
        found = copy.wait()
        assert found.is_pinned()
        assert torch.equal(found, torch.full((1000,), float(value)))


@pytest.mark.gpu
def test_it_is_not_waited_for_longer_than_it_takes():
    """What is queued behind it is a second and more of nothing."""
    copy = HostCopy(torch.ones(1000, device="cuda:0"))
    torch.cuda._sleep(4_000_000_000)
    assert torch.equal(copy.wait(), torch.ones(1000))
    assert not torch.cuda.current_stream().query()
    torch.cuda.synchronize()
