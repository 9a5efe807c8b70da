"""Everything that was measured on one page that asks nobody for anything, and the same as JSON."""

from __future__ import annotations

import base64
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.load.arrivals import TITLES, UNITS, Kind
from benchmarks.load.campaign import Campaign, Plan, Results, Run
from benchmarks.load.plots import Panel, panels, save_png, svg
from benchmarks.load.statistics import Objective, Percentiles, Summary, median_of
from benchmarks.load.workload import Workload

Figure = Callable[[Summary], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in the tables. `less_is_better` says which way a ratio is good; None: neither."""

    title: str
    figure: Figure
    show: Callable[[float], str]
    less_is_better: bool | None = None


def _percentile(field: str, name: str) -> Figure:
    def figure(summary: Summary) -> float | None:
        found: Percentiles | None = getattr(summary, field)
        return None if found is None else float(getattr(found, name))

    return figure


def _underrun(name: str) -> Figure:
    return lambda summary: None if summary.underruns is None else float(getattr(summary.underruns, name))


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _share(value: float) -> str:
    return "100 %" if value == 1 else f"{100 * value:.2f} %"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


COLUMNS = (
    Column("requests", lambda s: float(s.requests), _number),
    Column("success", lambda s: s.success, _share, less_is_better=False),
    Column("audible TTFA p50", _percentile("ttfa_s", "p50"), _milliseconds, less_is_better=True),
    Column("audible TTFA p90", _percentile("ttfa_s", "p90"), _milliseconds, less_is_better=True),
    Column("audible TTFA p95", _percentile("ttfa_s", "p95"), _milliseconds, less_is_better=True),
    Column("audible TTFA p99", _percentile("ttfa_s", "p99"), _milliseconds, less_is_better=True),
    Column("first sample p50", _percentile("first_audio_s", "p50"), _milliseconds, less_is_better=True),
    Column("leading silence p50", _percentile("leading_silence_s", "p50"), _milliseconds),
    Column("C50: underruns ≤ 50 ms", _underrun("share_up_to_50_ms"), _share, less_is_better=False),
    Column("C100", _underrun("share_up_to_100_ms"), _share, less_is_better=False),
    Column("C200", _underrun("share_up_to_200_ms"), _share, less_is_better=False),
    Column("underruns", _underrun("count"), _number),
    Column("underruns in all", _underrun("total_s"), _milliseconds),
    Column("longest underrun", _underrun("longest_s"), _milliseconds, less_is_better=True),
    Column("complete", lambda s: None if s.completeness is None else s.completeness.share, _share),
    Column("RTF p50", _percentile("rtf", "p50"), _number, less_is_better=True),
    Column("RTF p99", _percentile("rtf", "p99"), _number, less_is_better=True),
    Column("× real time", lambda s: s.times_real_time, _number, less_is_better=False),
    Column("goodput", lambda s: s.goodput_times_real_time, _number, less_is_better=False),
    Column("cold swaps", lambda s: None if s.cold_swaps is None else float(s.cold_swaps), _number),
    Column("most in flight", lambda s: float(s.most_in_flight), _number),
    Column("client lag p99", _percentile("lag_s", "p99"), lambda s: f"{1e3 * s:.2f} ms"),
)


def write_report(campaign: Campaign, command: str) -> Path:
    """summary.json, report.png and report.html beside requests.jsonl; returns the page."""
    results, plan, folder = campaign.results, campaign.plan, campaign.folder
    facts = _facts(plan, command)
    summary = {"facts": facts, "objective": plan.objective, "results": results}
    (folder / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1))
    drawn = panels(results, plan.objective)
    png = folder / "report.png"
    save_png(drawn, png, "Load benchmark: " + ", ".join(results.targets))
    charts = "".join(_chart(panel, number) for number, panel in enumerate(drawn))
    page = (
        files("benchmarks.load")
        .joinpath("report.html")
        .read_text()
        .replace("{{title}}", escape("Load benchmark: " + ", ".join(results.targets)))
        .replace("{{verdicts}}", _list(verdicts(results, plan.objective)))
        .replace("{{charts}}", charts)
        .replace("{{tables}}", _tables(results))
        .replace("{{facts}}", _definitions(facts))
        .replace("{{png}}", base64.b64encode(png.read_bytes()).decode())
    )
    path = folder / "report.html"
    path.write_text(page)
    return path


def _chart(panel: Panel, number: int) -> str:
    told = escape(panel.description)
    drawing = _numbered(svg(panel), number)
    return (
        f'<figure><div role="img" aria-label="{told}">{drawing}</div><figcaption>{told}</figcaption></figure>'
    )


def verdicts(results: Results, objective: Objective) -> Iterable[str]:
    """What a reader in a hurry wants to know."""
    yield (
        f"Objective: p{100 * objective.ttfa_quantile:g} audible TTFA ≤ {_milliseconds(objective.ttfa_s)}, "
        f"longest underrun ≤ {_milliseconds(objective.gap_s)} in {_share(objective.continuity)} of answers, "
        f"success ≥ {_share(objective.success)}."
    )
    for found in results.capacities:
        above = "" if found.lowest_above is None else f"; {found.lowest_above:.3g} is too much"
        level = "none that was tried" if found.highest is None else f"{found.highest:.3g}"
        yield f"{found.target}: capacity {level} {UNITS[found.kind]}{above}."
    discarded = sum(not run.summary.is_valid for run in results.runs)
    if discarded:
        yield f"{discarded} of {len(results.runs)} runs were discarded: the client itself was late in them."
    for soak in results.soaks:
        run = results.runs[soak.run]
        yield f"{run.target}, soak of {run.load.label}: {_soaked(run.summary)}."
        for growth in soak.growths:
            interval = f"{growth.low:+.2f} to {growth.high:+.2f}"
            yield (
                f"{run.target}, memory {growth.name}: {growth.mb_per_h:+.2f} MB/h ({interval}) after the "
                f"warm-up, limit {growth.limit:g}: {growth.verdict}."
            )


def _soaked(summary: Summary) -> str:
    ttfa = "" if summary.ttfa_s is None else f", audible TTFA p95 {_milliseconds(summary.ttfa_s.p95)}"
    gaps = "" if summary.underruns is None else f", C50 {_share(summary.underruns.share_up_to_50_ms)}"
    return f"{summary.requests} requests, {summary.requests - summary.succeeded} errors{ttfa}{gaps}"


def _tables(results: Results) -> str:
    shown = [(kind, target) for kind in UNITS for target in results.targets if results.of(target, kind)]
    parts = [_load_table(results, kind, target) for kind, target in shown]
    parts += [_ratio_table(results, kind, other) for kind, other in shown if other != results.targets[0]]
    parts += [_part_table(results)]
    errors = [(run, found) for run in results.runs for found in run.summary.errors.items()]
    if errors:
        rows = [
            [escape(run.target), run.load.label, str(count), escape(message)]
            for run, (message, count) in errors[:50]
        ]
        parts.append(_table("Errors", ["target", "load", "requests", "error"], rows))
    return "".join(parts)


def _load_table(results: Results, kind: Kind, target: str) -> str:
    """A column per level."""
    runs = results.of(target, kind)
    by_level = {
        level: [run for run in runs if run.level == level] for level in sorted({r.level for r in runs})
    }
    rows = [
        [column.title, *(_cell([run.summary for run in of_level], column) for of_level in by_level.values())]
        for column in COLUMNS
    ]
    rows.append(["objective", *(_met(of_level) for of_level in by_level.values())])
    several = "; medians of rounds, lowest to highest in brackets" if len(runs) > len(by_level) else ""
    title = f"{target}, {TITLES[kind].lower()}{several}"
    return _table(title, [UNITS[kind], *(f"{level:.3g}" for level in by_level)], rows)


def _met(runs: Sequence[Run]) -> str:
    met = sum(run.summary.meets_objective for run in runs)
    if met == len(runs):
        return '<span class="good">met</span>'
    missed = next(run.summary.misses for run in runs if run.summary.misses)
    often = "" if met == 0 else f" in {len(runs) - met} of {len(runs)}"
    return f'<span class="bad">missed</span>{often}<br><small>{"<br>".join(map(escape, missed))}</small>'


def _ratio_table(results: Results, kind: Kind, other: str) -> str:
    """Another target over the first, round by round: what slows the machine slows both."""
    first = results.targets[0]
    pairs = {
        level: list(_pairs(results.of(first, kind, level), results.of(other, kind, level)))
        for level in sorted({run.level for run in results.of(other, kind)})
    }
    pairs = {level: of_level for level, of_level in pairs.items() if of_level}
    rows = [
        [column.title, *(_ratio(of_level, column) for of_level in pairs.values())]
        for column in COLUMNS
        if column.less_is_better is not None
    ]
    title = f"{other} / {first}, {TITLES[kind].lower()}; medians of rounds, lowest to highest in brackets"
    return _table(title, [UNITS[kind], *(f"{level:.3g}" for level in pairs)], rows) if pairs else ""


def _pairs(firsts: Sequence[Run], others: Sequence[Run]) -> Iterable[tuple[Summary, Summary]]:
    by_round = {run.round: run.summary for run in firsts if run.purpose == "load"}
    for run in others:
        if run.purpose == "load" and run.round in by_round:
            yield by_round[run.round], run.summary


def _ratio(pairs: Sequence[tuple[Summary, Summary]], column: Column) -> str:
    ratios = sorted(
        theirs / ours
        for first, other in pairs
        if (ours := column.figure(first)) and (theirs := column.figure(other)) is not None
    )
    if not ratios:
        return "–"
    middle = ratios[(len(ratios) - 1) // 2]
    is_better = middle < 1 if column.less_is_better else middle > 1
    colour = "" if 0.98 < middle < 1.02 else ' class="good"' if is_better else ' class="bad"'
    span = f"<br><small>[{ratios[0]:.2f}, {ratios[-1]:.2f}]</small>" if len(ratios) > 1 else ""
    return f"<span{colour}>{middle:.2f}×</span>{span}"


def _part_table(results: Results) -> str:
    rows = [
        [
            escape(run.target),
            run.load.label,
            f"{name} {escape(value)}",
            str(part.requests),
            _share(part.success),
            *(
                "–" if part.ttfa_s is None else _milliseconds(getattr(part.ttfa_s, percentile))
                for percentile in ("p50", "p95")
            ),
            "–" if part.rtf is None else _number(part.rtf.p50),
        ]
        for run in results.runs
        if run.summary.is_valid and run.purpose != "capacity"
        for name, parts in run.summary.parts.items()
        for value, part in parts.items()
    ]
    if not rows:
        return ""
    columns = ["target", "load", "of which", "requests", "success", "TTFA p50", "TTFA p95", "RTF p50"]
    return _table("By texts, language, model, voice and format", columns, rows)


def _cell(summaries: Sequence[Summary], column: Column) -> str:
    median = median_of(summaries, column.figure)
    if median is None:
        return "–"
    known = [value for summary in summaries if (value := column.figure(summary)) is not None]
    if len(known) < 2 or min(known) == max(known):
        return column.show(median)
    return f"{column.show(median)}<br><small>[{column.show(min(known))}, {column.show(max(known))}]</small>"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<h2>{escape(title)}</h2><div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _definitions(facts: dict[str, Any]) -> str:
    return (
        "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items()) + "</dl>"
    )


def _numbered(drawing: str, number: int) -> str:
    """Ids that no other drawing on the page has."""
    for before in ('id="', 'xlink:href="#', "url(#"):
        drawing = drawing.replace(before, f"{before}f{number}-")
    return drawing


def _facts(plan: Plan, command: str) -> dict[str, Any]:
    workload = plan.workload
    sets = sorted({text.set for text in workload.texts})
    return {
        "command": command,
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "client": f"{_processor()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "texts": f"{len(workload.texts)} of {', '.join(sets)}",
        "models": _of_targets(plan, lambda asked: asked.models) + f", Zipf {workload.zipf:g}",
        "voices": _of_targets(plan, lambda asked: asked.voices)
        + (f", {workload.new_voice_share:.0%} new" if plan.new_voice_recording else ""),
        "formats": ", ".join(workload.formats),
        "window": f"{plan.duration_s:g} s and {plan.min_requests} requests at least, after a warm-up of "
        f"{plan.warm_up_s:g} s, in each of {plan.rounds} rounds",
        "seed": plan.seed,
        "client lag allowed": f"{1e3 * plan.max_lag_s:g} ms (p99)",
    }


def _of_targets(plan: Plan, values: Callable[[Workload], tuple[str, ...]]) -> str:
    asked = {name: ", ".join(values(workload)) for name, workload in plan.workloads.items()}
    if len(set(asked.values())) < 2:
        return next(iter(asked.values()), ", ".join(values(plan.workload)))
    return "; ".join(f"{name}: {told}" for name, told in asked.items())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
