"""`voicecore bench`, which the server finds by the entry point group `voicecore.commands`.

What it needs is imported when it runs: `voicecore --help` must not wait for it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from benchmarks.load import options
from benchmarks.load.options import names, numbers, seconds, span
from server.errors import ServerError

if TYPE_CHECKING:
    from benchmarks.load.adapters import Target
    from benchmarks.load.arrivals import Load
    from benchmarks.load.campaign import Campaign, Plan, Run
    from benchmarks.load.workload import Workload

DEFAULT_MODEL = "demo"
DEFAULT_VOICE = "default"
DEFAULT_RATES = "1,2,5,10"
DEFAULT_START = 1.0  # of a search
FARTHEST = 1024.0  # from its start that a search goes, up and down
SOAK_SHARE = 0.7


def bench(
    targets: options.Targets = None,
    rate: options.Rate = None,
    arrivals: options.Arrivals = "poisson",
    ramp: options.Ramp = None,
    concurrency: options.Concurrency = None,
    listeners: options.Listeners = None,
    find_capacity: options.FindCapacity = False,
    soak: options.SoakFor = None,
    texts: options.TextSets = "ordinary",
    languages: options.Languages = None,
    models: options.Models = None,
    zipf: options.Zipf = 1.0,
    voices: options.Voices = None,
    new_voices: options.NewVoices = None,
    new_voice_share: options.NewVoiceShare = 0.1,
    formats: options.Formats = "pcm",
    fields: options.Fields = None,
    duration: options.Duration = "120",
    min_requests: options.MinRequests = 20,
    warm_up: options.WarmUp = "30",
    rounds: options.Rounds = 1,
    timeout: options.Timeout = "60",
    seed: options.Seed = 0,
    processes: options.Processes = 0,
    ttfa_ms: options.TtfaMs = 100.0,
    gap_ms: options.GapMs = 50.0,
    continuity: options.Continuity = 0.999,
    success: options.Success = 0.999,
    max_lag_ms: options.MaxLagMs = 2.0,
    server_pid: options.ServerPid = None,
    api_key: options.ApiKey = None,
    output: options.Output = None,
) -> None:
    """Put load on speech servers and say how their listeners fare.

    Writes report.html, report.png, summary.json and requests.jsonl.
    """
    from benchmarks.load.campaign import Campaign, Plan
    from benchmarks.load.statistics import Objective
    from benchmarks.load.texts import read_set
    from benchmarks.load.workload import Workload

    with _mistakes_told():
        kept = tuple(languages or ())
        workload = Workload(
            texts=tuple(text for name in names(texts) for text in read_set(name, kept)),
            models=(DEFAULT_MODEL,),
            voices=(DEFAULT_VOICE,),
            formats=names(formats),
            zipf=zipf,
            new_voice_share=new_voice_share if new_voices else 0.0,
            seed=seed,
        )
        objective = Objective(
            ttfa_s=ttfa_ms / 1e3, gap_s=gap_ms / 1e3, continuity=continuity, success=success
        )
        plan = Plan(
            workload=workload,
            warm_up_s=seconds(warm_up, "--warm-up"),
            duration_s=seconds(duration, "--duration"),
            min_requests=min_requests,
            timeout_s=seconds(timeout, "--timeout"),
            rounds=rounds,
            processes=processes,
            objective=objective,
            max_lag_s=max_lag_ms / 1e3,
            new_voice_recording=new_voices,
            seed=seed,
        )
        soak_s = seconds(soak, "--soak") if soak else None
        loads = list(_loads(rate, arrivals, ramp, concurrency, listeners))
        if not loads and not find_capacity:
            loads = list(_loads(DEFAULT_RATES, arrivals, None, None, None))
        _check_loads(loads, plan)
        parsed = _parsed(targets or (options.DEFAULT_URL,), api_key, fields)
        plan = replace(plan, workloads=_workloads(workload, parsed, models or (), voices or ()))
        asked = [_prepared(target, plan.workloads[target.name], plan.timeout_s) for target in parsed]
    campaign = Campaign(plan, asked, output or _dated_folder(), _tell)
    with _reported(campaign):
        campaign.run_loads(loads)
        if find_capacity:
            _find_capacities(campaign, asked, loads)
        if soak_s is not None:
            _soak(campaign, asked, loads, soak_s, server_pid)


def _dated_folder() -> Path:
    return Path(datetime.now().strftime("bench-%Y%m%d-%H%M%S"))


def _parsed(texts: Sequence[str], api_key: str | None, fields: list[str] | None) -> list[Target]:
    """Raises TargetError, and ValueError where two have one name."""
    from benchmarks.load.adapters import parse_target

    more_fields = options.json_fields(fields)
    targets = [parse_target(text, api_key, more_fields) for text in texts]
    found = [target.name for target in targets]
    if len(set(found)) < len(found):
        raise ValueError(f"found {', '.join(found)}; expected names that differ: NAME=URL")
    return targets


def _workloads(
    workload: Workload, targets: Sequence[Target], models: Sequence[str], voices: Sequence[str]
) -> dict[str, Workload]:
    """By target: the same, with the models and voices that are everybody's or its own."""
    all_names = [target.name for target in targets]
    return {
        name: replace(
            workload,
            models=options.of_target(models, name, all_names) or workload.models,
            voices=options.of_target(voices, name, all_names) or workload.voices,
        )
        for name in all_names
    }


