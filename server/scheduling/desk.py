"""Where requests are taken in: each waits for its submission, then for its conditioning, then for a slot.

Runs in the engine thread only. What takes long elsewhere (reading weights, deriving a conditioning) comes
back through `post`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import psutil
import structlog

from models_store.store import ModelsStore
from providers.errors import EmptyText
from providers.interface import AudioChunk, Conditioning, EngineSettings, Provider, Utterance
from server.errors import Overloaded
from server.scheduling.conditioning_cache import ConditioningCache, ConditioningKey
from server.scheduling.device import Device, is_fatal
from server.scheduling.failures import to_failure
from server.scheduling.lanes import DeviceLost, Lanes
from server.scheduling.library import Library
from server.scheduling.messages import (
    Answer,
    Audio,
    Failed,
    Resident,
    Speak,
    ToServer,
    UtteranceDone,
    WorkerState,
)
from server.scheduling.residency import Claim, EngineKey, Placed, Residency
from server.scheduling.scheduler import Event, Scheduler, UtteranceEnd
from server.settings import Settings

Post = Callable[[Callable[[], None]], None]

log = structlog.get_logger()


class Connection(Protocol):
    """Where answers go. Any thread may send."""

    def send(self, replies: Sequence[ToServer]) -> None: ...


class Threads(NamedTuple):
    """A thread each, so that neither waits for the other and the engine thread for none."""

    weights: Executor
    conditionings: Executor


class RequestKey(NamedTuple):
    """Connections name their requests as they like."""

    connection: Connection
    request_id: str


@dataclass(slots=True, eq=False)
class Request:
    key: RequestKey
    id: str  # among all connections
    speak: Speak
    received_at: float
    unfinished: int  # utterances
    claim: Claim | None = None  # on its submission
    conditioning: Future[Conditioning] | None = None
    scheduler: Scheduler | None = None  # once it waits for a slot
    paused: bool = False  # its listener doesn't read


class Desk:
    """Every request of this process."""

    def __init__(
        self,
        device: Device,
        store: ModelsStore,
        settings: Settings,
        provider_of: Callable[[str], Provider],
        threads: Threads,
        post: Post,
    ) -> None:
        """`provider_of` maps a family to its provider; `post` has something done in the engine thread."""
        self._device = device
        self._library = Library(store, provider_of, device.engine)
        self._conditionings = ConditioningCache(
            int(settings.conditioning_cache_mib * 2**20),
            _kind_of_conditionings(device.engine),
            store.conditioning_dir,
            threads.conditionings,
        )
        self._lanes = Lanes(device, provider_of)
        self._residency = Residency(
            device.budgets,
            read=self._library.weights,
            engine_of=lambda key: self._lanes.open(key, is_needed=self._residency.has_residents),
            loader=threads.weights,
            post=post,
        )
        self._post = post
        self._max_queued_utterances = settings.max_queued_utterances
        self._requests: dict[RequestKey, Request] = {}
        self._by_id: dict[str, Request] = {}
        self._stalled: set[Connection] = set()
        self._serial = 0

    # What a connection may ask for

    def speak(self, connection: Connection, speak: Speak) -> None:
        key = RequestKey(connection, speak.request_id)
        try:
            self._check(key, speak)
        except (Overloaded, EmptyText, ValueError) as error:
            connection.send([_failed(speak.request_id, error)])
            return
        self._serial += 1
        request = Request(
            key, f"{self._serial}/{speak.request_id}", speak, time.monotonic(), len(speak.prompts)
        )
        self._requests[key] = self._by_id[request.id] = request
        request.claim = Claim(speak.submission_id, partial(self._condition, request), speak.edition)
        self._residency.enter(request.claim)

    def cancel(self, connection: Connection, request_id: str) -> None:
        if request := self._requests.get(RequestKey(connection, request_id)):
            self._end(request)

    def pause(self, connection: Connection, request_id: str, paused: bool) -> None:
        if request := self._requests.get(RequestKey(connection, request_id)):
            request.paused = paused
            self._apply_pause(request)

    def load(self, connection: Connection, call_id: str, submission_id: str) -> None:
        def on_ready(outcome: Placed | Exception) -> None:
            error = outcome if isinstance(outcome, Exception) else None
            connection.send([self._answer(call_id, error)])
            self._residency.leave(claim)

        claim = Claim(submission_id, on_ready)
        self._residency.enter(claim)

    def evict(self, connection: Connection, call_id: str, submission_id: str) -> None:
        error: Exception | None = None
        try:
            self._residency.evict(submission_id)
        except Exception as raised:
            error = raised
        connection.send([self._answer(call_id, error)])

    def get_state(self, connection: Connection, call_id: str) -> None:
        connection.send([self._answer(call_id, None)])

    def stall(self, connection: Connection, stalled: bool) -> None:
        """The other side has stopped reading what we send, or reads again."""
        (self._stalled.add if stalled else self._stalled.discard)(connection)
        for request in self._of(connection):
            self._apply_pause(request)

    def disconnect(self, connection: Connection) -> None:
        self._stalled.discard(connection)
        for request in self._of(connection):
            self._end(request)

    # Speaking

    @property
    def has_work(self) -> bool:
        return self._lanes.has_work

    def step(self) -> None:
        """One step of every engine with work. What there is to hear leaves while they go on decoding.

        Raises DeviceLost.
        """
        self._send(self._lanes.step())
        self._send(self._lanes.settle())

    def _send(self, events: Sequence[Event]) -> None:
        """Each connection gets what is its own."""
        outgoing: dict[Connection, list[ToServer]] = defaultdict(list)
        for event in events:
            if request := self._by_id.get(event.request_id):
                outgoing[request.key.connection].append(self._reply(request, event))
        for connection, replies in outgoing.items():
            connection.send(replies)

    def _reply(self, request: Request, event: Event) -> ToServer:
        request_id = request.key.request_id
        if isinstance(event, AudioChunk):
            samples = event.samples.tobytes()
            return Audio(request_id, event.utterance_index, samples, event.sample_rate_hz, event.is_last)
        if isinstance(event, UtteranceEnd):
            request.unfinished -= 1
            if request.unfinished == 0:
                self._end(request)
            return UtteranceDone(request_id, event.utterance_index, event.num_tokens, event.finish_reason)
        return self._fail(request, event.error)

    # The way of a request

    def _check(self, key: RequestKey, speak: Speak) -> None:
        """All utterances of a request or none. One that finds nobody waiting is taken, however long it is."""
        if key in self._requests:
            raise ValueError(f"request {speak.request_id!r} is already being spoken on this connection")
        if not speak.prompts:
            raise EmptyText("found a request without utterances; expected something to say.")
        waiting, more = self._num_queued(), len(speak.prompts)
        if waiting and waiting + more > self._max_queued_utterances:
            raise Overloaded(
                f"{waiting} utterances are waiting and this request has {more} more; expected at most "
                f"{self._max_queued_utterances} in all. Try again in a moment."
            )

    def _num_queued(self) -> int:
        preparing = [request for request in self._requests.values() if request.scheduler is None]
        return self._lanes.num_waiting + sum(request.unfinished for request in preparing)

    def _condition(self, request: Request, outcome: Placed | Exception) -> None:
        """The submission is on the device. Next: what it makes of the voice."""
        if isinstance(outcome, Exception):
            self._refuse(request, outcome)
            return
        speaker = request.speak.submission_id, request.speak.voice_id
        request.conditioning = self._conditionings.get(
            ConditioningKey(*speaker, outcome.edition),
            self._lanes[outcome.engine].engine,
            partial(self._library.voice, *speaker),
        )
        self._once_conditioned(request, partial(self._enqueue, request, outcome.engine, request.conditioning))

    def _once_conditioned(self, request: Request, call: Callable[[], None]) -> None:
        """Now, if there is nothing to wait for."""
        if request.conditioning is None or request.conditioning.done():
            call()
        else:
            request.conditioning.add_done_callback(lambda _: self._post(call))

    def _enqueue(self, request: Request, key: EngineKey, conditioning: Future[Conditioning]) -> None:
        """The conditioning is there. Next: a slot."""
        if request.id not in self._by_id:  # cancelled meanwhile
            return
        if error := conditioning.exception():
            self._refuse(request, error)
            return
        request.scheduler = self._lanes[key].scheduler
        request.scheduler.submit(_utterances(request), conditioning.result(), request.received_at)
        self._apply_pause(request)

    def _apply_pause(self, request: Request) -> None:
        if request.scheduler is not None:
            held = request.paused or request.key.connection in self._stalled
            (request.scheduler.hold if held else request.scheduler.resume)(request.id)

    def _refuse(self, request: Request, error: BaseException) -> None:
        request.key.connection.send([self._fail(request, error)])

    def _fail(self, request: Request, error: BaseException) -> Failed:
        """Raises DeviceLost if the error means that."""
        log.warning("a request failed", request=request.key.request_id, error=repr(error))
        if is_fatal(error):
            raise DeviceLost(str(error)) from error
        self._end(request)
        return _failed(request.key.request_id, error)

    def _end(self, request: Request) -> None:
        """Whatever has become of it: nothing of it stays here."""
        if self._by_id.pop(request.id, None) is None:
            return
        del self._requests[request.key]
        if request.scheduler is not None:
            request.scheduler.cancel(request.id)
        if request.claim is not None:
            # What is being derived needs the submission's weights, whoever still wants it.
            self._once_conditioned(request, partial(self._residency.leave, request.claim))

    def _of(self, connection: Connection) -> list[Request]:
        return [request for key, request in self._requests.items() if key.connection is connection]

    # State

    def _answer(self, call_id: str, error: BaseException | None) -> Answer:
        if error is None:
            return Answer(call_id, state=self._state())
        failure = to_failure(error)
        return Answer(call_id, failure.error, failure.message)

    def _state(self) -> WorkerState:
        decode_steps, speech_tokens, audio_s = self._lanes.totals
        return WorkerState(
            device=self._device.engine.device,
            dtype=self._device.engine.dtype,
            slots=self._lanes.num_slots,
            slots_in_use=self._lanes.num_running,
            queued_utterances=self._num_queued(),
            residents=tuple(
                Resident(
                    resident.submission_id,
                    resident.size_bytes,
                    "device" if resident.on_device else "host",
                    resident.in_use,
                )
                for resident in self._residency.residents
            ),
            device_weight_bytes=self._residency.device_bytes,
            device_budget_bytes=self._device.budgets.device_bytes,
            conditioning_cache_bytes=self._conditionings.size_bytes,
            conditioning_cache_hits=self._conditionings.hits,
            conditioning_cache_misses=self._conditionings.misses,
            decode_steps=decode_steps,
            speech_tokens=speech_tokens,
            audio_seconds=audio_s,
            process_rss_bytes=psutil.Process().memory_info().rss,
            submission_loads=self._residency.loads,
        )


def _kind_of_conditionings(settings: EngineSettings) -> str:
    """Names what an engine that is set otherwise would derive otherwise."""
    return settings.dtype + "-zero-features" * settings.zero_features


def _utterances(request: Request) -> list[Utterance]:
    speak = request.speak
    return [
        Utterance(request.id, index, speak.submission_id, speak.voice_id, prompt, speak.sampling, speak.speed)
        for index, prompt in enumerate(speak.prompts)
    ]


def _failed(request_id: str, error: BaseException) -> Failed:
    failure = to_failure(error)
    return Failed(request_id, failure.error, failure.message, failure.retry_after_s)
