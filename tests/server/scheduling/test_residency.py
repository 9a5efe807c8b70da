from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_store.errors import InUse, NotFound
from providers.errors import DeviceOutOfMemory
from server.scheduling.residency import PATIENCE_S, Budgets, Claim, EngineKey, HostCopy, Placed, Residency


@dataclass
class Lease:
    held: set[str]
    name: str

    def __post_init__(self) -> None:
        assert self.name not in self.held
        self.held.add(self.name)

    def release(self) -> None:
        self.held.remove(self.name)


class ByHand(Executor):
    """A loader thread that works when told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, function, /, *args):  # type: ignore[no-untyped-def]
        future: Future[Any] = Future()
        self.jobs.append((future, lambda: function(*args)))
        return future

    def work(self) -> None:
        future, job = self.jobs.pop(0)
        try:
            future.set_result(job())
        except Exception as error:
            future.set_exception(error)


class House:
    """A residency with everything around it, on a clock that is turned by hand."""

    def __init__(self, family: ModuleType, sizes: dict[str, int], budgets: Budgets, **engine: Any) -> None:
        self.family = family
        self.sizes = sizes
        self.engine = family.FakeEngine(**engine)
        self.loader = ByHand()
        self.posted: list[Callable[[], None]] = []
        self.now = 0.0
        self.leases: set[str] = set()
        self.reads: list[str] = []
        self.outcomes: dict[Claim, Placed | Exception] = {}
        self.shared: dict[str, dict[str, int]] = {}  # name → what it shares
        self.edition = "1"  # of the files that are read now
        self.residency = Residency(
            budgets, self.read, lambda key: self.engine, self.loader, self.posted.append, lambda: self.now
        )

    def read(self, name: str) -> HostCopy:
        self.reads.append(name)
        if name not in self.sizes:
            raise NotFound("submission", name)
        weights = self.family.FakeWeights(name, self.sizes[name], self.shared.get(name, {}))
        return HostCopy(EngineKey("fake", "tiny"), weights, Lease(self.leases, name), self.edition)

    def enter(self, name: str, edition: str | None = None) -> Claim:
        def on_ready(outcome: Placed | Exception) -> None:
            assert claim not in self.outcomes, "told twice"
            self.outcomes[claim] = outcome

        claim = Claim(name, on_ready, edition)
        self.residency.enter(claim)
        return claim

    def leave(self, *claims: Claim) -> None:
        for claim in claims:
            self.now += 1
            self.residency.leave(claim)

    def settle(self) -> None:
        while self.loader.jobs or self.posted:
            if self.loader.jobs:
                self.loader.work()
            while self.posted:
                self.posted.pop(0)()

    def use(self, name: str, edition: str | None = None) -> Claim:
        """A claim that is served."""
        self.now += 1
        claim = self.enter(name, edition)
        self.settle()
        assert isinstance(self.outcomes.get(claim), Placed), self.outcomes.get(claim)
        return claim

    @property
    def on_device(self) -> list[str]:
        return sorted(self.engine.resident)

    @property
    def on_host(self) -> list[str]:
        """Only there."""
        return sorted(r.submission_id for r in self.residency.residents if not r.on_device)


@pytest.fixture(scope="session")
def house(fake_family: ModuleType) -> Callable[..., House]:
    def make(device: int = 3, host: int = 100, sizes: dict[str, int] | None = None, **engine: Any) -> House:
        return House(fake_family, sizes or dict.fromkeys("abcdef", 1), Budgets(device, host), **engine)

    return make


def test_a_submission_is_read_once_for_everybody_who_waits(house):
    house = house()
    claims = [house.enter("a") for _ in range(3)]
    assert not house.outcomes, "loading is nobody's wait but theirs"
    house.settle()
    assert set(house.outcomes) == set(claims)
    assert house.reads == ["a"]
    assert house.engine.calls == [("load", "a")]
    later = house.enter("a")
    assert later in house.outcomes, "what is resident serves at once"


def test_the_least_recently_used_gives_way(house):
    house = house(device=3)
    for name in "abc":
        house.leave(house.use(name))
    house.leave(house.use("a"))
    house.use("d")
    assert house.on_device == ["a", "c", "d"]
    assert house.on_host == ["b"]


def test_what_is_in_use_is_never_evicted_and_the_rest_waits_for_it(house):
    house = house(device=2)
    a, b = house.use("a"), house.use("b")
    c = house.enter("c")
    house.settle()
    assert c not in house.outcomes
    assert house.on_device == ["a", "b"]
    house.leave(a)
    assert isinstance(house.outcomes[c], Placed)
    assert house.on_device == ["b", "c"]
    house.leave(b, c)


def test_loads_wait_in_the_order_of_asking_so_that_a_large_one_gets_its_turn(house):
    house = house(device=3, sizes={"a": 1, "b": 2, "big": 3, "small": 1})
    a, b = house.use("a"), house.use("b")
    big, small = house.enter("big"), house.enter("small")
    house.settle()
    house.leave(a)  # there is room for small now, but big came first
    assert not {big, small} & set(house.outcomes)
    house.leave(b)
    assert house.on_device == ["big"]
    house.leave(big)
    assert isinstance(house.outcomes[small], Placed)


def test_nothing_is_evicted_for_a_load_that_would_not_fit_anyway(house):
    house = house(device=3, sizes={"idle": 1, "busy": 2, "big": 2})
    house.leave(house.use("idle"))
    busy = house.use("busy")
    house.enter("big")
    house.settle()
    assert house.on_device == ["busy", "idle"]
    house.leave(busy)
    assert house.on_device == ["big", "idle"] or house.on_device == ["big"]


def test_a_busy_submission_cannot_keep_the_others_out_for_ever(house):
    house = house(device=1)
    current = house.use("a")
    waiting = house.enter("b")
    house.settle()
    for _ in range(int(PATIENCE_S) + 2):  # "a" is in use without a pause
        following = house.enter("a")
        house.leave(current)
        current = following
    assert isinstance(house.outcomes.get(waiting), Placed)
    assert house.on_device == ["b"]
    assert current not in house.outcomes, "newcomers wait while it gives way"
    house.leave(waiting)
    assert isinstance(house.outcomes[current], Placed), "and get it back in turn"
    assert house.reads == ["a", "b"], "from host memory"


def test_draining_ends_when_whoever_waited_goes_away(house):
    house = house(device=1)
    first = house.use("a")
    waiting = house.enter("b")
    house.settle()
    house.now += PATIENCE_S
    newcomer = house.enter("c")
    house.leave(newcomer)
    assert house.residency._residents["a"].draining
    held_back = house.enter("a")
    assert held_back not in house.outcomes
    house.leave(waiting)
    assert isinstance(house.outcomes[held_back], Placed)
    house.leave(first, held_back)


def test_a_submission_larger_than_the_budget_says_so(house):
    house = house(device=3, sizes={"whale": 4, "a": 1})
    house.leave(house.use("a"))
    whale = house.enter("whale")
    house.settle()
    assert isinstance(house.outcomes[whale], DeviceOutOfMemory)
    assert house.on_device == ["a"], "nobody was evicted for it"
    assert house.leases == {"a"}


def test_a_device_fuller_than_the_budget_says_gives_up_what_nobody_uses(house):
    house = house(device=100, memory_bytes=2)
    house.leave(house.use("a"), house.use("b"))
    c = house.use("c")
    assert house.on_device == ["b", "c"]
    house.leave(c)
    b, c = house.use("b"), house.use("c")
    waits = house.enter("d")
    house.settle()
    assert waits not in house.outcomes
    house.leave(b)
    assert isinstance(house.outcomes[waits], Placed)


def test_a_device_too_small_for_one_submission_says_so(house):
    house = house(device=100, memory_bytes=0)
    claim = house.enter("a")
    house.settle()
    assert isinstance(house.outcomes[claim], DeviceOutOfMemory)
    assert not house.leases


def test_what_cannot_be_read_fails_everybody_who_waits_and_is_tried_again(house):
    house = house()
    claims = [house.enter("unknown"), house.enter("unknown")]
    house.settle()
    assert all(isinstance(house.outcomes[claim], NotFound) for claim in claims)
    house.sizes["unknown"] = 1
    house.use("unknown")


def test_host_memory_keeps_to_its_budget(house):
    house = house(device=1, host=2)
    for name in "abcd":
        house.leave(house.use(name))
    house.leave(house.use("d"))
    assert house.residency.loads == 4
    assert house.on_device == ["d"]
    assert house.on_host == ["b", "c"]
    assert house.leases == {"b", "c", "d"}
    assert house.reads == list("abcdc"), "c was read again because its copy had gone"
    house.leave(house.use("b"))
    assert house.reads.count("b") == 1, "it came from host memory"


def test_a_loader_with_better_things_to_do_reads_nothing_just_in_case(house):
    house = house(device=1, host=1)
    for name in "ab":
        house.leave(house.use(name))  # "b" is on the device only, "a" on the host
    first, second = house.enter("c"), house.enter("d")
    house.settle()
    assert "b" not in house.reads[2:]
    house.leave(first, second)


def test_without_a_host_budget_there_is_one_copy(house):
    house = house(device=1, host=0)
    for name in "ab":
        house.leave(house.use(name))
    assert house.on_device == ["b"]
    assert house.on_host == []
    assert house.leases == {"b"}
    assert all(resident.weights is None for resident in house.residency.residents)


def test_cancelling_while_it_is_read_leaves_a_host_copy_and_no_load(house):
    house = house()
    claim = house.enter("a")
    house.leave(claim, claim)
    house.settle()
    assert not house.outcomes
    assert house.engine.calls == []
    assert house.on_host == ["a"]


def test_evicting_on_demand(house):
    house = house()
    claim = house.use("a")
    with pytest.raises(InUse, match="1 requests"):
        house.residency.evict("a")
    house.leave(claim)
    house.residency.evict("a")
    assert not house.on_device
    assert not house.leases
    house.residency.evict("a")
    reading = house.enter("b")
    with pytest.raises(InUse):
        house.residency.evict("b")
    house.leave(reading)


# Other files: base models that arrive while the server runs


def test_whoever_knows_of_newer_files_has_the_submission_read_again(house):
    house = house()
    house.leave(house.use("a", edition="1"))
    house.edition = "2"
    claim = house.use("a", edition="2")
    assert house.outcomes[claim].edition == "2"
    assert house.reads == ["a", "a"]
    assert house.engine.calls == [("load", "a"), ("evict", "a"), ("load", "a")]
    again, any_will_do = house.use("a", edition="2"), house.use("a")
    assert house.reads == ["a", "a"]
    house.leave(claim, again, any_will_do)


def test_it_is_read_again_once_those_who_use_it_are_done(house):
    house = house()
    first = house.use("a", edition="1")
    house.edition = "2"
    second, third = house.enter("a", edition="2"), house.enter("a", edition="1")
    house.settle()
    assert not {second, third} & set(house.outcomes), "newcomers wait"
    assert house.on_device == ["a"]
    house.leave(first)
    house.settle()
    assert house.outcomes[second].edition == house.outcomes[third].edition == "2", (
        "who knew less is served too"
    )
    assert house.reads == ["a", "a"]
    house.leave(second, third)


def test_nobody_makes_it_read_again_and_again_by_asking_for_what_is_no_more(house):
    house = house()
    house.edition = "2"
    late = house.use("a", edition="1")
    house.leave(late, house.use("a", edition="1"), house.use("a", edition="2"), house.use("a", edition="1"))
    assert house.reads == ["a"], "when it was looked for, this was what there was"
    house.edition = "1"
    house.leave(house.use("a", edition="3"))
    assert house.outcomes[house.use("a", edition="1")].edition == "1"
    assert house.reads == ["a", "a"]


def test_what_waits_in_host_memory_or_for_room_is_read_again_too(house):
    house = house(device=1)
    for name in "ab":
        house.leave(house.use(name, edition="1"))
    house.edition = "2"
    b = house.use("b", edition="2")
    a = house.enter("a", edition="1")  # wants the room of b
    newer = house.enter("a", edition="2")
    house.leave(b)
    house.settle()
    assert [house.outcomes[claim].edition for claim in (a, newer)] == ["2", "2"]
    assert house.reads == ["a", "b", "b", "a"]
    house.leave(a, newer)
    assert house.leases == {"a", "b"}


def test_who_changes_his_mind_has_nothing_read_again(house):
    house = house()
    first = house.use("a", edition="1")
    newer = house.enter("a", edition="2")
    house.leave(newer, first)
    house.settle()
    assert house.reads == ["a"]
    assert not house.leases


# What submissions share: base models


def test_what_submissions_share_counts_once(house):
    house = house(device=5)
    house.shared = {name: {"hubert": 2} for name in "abc"}
    for name in "abc":
        house.leave(house.use(name))
    assert house.residency.device_bytes == 5
    house.leave(house.use("d"))
    assert house.on_device == ["b", "c", "d"]
    assert house.residency.device_bytes == 5


def test_what_submissions_share_goes_with_the_last_of_them(house):
    house = house(device=4, sizes={"a": 1, "b": 1, "big": 4})
    house.shared = {name: {"hubert": 2} for name in "ab"}
    a, b = house.use("a"), house.use("b")
    big = house.enter("big")
    house.leave(a)
    house.settle()
    assert big not in house.outcomes
    assert house.on_device == ["a", "b"], "nothing is evicted for a load that would not fit anyway"
    house.leave(b)
    assert house.on_device == ["big"]
    house.leave(big)


def test_a_submission_that_is_too_large_with_what_it_shares_says_so(house):
    house = house(device=3)
    house.shared = {"a": {"hubert": 3}}
    claim = house.enter("a")
    house.settle()
    assert isinstance(house.outcomes[claim], DeviceOutOfMemory)


@settings(max_examples=300, deadline=None)
@given(
    device=st.integers(2, 5),
    host=st.integers(0, 4),
    sizes=st.lists(st.integers(1, 3), min_size=2, max_size=5),
    actions=st.lists(
        st.tuples(
            st.sampled_from(["enter", "leave", "read", "post", "wait", "evict", "renew"]), st.integers(0, 9)
        ),
        max_size=60,
    ),
)
def test_whatever_happens_everybody_is_served_once_and_budgets_hold(house, device, host, sizes, actions):
    names = "abcde"[: len(sizes)]
    house = house(device, host, dict(zip(names, sizes, strict=True)))
    claims: list[Claim] = []
    left: set[Claim] = set()

    def act(action: str, number: int) -> None:
        if action == "enter":
            claims.append(house.enter(names[number % len(names)], house.edition))
        elif action == "leave" and claims:
            left.add(claims[number % len(claims)])
            house.leave(claims[number % len(claims)])
        elif action == "read" and house.loader.jobs:
            house.loader.work()
        elif action == "post" and house.posted:
            house.posted.pop(0)()
        elif action == "wait":
            house.now += number
        elif action == "renew":
            house.edition = str(number)
        elif action == "evict":
            try:
                house.residency.evict(names[number % len(names)])
            except InUse:
                pass

    def check() -> None:
        resident = house.engine.resident
        assert sum(weights.size_bytes for weights in resident.values()) <= device
        for claim in claims:
            if claim not in left and isinstance(house.outcomes.get(claim), Placed):
                assert claim.submission_id in resident, "evicted while in use"
        copies = [r for r in house.residency.residents if r.weights is not None and not r.waiting]
        assert sum(r.size_bytes for r in copies) <= max(host, 0) + sum(
            r.size_bytes for r in house.residency._wanted
        )

    for action, number in actions:
        act(action, number)
        check()
    for _ in range(3 * len(claims) + 10):  # everybody leaves as soon as they are served
        house.settle()
        house.now += PATIENCE_S
        for claim in claims:
            if claim in house.outcomes and claim not in left:
                left.add(claim)
                house.leave(claim)
        check()
    for claim in claims:
        if sizes[names.index(claim.submission_id)] > device:
            assert claim in left or isinstance(house.outcomes[claim], DeviceOutOfMemory)
        else:
            assert claim in left, "never served"
    assert house.leases == {r.submission_id for r in house.residency.residents}


# Devices that copy by themselves


@pytest.fixture
def copying(house: Callable[..., House]) -> Callable[..., tuple[House, list[Future[None]]]]:
    """A house whose engine copies by itself: loads are done when their futures are."""

    def make(**options: Any) -> tuple[House, list[Future[None]]]:
        made = house(**options)
        arrivals: list[Future[None]] = []
        load = made.engine.load

        def start(weights: Any) -> Future[None]:
            load(weights)
            arrivals.append(Future())
            return arrivals[-1]

        made.engine.load = start
        return made, arrivals

    return make


def test_who_waits_goes_on_when_the_copy_has_arrived(copying):
    house, arrivals = copying()
    a = house.enter("a")
    house.settle()
    b = house.enter("b")
    house.settle()
    assert house.engine.calls == [("load", "a"), ("load", "b")], "copies are queued, not waited for"
    assert house.outcomes == {}
    arrivals[1].set_result(None)
    house.settle()
    assert set(house.outcomes) == {b}
    late = house.enter("a")
    assert late not in house.outcomes
    arrivals[0].set_result(None)
    house.settle()
    assert set(house.outcomes) == {a, b, late}


def test_what_somebody_waits_for_is_not_evicted_on_its_way(copying):
    house, arrivals = copying(device=1)
    a, b = house.enter("a"), house.enter("b")
    house.settle()
    assert house.engine.calls == [("load", "a")]
    arrivals[0].set_result(None)
    house.settle()
    house.leave(a)
    assert house.on_device == ["b"]
    arrivals[1].set_result(None)
    house.settle()
    assert isinstance(house.outcomes[b], Placed)


def test_what_nobody_waits_for_any_more_gives_way_and_its_arrival_is_no_news(copying):
    house, arrivals = copying(device=1)
    a = house.enter("a")
    house.settle()
    house.leave(a)
    b = house.enter("b")
    house.settle()
    assert house.engine.calls == [("load", "a"), ("evict", "a"), ("load", "b")]
    again = house.enter("a")
    arrivals[0].set_result(None)
    house.settle()
    assert house.outcomes == {}, "neither has the device what was evicted, nor what is on its way"
    arrivals[1].set_result(None)
    house.settle()
    assert set(house.outcomes) == {b}
    house.leave(b)
    arrivals[2].set_result(None)
    house.settle()
    assert isinstance(house.outcomes[again], Placed)


def test_a_copy_that_fails_is_told_and_leaves_nothing(copying):
    house, arrivals = copying()
    claims = [house.enter("a") for _ in range(2)]
    house.settle()
    error = RuntimeError("the device broke")
    arrivals[0].set_exception(error)
    house.settle()
    assert [house.outcomes[claim] for claim in claims] == [error, error]
    assert house.on_device == []
    assert not house.leases
    again = house.enter("a")
    house.settle()
    arrivals[1].set_result(None)
    house.settle()
    assert isinstance(house.outcomes[again], Placed)


def test_host_memory_is_kept_while_it_is_copied(copying):
    house, arrivals = copying(host=0)
    house.enter("a")
    house.settle()
    (resident,) = house.residency.residents
    assert resident.weights is not None
    arrivals[0].set_result(None)
    house.settle()
    assert resident.weights is None


def test_a_full_device_waits_for_what_is_on_its_way(copying):
    """The budget has room, the device hasn't. Nobody uses it yet, but somebody will, and then leave."""
    house, arrivals = copying(device=3, memory_bytes=1)
    a = house.enter("a")
    house.settle()
    b = house.enter("b")
    house.settle()
    assert house.outcomes == {}
    arrivals[0].set_result(None)
    house.settle()
    house.leave(a)
    arrivals[1].set_result(None)
    house.settle()
    assert isinstance(house.outcomes[b], Placed)