def _loads(
    rate: str | None, arrivals: str, ramp: str | None, concurrency: str | None, listeners: str | None
) -> Iterator[Load]:
    from benchmarks.load.arrivals import Load

    if arrivals not in ("poisson", "constant"):
        raise ValueError(f"--arrivals: found {arrivals!r}; expected poisson or constant")
    yield from (Load(arrivals, level) for level in numbers(rate, "--rate"))  # type: ignore[arg-type]
    if ramp:
        start, stop = span(ramp, "--ramp")
        yield Load("ramp", stop, start)
    yield from (Load("closed", level) for level in numbers(concurrency, "--concurrency"))
    yield from (Load("listeners", level) for level in numbers(listeners, "--listeners"))


def _check_loads(loads: Sequence[Load], plan: Plan) -> None:
    """Raises ValueError for a load that the rest of the plan doesn't go with."""
    if plan.new_voice_recording and not all(load.is_open for load in loads):
        raise ValueError("--new-voices: found a closed loop; expected an open one, whose requests are known")
    if not plan.can_pace and any(load.kind == "listeners" for load in loads):
        raise ValueError(f"--listeners: found {', '.join(plan.workload.formats)}; expected pcm or wav")


def _prepared(target: Target, workload: Workload, timeout_s: float) -> Target:
    """The target, which has spoken with every model and voice of the workload once."""
    from benchmarks.load.adapters import check_formats, find_voices, prime

    check_formats(target, workload.formats)
    target = find_voices(target, workload.voices)
    prime(target, workload, timeout_s)
    return target


def _find_capacities(campaign: Campaign, targets: Sequence[Target], loads: Sequence[Load]) -> None:
    """Of each target: the rate, runs around it that show the knee, and the listeners."""
    from benchmarks.load.arrivals import Load
    from benchmarks.load.capacity import AROUND_THE_KNEE, Levels, three_digits

    start = next((load.level for load in loads if load.kind == "poisson"), DEFAULT_START)
    rates = Levels(start / FARTHEST, start * FARTHEST)
    for target in targets:
        found = campaign.find_capacity(target, "poisson", start, rates)
        if found.highest is not None and not loads:
            rates_around = [three_digits(found.highest * share) for share in AROUND_THE_KNEE]
            campaign.run_loads(Load("poisson", level) for level in rates_around)
        if campaign.plan.can_pace:
            campaign.find_capacity(target, "listeners", 1, Levels(1, FARTHEST * 8, whole_numbers=True))


def _soak(
    campaign: Campaign, targets: Sequence[Target], loads: Sequence[Load], duration_s: float, pid: int | None
) -> None:
    from benchmarks.load.arrivals import Load
    from benchmarks.load.capacity import three_digits

    for target in targets:
        capacity = campaign.results.capacity(target.name, "poisson")
        load = loads[0] if loads else None
        if capacity is not None:
            load = Load("poisson", three_digits(SOAK_SHARE * capacity))
        if load is not None:
            campaign.soak(target, load, duration_s, pid)


def _tell(run: Run) -> None:
    from server import console

    console.out.print(line_of(run), markup=False)


def line_of(run: Run) -> str:
    """A run in one line, as it is told while others go on."""
    found = run.summary
    ttfa = "no audio" if found.ttfa_s is None else f"TTFA p95 {1e3 * found.ttfa_s.p95:.0f} ms"
    gaps = "" if found.underruns is None else f", C50 {found.underruns.share_up_to_50_ms:.1%}"
    verdict = "met" if found.meets_objective else "missed" if found.is_valid else "discarded: late client"
    return (
        f"{run.target}  {run.load.label}  {found.succeeded}/{found.requests} answered, {ttfa}{gaps}, "
        f"{found.times_real_time:.2f} × real time: {verdict}"
    )


@contextmanager
def _mistakes_told() -> Iterator[None]:
    from benchmarks.load.adapters import TargetError

    try:
        yield
    except TargetError as error:
        raise BenchError(str(error)) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _reported(campaign: Campaign) -> Iterator[None]:
    """Whatever ends the campaign, what it has found is written."""
    from benchmarks.load.adapters import TargetError
    from benchmarks.load.campaign import LateClient
    from benchmarks.load.fleet import ClientDied
    from benchmarks.load.report import write_report
    from server import console

    try:
        yield
    except (LateClient, ClientDied, TargetError) as error:
        raise BenchError(str(error)) from error
    finally:
        if campaign.results.runs:
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            console.out.print(str(write_report(campaign, command)), markup=False)


class BenchError(ServerError):
    """Told as one red line, like every error of the command line."""
