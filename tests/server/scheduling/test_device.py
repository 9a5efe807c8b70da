from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from providers.errors import EngineError, UnsupportedLanguage
from server.scheduling.device import KINDS, _default_slots, _weight_bytes, is_fatal, open_device
from server.settings import Settings


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path, device="cpu")


def test_a_cpu_takes_its_row_of_the_table(settings):
    device = open_device(settings)
    assert device.engine.dtype == "float32"
    assert device.engine.num_slots == 8
    assert device.policy == KINDS["cpu"].policy
    assert (
        0.5 < device.budgets.device_bytes / (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) < 0.7
    )
    assert device.budgets.host_bytes == 0, "one copy is enough where the memory is the same"
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))


def test_settings_go_before_the_table(settings):
    device = open_device(
        settings.model_copy(update={"dtype": "bfloat16", "slots": 3, "threads": 1, "device_budget_gib": 2.0})
    )
    assert device.engine.dtype == "bfloat16"
    assert device.engine.num_slots == 3
    assert device.budgets.device_bytes == 2 * 2**30
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("name", ["cuda:77", "tpu", "mps", "nonsense:x"])
def test_a_device_that_is_not_here_is_named(settings, name):
    with pytest.raises(EngineError, match=f"found the device '{name}'"):
        open_device(settings.model_copy(update={"device": name}))


def test_eight_bit_keys_and_values_need_a_device_that_converts_them(settings):
    with pytest.raises(
        EngineError, match="found VOICECORE_KV_CACHE=fp8 on the device 'cpu'; expected a CUDA"
    ):
        open_device(settings.model_copy(update={"kv_cache": "fp8"}))


@pytest.mark.parametrize(("capability", "opens"), [((8, 6), False), ((8, 9), True), ((9, 0), True)])
def test_they_need_ada_or_newer(settings, monkeypatch, capability, opens):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=2**34)
    )
    asked = settings.model_copy(update={"device": "cuda:0", "kv_cache": "fp8"})
    if opens:
        assert open_device(asked).engine.kv_cache == "fp8"
    else:
        with pytest.raises(EngineError, match="VOICECORE_KV_CACHE=fp8 on the device 'cuda:0'"):
            open_device(asked)


@pytest.mark.gpu
def test_auto_takes_the_first_cuda_device(settings):
    device = open_device(settings.model_copy(update={"device": "auto"}))
    assert (device.engine.device, device.engine.dtype) == ("cuda:0", "bfloat16")
    assert 16 <= device.engine.num_slots <= 1024
    assert device.engine.kv_bytes is not None
    assert device.budgets.host_bytes > 0


@pytest.mark.parametrize(("memory_gib", "slots"), [(1, 8), (24, 192), (139, 1024)])
def test_a_larger_device_has_more_slots(memory_gib, slots):
    assert _default_slots(KINDS["cuda"], memory_gib * 2**30) == slots


@pytest.mark.parametrize(("memory", "share"), [(24e9, 0.6), (80e9, 0.6), (150e9, 0.67)])
def test_what_a_large_device_does_not_need_to_work_with_holds_weights(memory, share):
    assert _weight_bytes("cuda", memory) == pytest.approx(share * memory, rel=0.01)
    assert _weight_bytes("cpu", memory) == pytest.approx(0.6 * memory)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_step_can_vocode_what_it_decodes(kind):
    """Else tokens would pile up behind the vocoder."""
    policy = kind.policy
    assert policy.max_vocoded_tokens >= kind.num_slots * policy.max_decode_steps


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("shape mismatch"), False),
        (UnsupportedLanguage("CUDA error: nice try", ["en"]), False),
    ],
)
def test_only_a_lost_device_is_fatal(error, fatal):
    assert is_fatal(error) is fatal
