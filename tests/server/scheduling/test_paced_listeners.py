"""How many listeners hear speech without a gap, by who is served first. Time is simulated, on a device that
does one thing at a time or on one that decodes while it vocodes.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from providers.interface import AudioChunk, Utterance
from server.scheduling.scheduler import Policy, Running, Scheduler

SLOTS = 8
# Seconds: as on a device on which a step of eight utterances costs three times one of a single utterance.
STEP_S, STEP_PER_UTTERANCE_S, PREFILL_S, VOCODE_PER_TOKEN_S = 0.0020, 0.0005, 0.004, 0.0002
COST_S: dict[str, Callable[[Any], float]] = {
    "prefill": lambda slots: PREFILL_S * len(slots),
    "decode": lambda call: call[1] * (STEP_S + STEP_PER_UTTERANCE_S * len(call[0])),
    "vocode": lambda spans: VOCODE_PER_TOKEN_S * sum(span.stop - span.start for span in spans.values()),
}
ARRIVALS_S = 4.0  # everybody has come by then
MOST_WAIT_S, MOST_SILENCE_S = 1.0, 0.05
SENTENCES = (150, 300, 150, 300, 150)  # speech tokens, of 10 ms each
POLICY = Policy(lead_s=1.0, assumed_utterance_s=2.0)


class FirstComeFirstServed(Scheduler):
    """The same engine, chunks and slots, without a thought for who needs sound soonest."""

    def _admit_waiting(self, now: float) -> list[Running]:
        admitted: list[Running] = []
        for listener in self._listeners.values():  # in the order of submission
            while listener.may_start() and self._free and len(admitted) < self._policy.max_prefills:
                running = Running(listener.waiting.popleft(), heapq.heappop(self._free), listener.dry_at)
                self._running[running.slot] = running
                listener.running.append(running)
                listener.reckon(self._policy.assumed_utterance_s)
                admitted.append(running)
        return admitted

    def _decodable(self, now: float) -> list[Running]:
        return [running for running in self._running.values() if running.finished is None]


def listen(
    family: ModuleType, kind: Callable[..., Scheduler], listeners: int, overlaps: bool = False
) -> dict[str, list[tuple[float, int, float]]]:
    """Request → (time, utterance, seconds of audio) of every chunk; one listener comes after the other."""
    engine = family.FakeEngine(num_slots=SLOTS)
    engine.load(family.FakeWeights("submission", 1))
    scheduler = kind(engine, POLICY)
    conditioning = family.FakeConditioning("submission", 0.5)
    waiting = [(ARRIVALS_S * i / listeners, str(i)) for i in range(listeners)]
    heard: dict[str, list[tuple[float, int, float]]] = defaultdict(list)
    now = 0.0
    while waiting or scheduler.has_work:
        while waiting and waiting[0][0] <= now:
            came_at, name = waiting.pop(0)
            scheduler.submit(request(family, name), conditioning, came_at)
        if not scheduler.has_work:
            now = waiting[0][0]
            continue
        engine.calls.clear()
        events = scheduler.step(now)
        prefilled_at = now + cost_s(engine.calls, "prefill")
        decode_s = cost_s(engine.calls, "decode")
        now = prefilled_at + cost_s(engine.calls, "vocode")
        for event in events:
            if isinstance(event, AudioChunk):
                seconds = len(event.samples) / event.sample_rate_hz
                heard[event.request_id].append((now, event.utterance_index, seconds))
        scheduler.settle()
        now = max(now, prefilled_at + decode_s) if overlaps else now + decode_s
    return heard


def request(family: ModuleType, name: str) -> list[Utterance]:
    return [
        Utterance(
            request_id=name,
            index=index,
            submission_id="submission",
            voice_id="voice",
            prompt=replace(family.prompt("x" * length), text=""),
            sampling=family.DEFAULT_SAMPLING,
        )
        for index, length in enumerate(SENTENCES)
    ]


def cost_s(calls: Sequence[tuple[str, object]], kind: str) -> float:
    return sum(COST_S[kind](argument) for call, argument in calls if call == kind)


def wait_and_silence(came_at: float, chunks: Sequence[tuple[float, int, float]]) -> tuple[float, float]:
    """Seconds to the first sound, and seconds of gaps in what follows, heard at once and in order."""
    ordered = sorted(chunks, key=lambda chunk: (chunk[1], chunk[0]))
    start = dry_at = next(time for time, _, seconds in ordered if seconds)
    silence = 0.0
    for time, _, seconds in ordered:
        silence += max(0.0, time - dry_at)
        dry_at = max(dry_at, time) + seconds
    return start - came_at, silence


def capacity(family: ModuleType, kind: Callable[..., Scheduler], overlaps: bool = False) -> int:
    """The most listeners of whom none waits long or hears a gap."""
    for listeners in range(2, 30):
        heard = listen(family, kind, listeners, overlaps)
        for name, chunks in heard.items():
            wait_s, silence_s = wait_and_silence(ARRIVALS_S * int(name) / listeners, chunks)
            if wait_s > MOST_WAIT_S or silence_s > MOST_SILENCE_S:
                return listeners - 1
    raise AssertionError("found no limit")


@pytest.mark.parametrize("listeners", [4])
def test_nobody_hears_a_gap_while_there_is_time_for_all(fake_family, listeners):
    for name, chunks in listen(fake_family, Scheduler, listeners).items():
        wait_s, silence_s = wait_and_silence(ARRIVALS_S * int(name) / listeners, chunks)
        assert wait_s < 0.3
        assert silence_s == 0.0


def test_serving_whoever_runs_dry_soonest_serves_more_listeners(fake_family):
    by_deadline = capacity(fake_family, Scheduler)
    by_arrival = capacity(fake_family, FirstComeFirstServed)
    print(by_deadline, by_arrival)
    assert by_deadline >= 1.3 * by_arrival


def test_decoding_while_vocoding_serves_no_fewer(fake_family):
    """The last utterance's slot is free a call later; what is won by not waiting is more than that."""
    one_at_a_time = capacity(fake_family, Scheduler)
    both_at_once = capacity(fake_family, Scheduler, overlaps=True)
    print(both_at_once, one_at_a_time)
    assert both_at_once > one_at_a_time
