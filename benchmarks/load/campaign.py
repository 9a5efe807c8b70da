"""Which load is put on which target, in which order, and everything that came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.load import fleet
from benchmarks.load.adapters import Target, scrape
from benchmarks.load.arrivals import Kind, Load
from benchmarks.load.capacity import Capacity, Levels, find_capacity
from benchmarks.load.client import Share
from benchmarks.load.memory import Growth, Sample, Sampling, growth, reader
from benchmarks.load.record import Record, encode_record
from benchmarks.load.statistics import MAX_LAG_S, Objective, Summary, Window, summarise
from benchmarks.load.voices import new_voices
from benchmarks.load.workload import Workload

Purpose = Literal["load", "capacity", "soak"]
Ask = Callable[[Share, Target, Path, int], list[Record]]

PACED_FORMATS = ("pcm", "wav")
LOADS_METRIC = "voicecore_submission_loads_total"
ATTEMPTS = 3  # at a run whose client was late
MEMORY_SAMPLES = 360  # of a soak, at most one per second


@dataclass(frozen=True, slots=True)
class Plan:
    """How every run is run. The warm-up is asked and answered like the rest and doesn't count.

    A load that `duration_s` would have fewer than `min_requests` of, as is to be expected, counts for longer.
    `workloads` are those of targets that don't know the models or voices of `workload`, by name.
    """

    workload: Workload
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    warm_up_s: float = 30.0
    duration_s: float = 120.0
    min_requests: int = 0
    timeout_s: float = 60.0
    rounds: int = 1
    processes: int = 0
    objective: Objective = field(default_factory=Objective)
    max_lag_s: float = MAX_LAG_S
    new_voice_recording: Path | None = None
    seed: int = 0

    def window(self, load: Load) -> Window:
        """The part of a run that counts."""
        slowest = min(load.level, load.start_level or load.level) if load.is_open else float("inf")
        duration_s = max(self.duration_s, self.min_requests / slowest)
        return Window(self.warm_up_s, self.warm_up_s + duration_s)

    @property
    def can_pace(self) -> bool:
        """Whether listeners can read as fast as they hear: a codec's audio is not counted while it comes."""
        return all(format in PACED_FORMATS for format in self.workload.formats)


class Run(msgspec.Struct, frozen=True):
    """One load on one target. Its requests carry its number."""

    number: int
    target: str
    kind: Kind
    level: float
    start_level: float
    round: int
    purpose: Purpose
    summary: Summary

    @property
    def load(self) -> Load:
        return Load(self.kind, self.level, self.start_level)


class FoundCapacity(msgspec.Struct, frozen=True):
    """Of one target under one kind of load; see `capacity.Capacity`."""

    target: str
    kind: Kind
    highest: float | None
    lowest_above: float | None


class Soak(msgspec.Struct, frozen=True):
    run: int
    samples: list[Sample]
    growths: list[Growth]


class Results(msgspec.Struct):
    """Everything that the report says. `runs` has those whose client was late as well."""

    targets: list[str]
    runs: list[Run] = []
    capacities: list[FoundCapacity] = []
    soaks: list[Soak] = []

    def of(self, target: str, kind: Kind, level: float | None = None) -> list[Run]:
        """Valid runs but soaks, whose length is no other's, with the load rising."""
        found = [
            run
            for run in self.runs
            if run.target == target
            and run.kind == kind
            and run.summary.is_valid
            and run.purpose != "soak"
            and (level is None or run.level == level)
        ]
        return sorted(found, key=lambda run: (run.level, run.round))

    def capacity(self, target: str, kind: Kind) -> float | None:
        """The highest level found within the objective."""
        found = [row for row in self.capacities if (row.target, row.kind) == (target, kind)]
        return found[-1].highest if found else None


