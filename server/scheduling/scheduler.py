"""Which utterance speaks next: continuous batching over one `Engine`.

Pure: no clock (time is passed in), no threads, no I/O, no torch. Everything follows from one number, the time
at which a listener's buffer runs dry. A request that has not made a sound is dry since it was submitted, so
first audio goes first; then the stream that runs dry soonest; and because the number of whoever waits stands
still while those of newcomers grow, nobody waits for ever.

A device decodes the next tokens while the last ones are vocoded and sent: `step` begins to decode and returns
what there is to hear, `settle` waits for the tokens. Between the two only ends are taken in (`cancel`), so
that newcomers, who come after `settle`, are decoded with the very next step.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from providers.interface import (
    Admission,
    AudioChunk,
    Conditioning,
    Decoding,
    Engine,
    FinishReason,
    Samples,
    Span,
    Utterance,
)

SILENCE: Samples = np.zeros(0, np.float32)  # of an utterance that stopped before its first token


@dataclass(frozen=True, slots=True)
class Policy:
    """What a scheduler trades: time to first audio against work per second of audio."""

    chunk_tokens: tuple[int, ...] = (8, 12, 20, 40, 80)  # speech tokens of an utterance's 1st, 2nd … chunk
    max_decode_steps: int = 8  # per step: newcomers and cancels wait this long, the host is asked this rarely
    max_prefills: int = 8  # per step
    max_vocoded_tokens: int = (
        4096  # per step, but always one utterance; less than a decode adds means longer chunks
    )
    lead_s: float = 3.0  # a stream further ahead of its listener than this yields to others
    urgent_s: float = 0.3  # a stream closer to silence than this gets its chunk at the very token
    reserved_slot_share: float = 0.125  # slots that streams ahead of their listeners leave to newcomers
    assumed_utterance_s: float = 3.0  # audio expected of an utterance that has made less


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """Follows the last chunk of an utterance."""

    request_id: str
    utterance_index: int
    num_tokens: int
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """Nothing more of this request follows."""

    request_id: str
    error: Exception


Event = AudioChunk | UtteranceEnd | RequestFailed


@dataclass(slots=True, eq=False)
class Running:
    """An utterance in a slot."""

    utterance: Utterance
    slot: int
    dry_at: float  # when its listener hears silence unless more of this utterance comes
    num_tokens: int = 0
    finished: FinishReason | None = None
    vocoded: int = 0  # tokens, with those that are due in this step
    num_chunks: int = 0
    audio_s: float = 0.0
    ended: bool = False  # its last chunk is out

    def take_span(self) -> Span:
        """What is there to vocode; from now on it counts as vocoded."""
        span = Span(self.vocoded, self.num_tokens, is_last=self.finished is not None)
        self.vocoded = self.num_tokens
        self.num_chunks += 1
        return span


@dataclass(slots=True, eq=False)
class Listener:
    """Whoever asked: what waits to be spoken to them, and how far ahead of their ears we are."""

    conditioning: Conditioning
    waiting: deque[Utterance]  # by index
    started_at: float  # when playback began, moved on by every silence since; before that: submission
    dry_at: float  # when the first waiting utterance is needed
    begun: bool = False  # the first utterance sounds, so the others may start
    held: bool = False  # the listener doesn't read: start nothing more
    running: list[Running] = field(default_factory=list)  # by index; one that ended stays behind its elders
    heard_s: float = 0.0  # audio of those that are gone from there

    def may_start(self) -> bool:
        return bool(self.waiting) and not self.held and (self.begun or not self.running)

    def reckon(self, assumed_utterance_s: float) -> None:
        """When is what needed? Each after those before it, which last as long as assumed or as they do."""
        needed_at = self.started_at + self.heard_s
        for running in self.running:
            running.dry_at = needed_at + running.audio_s
            to_come_s = max(0.0, assumed_utterance_s - running.audio_s) if running.finished is None else 0.0
            needed_at = running.dry_at + to_come_s
        self.dry_at = needed_at

    def forget_ended(self) -> None:
        while self.running and self.running[0].ended:
            self.heard_s += self.running.pop(0).audio_s


class Scheduler:
    """Drives one engine. Knows requests, slots and deadlines; nothing about speech."""

    def __init__(self, engine: Engine, policy: Policy) -> None:
        self._engine = engine
        self._policy = policy
        self._sample_rate_hz = engine.spec.sample_rate_hz
        self._reserved_slots = int(engine.spec.num_slots * policy.reserved_slot_share)
        self._free = list(range(engine.spec.num_slots))  # a heap: low slots are used first
        self._running: dict[int, Running] = {}  # by slot
        self._listeners: dict[str, Listener] = {}  # by request
        self._decoding: Decoding | None = None  # from `step` to `settle`
        self._events: list[Event] = []
        self.decode_steps = 0
        self.speech_tokens = 0
        self.audio_s = 0.0

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something. A request that is held and has nothing running is no work."""
        return bool(self._running or self._events or any(map(Listener.may_start, self._listeners.values())))

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return sum(len(listener.waiting) for listener in self._listeners.values())

    def submit(self, utterances: Sequence[Utterance], conditioning: Conditioning, now: float) -> None:
        """Queue all utterances of one request, in order.

        `now` may lie in the past, if the request has waited elsewhere: the listener's patience began then.
        """
        request_id = utterances[0].request_id
        if request_id in self._listeners:
            raise ValueError(f"request {request_id!r} is already being spoken")
        self._listeners[request_id] = Listener(conditioning, deque(utterances), started_at=now, dry_at=now)

    def cancel(self, request_id: str) -> None:
        """Forget a request; its slots are free at once. An unknown request is one that has ended."""
        if listener := self._listeners.pop(request_id, None):
            self._release([running for running in listener.running if not running.ended])

    def hold(self, request_id: str) -> None:
        """Start no further utterance of a request whose listener doesn't read. Those running end normally."""
        if listener := self._listeners.get(request_id):
            listener.held = True

    def resume(self, request_id: str) -> None:
        if listener := self._listeners.get(request_id):
            listener.held = False

    def fail_running(self, error: Exception) -> list[Event]:
        """After `step` or `settle` raised: every request that was in a slot fails, those that wait don't."""
        failed = list(dict.fromkeys(running.utterance.request_id for running in self._running.values()))
        for request_id in failed:
            self._fail(request_id, error)
        return self._take_events()

    def step(self, now: float) -> list[Event]:
        """One round of work; `settle` ends it. An exception of decode or vocode passes through: see
        `fail_running`.
        """
        self._prefill_waiting(now)
        due = self._take_due(now)
        self._decode_running(now)
        self._vocode(due, now)
        self._release_finished()
        return self._take_events()

    def settle(self) -> None:
        """Wait for what `step` began to decode. An exception passes through, as there."""
        decoding, self._decoding = self._decoding, None
        if decoding is None:
            return
        for slot, progress in decoding.progress().items():
            running = self._running[slot]
            self.speech_tokens += progress.num_tokens - running.num_tokens
            running.num_tokens, running.finished = progress

    # Prefill

    def _prefill_waiting(self, now: float) -> None:
        admitted = self._admit_waiting(now)
        if admitted:
            self._prefill(admitted)

    def _admit_waiting(self, now: float) -> list[Running]:
        """Give free slots to waiting utterances, the soonest needed first."""
        policy = self._policy
        queue = self._queue() if self._free else []
        room = min(len(self._free), self._engine.room(), policy.max_prefills) if queue else 0
        admitted: list[Running] = []
        while queue and len(admitted) < room:
            dry_at, order, request_id = heapq.heappop(queue)
            if dry_at - now >= policy.lead_s and len(self._free) <= self._reserved_slots:
                break
            listener = self._listeners[request_id]
            running = Running(listener.waiting.popleft(), heapq.heappop(self._free), dry_at)
            self._running[running.slot] = running
            admitted.append(running)
            listener.running.append(running)
            listener.reckon(policy.assumed_utterance_s)
            if listener.may_start():
                heapq.heappush(queue, (listener.dry_at, order, request_id))
        return admitted

    def _queue(self) -> list[tuple[float, int, str]]:
        """Listeners that could start an utterance, as a heap of (dry at, order of arrival, request)."""
        queue = [
            (listener.dry_at, order, request_id)
            for order, (request_id, listener) in enumerate(self._listeners.items())
            if listener.may_start()
        ]
        heapq.heapify(queue)
        return queue

    def _prefill(self, admitted: Sequence[Running]) -> None:
        admissions = {
            running.slot: Admission(
                running.utterance, self._listeners[running.utterance.request_id].conditioning
            )
            for running in admitted
        }
        try:
            self._engine.prefill(admissions)
        except Exception as error:
            if len(admitted) == 1:
                self._fail(admitted[0].utterance.request_id, error)
                return
            # One of them is to blame. Alone, each shows whether it is.
            self._engine.release(list(admissions))
            for running in admitted:
                if running.slot in self._running:  # else an earlier utterance of its request failed
                    self._prefill([running])

    # Decode

    def _decode_running(self, now: float) -> None:
        chosen = self._decodable(now)
        if not chosen:
            return
        steps = self._steps_to_next_deadline(chosen, now)
        self._decoding = self._engine.begin_decode([running.slot for running in chosen], steps)
        self.decode_steps += steps

    def _decodable(self, now: float) -> list[Running]:
        """Unfinished utterances, without those that yield: seconds ahead while others are not.

        Nobody yields while someone needs a slot, because slots come from utterances that end.
        """
        unfinished = [running for running in self._running.values() if running.finished is None]
        soon = now + self._policy.lead_s
        pressed = [running for running in unfinished if running.dry_at < soon]
        if not pressed or len(pressed) == len(unfinished) or self._slot_is_needed(soon):
            return unfinished
        return pressed

    def _slot_is_needed(self, soon: float) -> bool:
        queue = [] if self._free else self._queue()
        return bool(queue) and queue[0][0] < soon

    def _steps_to_next_deadline(self, chosen: Sequence[Running], now: float) -> int:
        """As many steps as cost nobody time: up to the nearest chunk boundary of a listener in a hurry.

        Listeners with a second in hand don't notice a few tokens more in their chunk, and by not stopping for
        each of them their vocoding falls together.
        """
        policy = self._policy
        hurry = now + policy.urgent_s
        to_boundary = [
            running.vocoded + self._chunk_tokens(running, now) - running.num_tokens
            for running in chosen
            if running.dry_at < hurry
        ]
        return max(1, min([policy.max_decode_steps, *to_boundary]))

    def _chunk_tokens(self, running: Running, now: float) -> int:
        """Chunks grow; a stream that is well ahead goes straight to the largest, which costs least."""
        sizes = self._policy.chunk_tokens
        if running.dry_at - now >= self._policy.lead_s:
            return sizes[-1]
        size = sizes[min(running.num_chunks, len(sizes) - 1)]
        return size if running.vocoded else max(size, self._engine.spec.first_chunk_tokens)

    # Vocode

    def _vocode(self, due: Mapping[Running, Span], now: float) -> None:
        spans = {running.slot: span for running, span in due.items() if span.stop > 0}
        samples = self._engine.vocode(spans) if spans else {}
        for running in due:
            self._emit(running, samples.get(running.slot, SILENCE), now)

    def _take_due(self, now: float) -> dict[Running, Span]:
        return {running: running.take_span() for running in self._due(now)}

    def _due(self, now: float) -> list[Running]:
        """Utterances with a chunk's worth of tokens, soonest dry first, up to the most tokens per step."""
        due = [
            running
            for running in self._running.values()
            if running.finished is not None
            or running.num_tokens - running.vocoded >= self._chunk_tokens(running, now)
        ]
        due.sort(key=lambda running: running.dry_at)
        room = self._policy.max_vocoded_tokens
        for count, running in enumerate(due):
            room -= running.num_tokens - running.vocoded
            if room < 0:
                return due[: max(1, count)]
        return due

    def _emit(self, running: Running, samples: Samples, now: float) -> None:
        utterance, is_last = running.utterance, running.finished is not None
        running.ended = is_last
        if len(samples) or is_last:
            self._account(running, len(samples) / self._sample_rate_hz, now)
            self._events.append(
                AudioChunk(utterance.request_id, utterance.index, samples, self._sample_rate_hz, is_last)
            )
        if running.finished is not None:
            self._events.append(
                UtteranceEnd(utterance.request_id, utterance.index, running.num_tokens, running.finished)
            )

    def _account(self, running: Running, chunk_s: float, now: float) -> None:
        """Move the listener's clock: what follows this chunk is needed later; a silence delays everything."""
        listener = self._listeners[running.utterance.request_id]
        if running is listener.running[0]:
            listener.started_at += max(0.0, now - running.dry_at)
        listener.begun = True
        running.audio_s += chunk_s
        listener.reckon(self._policy.assumed_utterance_s)
        self.audio_s += chunk_s

    # Release

    def _release_finished(self) -> None:
        ended = [running for running in self._running.values() if running.ended]
        self._release(ended)
        for request_id in {running.utterance.request_id for running in ended}:
            listener = self._listeners[request_id]
            listener.forget_ended()
            if not listener.running and not listener.waiting:
                del self._listeners[request_id]

    def _fail(self, request_id: str, error: Exception) -> None:
        self.cancel(request_id)
        self._events.append(RequestFailed(request_id, error))

    def _release(self, ended: Sequence[Running]) -> None:
        if not ended:
            return
        slots = [running.slot for running in ended]
        for slot in slots:
            del self._running[slot]
            heapq.heappush(self._free, slot)
        self._engine.release(slots)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events
