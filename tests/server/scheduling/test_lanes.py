"""Several engines on one device."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from providers.interface import EngineSettings, Utterance
from server.scheduling.device import Device
from server.scheduling.lanes import DeviceLost, Lanes
from server.scheduling.residency import Budgets, EngineKey
from server.scheduling.scheduler import Policy, RequestFailed, UtteranceEnd

FIRST, SECOND = EngineKey("fake", "one"), EngineKey("fake", "two")


@pytest.fixture
def lanes(fake_family: ModuleType) -> Lanes:
    device = Device(EngineSettings("cpu", "float32", num_slots=2), Policy(), Budgets(2**30, 0))
    provider = fake_family.FakeProvider()
    lanes = Lanes(device, lambda family: provider)
    for key in (FIRST, SECOND):
        lanes.open(key, lambda _: True).load(fake_family.FakeWeights("submission", 1))
    return lanes


@pytest.fixture
def submit(lanes: Lanes, fake_family: ModuleType) -> Callable[..., None]:
    def submit(key: EngineKey, request_id: str, text: str = "twenty characters it") -> None:
        prompt, sampling = fake_family.prompt(text), fake_family.DEFAULT_SAMPLING
        utterance = Utterance(request_id, 0, "submission", "voice", prompt, sampling)
        lanes[key].scheduler.submit([utterance], fake_family.FakeConditioning("submission", 0.5), now=0.0)

    return submit


def engines(lanes: Lanes) -> list[Any]:
    return [lanes[key].engine for key in (FIRST, SECOND)]


def test_all_engines_decode_before_the_first_is_waited_for(lanes: Lanes, submit: Callable[..., None]):
    submit(FIRST, "a")
    submit(SECOND, "b")
    lanes.step()
    assert all(engine.decoding is not None for engine in engines(lanes))
    lanes.settle()
    assert all(engine.decoding is None for engine in engines(lanes))


@pytest.mark.parametrize("fault", ["DECODE", "VOCODE"])
def test_an_engine_that_fails_spares_the_others(
    lanes: Lanes, submit: Callable[..., None], fake_family: ModuleType, fault: str
):
    submit(FIRST, "broken", getattr(fake_family.Fault, fault))
    submit(SECOND, "whole")
    events = []
    while lanes.has_work:
        events += lanes.step() + lanes.settle()
    assert [event.request_id for event in events if isinstance(event, RequestFailed)] == ["broken"]
    assert [event.request_id for event in events if isinstance(event, UtteranceEnd)] == ["whole"]
    submit(FIRST, "next")
    while lanes.has_work:
        events += lanes.step() + lanes.settle()
    assert events[-1].request_id == "next"
    assert not isinstance(events[-1], RequestFailed)


def test_a_device_that_is_lost_while_it_decodes_ends_everything(
    lanes: Lanes, submit: Callable[..., None], fake_family: ModuleType
):
    submit(FIRST, "a", fake_family.Fault.FATAL)
    lanes.step()
    with pytest.raises(DeviceLost, match="illegal memory access"):
        lanes.settle()


def test_an_engine_can_be_given_up_while_it_decodes_for_nobody(
    lanes: Lanes, submit: Callable[..., None], fake_family: ModuleType
):
    submit(FIRST, "gone")
    lanes.step()
    lanes[FIRST].scheduler.cancel("gone")
    before = lanes.totals
    third = EngineKey("fake", "three")
    lanes.open(third, is_needed=lambda key: key == SECOND)
    lanes[third].engine.load(fake_family.FakeWeights("submission", 1))
    assert lanes.totals == before
    assert lanes.settle() == []
    submit(third, "next")
    events = []
    while lanes.has_work:
        events += lanes.step() + lanes.settle()
    assert isinstance(events[-1], UtteranceEnd)