class Campaign:
    """Runs loads, one at a time, and keeps what came of them in `folder`."""

    def __init__(
        self,
        plan: Plan,
        targets: Sequence[Target],
        folder: Path,
        tell: Callable[[Run], None] = lambda run: None,
        ask: Ask = fleet.ask,
    ) -> None:
        self.results = Results([target.name for target in targets])
        self.plan = plan
        self.folder = folder
        self._targets = targets
        self._tell = tell
        self._ask = ask
        self._requests_path = folder / "requests.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._requests_path.write_bytes(b"")

    def run_loads(self, loads: Iterable[Load]) -> None:
        """Every load on every target, round by round; each round begins with another target."""
        for load in loads:
            for round_number in range(self.plan.rounds):
                for target in _rotated(self._targets, round_number):
                    self._measure(target, load, round_number, "load")

    def find_capacity(self, target: Target, kind: Kind, start: float, levels: Levels) -> Capacity:
        """Raises LateClient if no client on this machine is on time."""
        trials = iter(range(1_000))

        def passes(level: float) -> bool:
            run = self._measure(target, Load(kind, level), next(trials), "capacity")
            if not run.summary.is_valid:
                raise LateClient(run)
            return run.summary.meets_objective

        found = find_capacity(passes, start, levels)
        self.results.capacities.append(FoundCapacity(target.name, kind, found.highest, found.lowest_above))
        return found

    def soak(self, target: Target, load: Load, duration_s: float, pid: int | None = None) -> Soak:
        """One long run, with its memory watched."""
        plan = replace(self.plan, duration_s=duration_s)
        every_s = max(1.0, duration_s / MEMORY_SAMPLES)
        with Sampling(reader(target, pid), every_s) as sampling:
            run = self._run(plan, target, load, 0, "soak")
        names = sorted({name for sample in sampling.samples for name in sample.bytes} - {"processes"})
        growths = [found for name in names if (found := growth(sampling.samples, name)) is not None]
        soak = Soak(run.number, sampling.samples, growths)
        self.results.soaks.append(soak)
        return soak

    def _measure(self, target: Target, load: Load, round_number: int, purpose: Purpose) -> Run:
        """Again, where the client was late: what it measured was itself."""
        for _ in range(ATTEMPTS):
            run = self._run(self.plan, target, load, round_number, purpose)
            if run.summary.is_valid:
                break
        return run

    def _run(self, plan: Plan, target: Target, load: Load, round_number: int, purpose: Purpose) -> Run:
        number = len(self.results.runs)
        window = plan.window(load)
        share = Share(
            workload=plan.workloads.get(target.name, plan.workload),
            load=load,
            duration_s=window.stop_s,
            timeout_s=plan.timeout_s,
            seed=plan.seed + round_number,
            run=number,
        )
        loads_before = scrape(target).get(LOADS_METRIC)
        with self._with_new_voices(target, share) as share:
            records = self._ask(share, target, self.folder, plan.processes)
        loads_after = scrape(target).get(LOADS_METRIC)
        with self._requests_path.open("ab") as file:
            file.writelines(map(encode_record, records))
        summary = summarise(records, window, plan.objective, plan.max_lag_s)
        if loads_before is not None and loads_after is not None:
            summary = msgspec.structs.replace(summary, cold_swaps=round(loads_after - loads_before))
        run = Run(
            number, target.name, load.kind, load.level, load.start_level, round_number, purpose, summary
        )
        self.results.runs.append(run)
        self._tell(run)
        return run

    @contextmanager
    def _with_new_voices(self, target: Target, share: Share) -> Iterator[Share]:
        recording, workload = self.plan.new_voice_recording, share.workload
        if recording is None:
            yield share
            return
        count = workload.num_new_voices(sum(1 for _ in share.load.arrivals(share.duration_s, share.seed)))
        with new_voices(target, recording, count, share.run) as names:
            yield replace(share, workload=replace(workload, new_voices=names))


class LateClient(Exception):
    """No attempt at a run had a client that was on time."""

    def __init__(self, run: Run) -> None:
        lag = run.summary.lag_s
        found = "no request" if lag is None else f"requests that left {1e3 * lag.p99:.1f} ms late (p99)"
        super().__init__(
            f"{run.load.label} on {run.target}: found {found} in {ATTEMPTS} attempts; expected a client that "
            "is on time. Give it processors of its own or more --processes, or allow more with --max-lag-ms."
        )


def _rotated(targets: Sequence[Target], by: int) -> Sequence[Target]:
    start = by % len(targets)
    return [*targets[start:], *targets[:start]]
