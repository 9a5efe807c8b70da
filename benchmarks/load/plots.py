"""The figures of a report, each drawn once: as SVG for the page and together as one PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from benchmarks.load.arrivals import OPEN, TITLES, UNITS, Kind
from benchmarks.load.campaign import Results, Run, Soak
from benchmarks.load.statistics import Objective, Percentiles, Summary, median_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FigureOf = Callable[[Summary], float | None]

# One colour per target, told apart by any eye and on any background (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LIMIT_COLOUR = "#b22222"
INK = "#102030"  # stands for the page's own text colour, which a dark page has too
MAIN = "-"  # the line of a figure whose spread over rounds is shown
DOTTED: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.4}
PANEL_SIZE = (5.6, 3.4)  # inches
STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#808080",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure: its title, what it says for those who don't see it, and how it's drawn."""

    title: str
    description: str
    draw: Callable[[Axes], None]


def panels(results: Results, objective: Objective) -> list[Panel]:
    """Those that there are runs for."""
    found = [
        panel
        for kind in UNITS
        if any(results.of(target, kind) for target in results.targets)
        for panel in _panels_of(results, kind, objective)
    ]
    return found + [_memory_panel(soak, results.runs[soak.run]) for soak in results.soaks if soak.samples]


def svg(panel: Panel) -> str:
    """One element, to be put into a page: no prologue, no metadata, in the page's own ink and typeface."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=PANEL_SIZE, layout="constrained")
        _draw(panel, figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"font: ([^;\"]*?)(\d+(?:\.\d+)?px) [^;\"]*", r"font: \1\2 system-ui, sans-serif", text)
    return text.replace(INK, "currentColor")


def save_png(panels: Sequence[Panel], path: Path, title: str) -> None:
    """All of them on one sheet, two in a row."""
    rows = -(-len(panels) // 2) or 1
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(2 * PANEL_SIZE[0], rows * PANEL_SIZE[1] + 0.4), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        for position, panel in enumerate(panels, start=1):
            _draw(panel, figure.add_subplot(rows, 2, position))
        figure.savefig(path, format="png", dpi=130, facecolor="white")


_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _draw(panel: Panel, axes: Axes) -> None:
    panel.draw(axes)
    axes.set_title(panel.title)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _panels_of(results: Results, kind: Kind, objective: Objective) -> list[Panel]:
    title, unit = TITLES[kind].lower(), UNITS[kind]
    return [
        Panel(
            f"Audible TTFA: {title}",
            f"Time to the first audible sample against {unit}, with the objective as a line across.",
            lambda axes: _draw_latency(_AgainstLoad(axes, results, kind), objective),
        ),
        Panel(
            f"Continuity: {title}",
            f"Share of answers whose longest underrun is at most 50, 100 and 200 ms, against {unit}.",
            lambda axes: _draw_continuity(_AgainstLoad(axes, results, kind)),
        ),
        Panel(
            f"Goodput: {title}",
            f"Seconds of audio per second, all of it and of answers within the objective, against {unit}.",
            lambda axes: _draw_goodput(_AgainstLoad(axes, results, kind)),
        ),
        Panel(
            f"RTF: {title}",
            f"Seconds from schedule to end per second of audio, against {unit}.",
            lambda axes: _draw_rtf(_AgainstLoad(axes, results, kind)),
        ),
    ]


def _draw_latency(chart: _AgainstLoad, objective: Objective) -> None:
    styles = (("p50", ":"), ("p95", MAIN), ("p99", "--"))
    chart.draw([_Line(name, style, _percentile("ttfa_s", name)) for name, style in styles])
    _limit(chart.axes, objective.ttfa_s, "objective")
    _logarithmic(chart.axes, _seconds)
    chart.finish("scheduled → first audible sample")


def _draw_continuity(chart: _AgainstLoad) -> None:
    styles = ((50, MAIN), (100, "--"), (200, ":"))
    chart.draw([_Line(f"C{limit_ms}", style, _continuity(limit_ms)) for limit_ms, style in styles])
    chart.axes.set_ylim(-0.02, 1.04)
    chart.axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    chart.finish("answers without a longer underrun")


def _draw_goodput(chart: _AgainstLoad) -> None:
    everything = _Line("all audio", "--", lambda summary: summary.times_real_time)
    goodput = _Line("goodput", MAIN, lambda summary: summary.goodput_times_real_time)
    chart.draw([everything, goodput])
    chart.finish("seconds of audio per second")
    chart.axes.set_ylim(bottom=0)


def _draw_rtf(chart: _AgainstLoad) -> None:
    styles = (("p50", MAIN), ("p99", "--"))
    chart.draw([_Line(name, style, _percentile("rtf", name)) for name, style in styles])
    _limit(chart.axes, 1.0, "as fast as it is heard")
    _logarithmic(chart.axes, lambda ratio: f"{ratio:g}")
    chart.finish("seconds per second of audio")


class _Line(NamedTuple):
    label: str
    style: str
    figure: FigureOf


@dataclass(frozen=True, slots=True)
class _AgainstLoad:
    """Axes whose horizontal one is the level of one kind of load."""

    axes: Axes
    results: Results
    kind: Kind

    def draw(self, lines: Sequence[_Line]) -> None:
        """Medians over rounds, of every target; the main line with its spread."""
        targets = self.results.targets
        for target, colour in zip(targets, _colours(self.results), strict=True):
            for label, style, figure in lines:
                levels, medians, lows, highs = _series(self.results.of(target, self.kind), figure)
                name = f"{target} {label}" if len(targets) > 1 else label
                self.axes.plot(levels, medians, style, color=colour, label=name, **DOTTED)
                if style == MAIN:
                    self.axes.fill_between(levels, lows, highs, color=colour, alpha=0.15, linewidth=0)

    def finish(self, label: str) -> None:
        """What is drawn last, for it goes by the limits that the lines have set."""
        _mark_capacity(self.axes, self.results, self.kind)
        self.axes.set_xlabel(UNITS[self.kind])
        self.axes.set_ylabel(label)
        self.axes.set_xlim(left=0)
        self.axes.xaxis.set_major_locator(MaxNLocator("auto", integer=self.kind not in OPEN))


def _memory_panel(soak: Soak, run: Run) -> Panel:
    def draw(axes: Axes) -> None:
        names = sorted({name for sample in soak.samples for name in sample.bytes} - {"processes"})
        for name, colour in zip(names, COLOURS, strict=False):
            known = [sample for sample in soak.samples if name in sample.bytes]
            minutes = [sample.at_s / 60 for sample in known]
            axes.plot(minutes, [sample.bytes[name] / 2**20 for sample in known], color=colour, label=name)
        axes.set_xlabel("minutes")
        axes.set_ylabel("MiB")
        axes.set_ylim(bottom=0)

    return Panel(f"Memory under {run.load.label}", "Memory of the server over the soak.", draw)


def _limit(axes: Axes, value: float, label: str) -> None:
    axes.axhline(value, color=LIMIT_COLOUR, linewidth=0.9)
    # At the right end, just above the line.
    axes.annotate(
        label,
        (1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        color=LIMIT_COLOUR,
        fontsize=7.5,
    )


def _logarithmic(axes: Axes, show: Callable[[float], str]) -> None:
    """With a label at 1, 2 and 5 of each decade: a sweep often spans less than one."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mark_capacity(axes: Axes, results: Results, kind: Kind) -> None:
    for target, colour in zip(results.targets, _colours(results), strict=True):
        for found in results.capacities:
            if (found.target, found.kind) == (target, kind) and found.highest is not None:
                axes.axvline(
                    found.highest, color=colour, linewidth=1.2, linestyle=(0, (1, 1)), label="capacity"
                )


def _colours(results: Results) -> list[str]:
    return [COLOURS[position % len(COLOURS)] for position in range(len(results.targets))]


def _series(
    runs: Sequence[Run], figure: FigureOf
) -> tuple[list[float], list[float], list[float], list[float]]:
    """(levels, medians, lowest, highest) over the rounds of each level."""
    points = []
    for level in sorted({run.level for run in runs}):
        summaries = [run.summary for run in runs if run.level == level]
        known = [value for summary in summaries if (value := figure(summary)) is not None]
        median = median_of(summaries, figure)
        if median is not None:
            points.append((level, median, min(known), max(known)))
    levels, medians, lows, highs = zip(*points, strict=True) if points else ((), (), (), ())
    return list(levels), list(medians), list(lows), list(highs)


def _percentile(name: str, rank: str) -> FigureOf:
    def figure(summary: Summary) -> float | None:
        found: Percentiles | None = getattr(summary, name)
        return None if found is None else float(getattr(found, rank))

    return figure


def _continuity(limit_ms: int) -> FigureOf:
    def figure(summary: Summary) -> float | None:
        found = summary.underruns
        return None if found is None else float(getattr(found, f"share_up_to_{limit_ms}_ms"))

    return figure


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{1e3 * value:g} ms"
