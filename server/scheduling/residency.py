"""Which submissions are on the device, which wait in host memory, and who may stay.

A submission is read from disk by a loader thread and put on the device by the engine thread between two
steps. A device that copies by itself says when it has it; only then do those go on who wait for it. So loads
happen beside running streams. What is in use is never evicted: whoever finds the device full
of it waits. Once that has taken long, the least recently used submission takes no newcomers until it is
free, so a busy one can't keep the others out for ever. The same way a submission is read again when someone
comes who knows of newer files than it was made of: base models may arrive while the server runs.

Everything here runs in the engine thread, but for `read`, which runs in the loader's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from models_store.errors import InUse
from providers.errors import DeviceOutOfMemory
from providers.interface import Engine, HostWeights

PATIENCE_S = 5.0
GIB = 2**30

log = structlog.get_logger()


class Lease(Protocol):
    """Keeps the store from deleting a submission."""

    def release(self) -> object: ...


class EngineKey(NamedTuple):
    """Submissions with the same key share an engine."""

    family: str
    architecture: Hashable


class HostCopy(NamedTuple):
    """A submission in host memory."""

    key: EngineKey
    weights: HostWeights
    lease: Lease
    edition: str = ""  # of the files that were read


class Placed(NamedTuple):
    """A submission that is on the device, ready for a claim."""

    engine: EngineKey
    edition: str  # of the files that it was made of


class Budgets(NamedTuple):
    """Most bytes of weights."""

    device_bytes: int
    host_bytes: int  # kept in host memory for a return to the device


Ready = Callable[[Placed | Exception], None]


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Someone's use of a submission, from `Residency.enter` to `Residency.leave`.

    `on_ready` is told once it's on the device, perhaps before `enter` returns. Or it gets what stood in the
    way: NotFound, DeviceOutOfMemory, whatever reading raised.
    """

    submission_id: str
    on_ready: Ready
    edition: str | None = None  # of the files as whoever claims it saw them; None: any will do


@dataclass(slots=True, eq=False)
class Resident:
    """A submission on the device, in host memory, or on its way there."""

    submission_id: str
    last_used: float
    key: EngineKey | None = None  # None until it was read
    lease: Lease | None = None
    edition: str = ""  # of the files that were read …
    wanted_edition: str | None = None  # … when this one was looked for
    size_bytes: int = 0
    shared: Mapping[str, int] = field(default_factory=dict)
    weights: HostWeights | None = None  # in host memory
    on_device: bool = False
    arrival: Future[None] | None = None  # while the device is still copying it
    draining: bool = False  # takes no newcomers: someone has waited long for its room
    outdated: bool = False  # neither: someone knows of other files
    wanted_since: float = 0.0
    active: set[Claim] = field(default_factory=set)
    waiting: deque[Claim] = field(default_factory=deque)

    @property
    def in_use(self) -> int:
        return len(self.active) + len(self.waiting)

    @property
    def takes_newcomers(self) -> bool:
        return self.on_device and not (self.arrival or self.draining or self.outdated)

    def lacks(self, edition: str | None) -> bool:
        """Whether reading it again may bring this edition: not if it was looked for, and others found."""
        return self.key is not None and edition not in (None, self.edition, self.wanted_edition)


