"""The engines of a device, one per architecture, and who is next on each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from providers.interface import Engine, Provider
from server.scheduling.device import Device, is_fatal
from server.scheduling.residency import EngineKey
from server.scheduling.scheduler import Event, Scheduler

log = structlog.get_logger()


class DeviceLost(Exception):
    """Nothing more can be done on the device in this process."""


class Lane(NamedTuple):
    engine: Engine
    scheduler: Scheduler


class Totals(NamedTuple):
    """Since the process began."""

    decode_steps: int = 0
    speech_tokens: int = 0
    audio_s: float = 0.0


class Lanes:
    """Engines are made on demand and step in turn."""

    def __init__(self, device: Device, provider_of: Callable[[str], Provider]) -> None:
        self._device = device
        self._provider_of = provider_of
        self._lanes: dict[EngineKey, Lane] = {}
        self._closed = Totals()

    def __getitem__(self, key: EngineKey) -> Lane:
        return self._lanes[key]

    def open(self, key: EngineKey, is_needed: Callable[[EngineKey], bool]) -> Engine:
        """The engine for a key. A new one's KV pool takes the room of those that nobody needs any more."""
        if key not in self._lanes:
            for other in [other for other in self._lanes if not is_needed(other)]:
                self._closed = _add(self._closed, self._lanes.pop(other).scheduler)
            engine = self._provider_of(key.family).create_engine(key.architecture, self._device.engine)
            self._lanes[key] = Lane(engine, Scheduler(engine, self._device.policy))
            log.info("made an engine", family=key.family, slots=engine.spec.num_slots)
        return self._lanes[key].engine

    @property
    def has_work(self) -> bool:
        return any(lane.scheduler.has_work for lane in self._lanes.values())

    def step(self) -> list[Event]:
        """One step of every engine with work; `settle` ends it. Raises DeviceLost."""
        events: list[Event] = []
        for _, scheduler in self._lanes.values():
            if scheduler.has_work:
                with _failing_together(scheduler, events):
                    events += scheduler.step(time.monotonic())
        return events

    def settle(self) -> list[Event]:
        """Wait for what the engines began to decode. What failed, if anything did. Raises DeviceLost."""
        events: list[Event] = []
        for _, scheduler in self._lanes.values():
            with _failing_together(scheduler, events):
                scheduler.settle()
        return events

    @property
    def num_slots(self) -> int:
        return sum(lane.engine.spec.num_slots for lane in self._lanes.values())

    @property
    def num_running(self) -> int:
        return sum(lane.scheduler.num_running for lane in self._lanes.values())

    @property
    def num_waiting(self) -> int:
        return sum(lane.scheduler.num_waiting for lane in self._lanes.values())

    @property
    def totals(self) -> Totals:
        totals = self._closed
        for lane in self._lanes.values():
            totals = _add(totals, lane.scheduler)
        return totals


@contextmanager
def _failing_together(scheduler: Scheduler, events: list[Event]) -> Iterator[None]:
    """Where an engine fails, everything in its slots does, unless the device is lost."""
    try:
        yield
    except Exception as error:
        if is_fatal(error):
            raise DeviceLost(str(error)) from error
        log.exception("an engine failed; what was in its slots fails with it")
        events += scheduler.fail_running(error)


def _add(totals: Totals, scheduler: Scheduler) -> Totals:
    return Totals(
        totals.decode_steps + scheduler.decode_steps,
        totals.speech_tokens + scheduler.speech_tokens,
        totals.audio_s + scheduler.audio_s,
    )