class Residency:
    """Loads and evicts, least recently used first, by bytes under budgets."""

    def __init__(
        self,
        budgets: Budgets,
        read: Callable[[str], HostCopy],
        engine_of: Callable[[EngineKey], Engine],
        loader: Executor,
        post: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` runs in `loader`; `engine_of` makes an engine on demand.

        `post` has something done in the engine thread, later.
        """
        self._budgets = budgets
        self._read = read
        self._engine_of = engine_of
        self._loader = loader
        self._post = post
        self._clock = clock
        self.loads = 0  # onto the device, since the beginning
        self._residents: dict[str, Resident] = {}
        self._wanted: deque[Resident] = deque()  # read, not on the device; first come, first served
        self._is_placing = False

    @property
    def residents(self) -> list[Resident]:
        """Those that were read, in no particular order."""
        return [resident for resident in self._residents.values() if resident.key is not None]

    @property
    def device_bytes(self) -> int:
        return _size_bytes(self._on_device())

    def has_residents(self, key: EngineKey) -> bool:
        return any(resident.on_device and resident.key == key for resident in self._residents.values())

    def enter(self, claim: Claim) -> None:
        """Have a submission on the device, as soon as it can be."""
        resident = self._residents.get(claim.submission_id)
        is_new = resident is None
        if resident is None:
            resident = Resident(claim.submission_id, self._clock())
        resident.last_used = self._clock()
        resident.outdated |= resident.lacks(claim.edition)
        resident.waiting.append(claim)
        if is_new:
            self._start_reading(resident)
        self._renew(resident)
        self._serve(resident)

    def leave(self, claim: Claim) -> None:
        """End a claim, whatever has become of it. Ending it again does nothing."""
        resident = self._residents.get(claim.submission_id)
        if resident is None:
            return
        if claim in resident.waiting:
            resident.waiting.remove(claim)
        elif claim in resident.active:
            resident.active.remove(claim)
            resident.last_used = self._clock()
            self._renew(resident)
        self._place_wanted()

    def evict(self, submission_id: str) -> None:
        """Drop a submission from device and host memory, if it is there. Raises InUse."""
        resident = self._residents.get(submission_id)
        if resident is None:
            return
        if resident.in_use or resident.key is None:
            raise InUse(
                f"{submission_id} is used by {resident.in_use} requests; expected one that nobody uses. "
                "Wait until they end and try again."
            )
        if resident.on_device:
            self._take_off_device(resident)
        self._forget(resident)

    # From disk to host memory

    def _start_reading(self, resident: Resident) -> None:
        self._residents[resident.submission_id] = resident
        resident.wanted_edition = resident.waiting[0].edition if resident.waiting else None

        def on_read(read: Future[HostCopy]) -> None:
            self._post(partial(self._finish_reading, resident, read))

        self._loader.submit(self._read, resident.submission_id).add_done_callback(on_read)

    def _finish_reading(self, resident: Resident, read: Future[HostCopy]) -> None:
        try:
            copy = read.result()
        except Exception as error:
            self._fail(resident, error)
            return
        resident.key, resident.weights, resident.lease, resident.edition = copy
        resident.size_bytes, resident.shared = copy.weights.size_bytes, copy.weights.shared
        if resident.waiting:
            self._want(resident)
        self._place_wanted()

    # From host memory to the device

    def _serve(self, resident: Resident) -> None:
        """Let those go on who wait for a submission, if it's there for newcomers."""
        # Whoever goes on may leave at once, and take the ground from under the others: so look each time.
        while resident.waiting and resident.takes_newcomers:
            assert resident.key is not None
            claim = resident.waiting.popleft()
            resident.active.add(claim)
            claim.on_ready(Placed(resident.key, resident.edition))
        if resident.waiting and resident.weights is not None and not resident.on_device:
            self._want(resident)
            self._place_wanted()

    def _want(self, resident: Resident) -> None:
        if resident not in self._wanted:
            resident.wanted_since = self._clock()
            self._wanted.append(resident)

    def _place_wanted(self) -> None:
        """Put on the device what fits, in the order of asking. Nobody is overtaken, so nobody starves."""
        if self._is_placing:  # called by someone who was just served; the loop below goes on
            return
        self._is_placing = True
        try:
            while self._wanted and self._place(self._wanted[0]):
                pass
            self._trim_host()
            if not self._wanted:
                self._stop_draining()
        finally:
            self._is_placing = False

    def _place(self, resident: Resident) -> bool:
        """Whether the first of those wanted is settled: on the device, failed, or no longer wanted."""
        try:
            if resident.waiting and not self._load(resident):
                return False
        except Exception as error:
            log.error("could not load a submission", submission=resident.submission_id, error=str(error))
            self._wanted.popleft()
            self._fail(resident, error)
            return True
        self._wanted.popleft()
        self._serve(resident)
        return True

    def _load(self, resident: Resident) -> bool:
        """Raises what the engine raises; DeviceOutOfMemory if it could never fit."""
        assert resident.key is not None
        assert resident.weights is not None
        if (needed_bytes := _size_bytes([resident])) > self._budgets.device_bytes:
            raise DeviceOutOfMemory(
                f"{resident.submission_id} needs {needed_bytes / GIB:.2f} GiB; the device budget is "
                f"{self._budgets.device_bytes / GIB:.2f} GiB. Raise VOICECORE_DEVICE_BUDGET_GIB."
            )
        if not self._make_room(resident):
            return False
        engine = self._engine_of(resident.key)
        while True:
            try:
                arrival = engine.load(resident.weights)
                break
            except DeviceOutOfMemory:
                # The budget would have had room, the device hasn't: give up what nobody uses, bit by bit.
                if idle := self._idle():
                    self._evict(idle[0])
                elif any(other.active or other.arrival for other in self._residents.values()):
                    return False
                else:
                    raise
        resident.on_device = True
        if arrival is not None:
            resident.arrival = arrival
            arrival.add_done_callback(lambda done: self._post(partial(self._arrive, resident, done)))
        self.loads += 1
        log.info("loaded a submission", submission=resident.submission_id, size_bytes=resident.size_bytes)
        return True

    def _arrive(self, resident: Resident, arrival: Future[None]) -> None:
        if resident.arrival is not arrival:  # evicted meanwhile
            return
        resident.arrival = None
        try:
            arrival.result()
        except Exception as error:
            self._take_off_device(resident)
            self._fail(resident, error)
        self._serve(resident)
        self._place_wanted()

    def _make_room(self, resident: Resident) -> bool:
        idle = self._idle()
        if not self._fits(resident, [other for other in self._on_device() if other not in idle]):
            if self._clock() - resident.wanted_since >= PATIENCE_S:
                self._drain(resident)
            return False
        for other in idle:
            if self._fits(resident, self._on_device()):
                break
            self._evict(other)
        return True

    def _fits(self, resident: Resident, others: Sequence[Resident]) -> bool:
        return _size_bytes([*others, resident]) <= self._budgets.device_bytes

    def _on_device(self) -> list[Resident]:
        return [resident for resident in self._residents.values() if resident.on_device]

    def _idle(self) -> list[Resident]:
        """What may be evicted, least recently used first."""
        idle = [
            other for other in self._on_device() if not (other.active or (other.arrival and other.waiting))
        ]
        return sorted(idle, key=lambda other: other.last_used)

    def _drain(self, resident: Resident) -> None:
        """As many as have to go, least recently used first, take no newcomers."""
        staying = sorted(self._on_device(), key=lambda other: other.last_used)
        while staying and not self._fits(resident, staying):
            staying.pop(0).draining = True

    def _stop_draining(self) -> None:
        for other in [*self._residents.values()]:
            if other.draining:
                other.draining = False
                self._serve(other)

    # And back

    def _evict(self, resident: Resident) -> None:
        """Off the device, to host memory if there is a copy. Who waits for it gets it back in turn."""
        self._take_off_device(resident)
        if resident.weights is not None:
            if resident.waiting:
                self._want(resident)
            return
        # Its copy had to go while it was on the device. Read it again, unless the loader has better to do.
        is_idle = all(other.key is not None for other in self._residents.values())
        self._forget(resident)
        if resident.waiting or (is_idle and resident.size_bytes <= self._budgets.host_bytes):
            self._start_reading(resident)

    def _renew(self, resident: Resident) -> None:
        """Give up what is outdated once nobody uses it, and read it again for those who wait."""
        if not resident.outdated or resident.active:
            return
        if resident.on_device:
            self._take_off_device(resident)
        if resident in self._wanted:
            self._wanted.remove(resident)
        self._forget(resident)
        if resident.waiting:
            self._start_reading(resident)

    def _take_off_device(self, resident: Resident) -> None:
        assert resident.key is not None
        assert not resident.active
        self._engine_of(resident.key).evict(resident.submission_id)
        resident.on_device = resident.draining = False
        resident.arrival = None
        log.info("evicted a submission", submission=resident.submission_id)

    def _trim_host(self) -> None:
        """Keep to the host budget. First go copies of what is on the device, most recently used first, for
        they are furthest from being needed; then what is nowhere else, least recently used first.
        """
        copies = [
            resident
            for resident in self._residents.values()
            if resident.weights is not None and not (resident.arrival or resident in self._wanted)
        ]
        copies.sort(key=lambda copy: (0, -copy.last_used) if copy.on_device else (1, copy.last_used))
        while _size_bytes(copies) > self._budgets.host_bytes:
            resident = copies.pop(0)
            resident.weights = None
            if not resident.on_device:
                self._forget(resident)

    def _forget(self, resident: Resident) -> None:
        del self._residents[resident.submission_id]
        if resident.lease is not None:
            resident.lease.release()
        resident.key = resident.lease = resident.weights = None
        resident.outdated = False

    def _fail(self, resident: Resident, error: Exception) -> None:
        waiting, resident.waiting = resident.waiting, deque()
        self._forget(resident)
        for claim in waiting:
            claim.on_ready(error)


def _size_bytes(residents: Sequence[Resident]) -> int:
    """What each has of its own, and what they share once."""
    shared: dict[str, int] = {}
    for resident in residents:
        shared.update(resident.shared)
    return sum(resident.size_bytes for resident in residents) + sum(shared.values())
