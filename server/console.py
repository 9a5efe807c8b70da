"""What the command line shows: reports, tables, progress bars and one red line per error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from models_store.errors import Problem
from models_store.report import Progress as IntakeProgress
from models_store.report import ProgressCallback, Report

if TYPE_CHECKING:
    from providers.audio.analysis.verdict import Inspection
    from server.doctor import Finding

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)

PHASES = {
    "unpack": "unpacking",
    "recording": "reading the recording",
    "convert": "converting",
    "digest": "storing",
    "listen": "listening",
}


def print_json(value: Any) -> None:
    out.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False)


def print_error(message: str) -> None:
    """One line, whatever the message is made of."""
    err.print(f"[bold red]error:[/] [red]{escape(' '.join(printable(message).split()))}[/]")


def print_report(report: Report) -> None:
    """Family, facts, problems, warnings."""
    family = " ".join(filter(None, (report.family, report.variant))) or "not recognised"
    languages = f", speaks {' '.join(report.languages)}" if report.languages else ""
    out.print(f"[bold]{escape(printable(family + languages))}[/]")
    for name, value in report.facts.items():
        out.print(f"  {escape(printable(name))}: {escape(printable(value))}")
    print_problems(report.problems, "red", "problem")
    print_problems(report.warnings, "yellow", "warning")


def print_problems(problems: Sequence[Problem], colour: str, word: str, console: Console = out) -> None:
    for problem in problems:
        place = problem.file or "the submission"
        console.print(f"[{colour}]{word}[/] [bold]{escape(printable(place))}[/] [dim]{problem.code}[/]")
        for label in ("found", "expected", "remedy"):
            console.print(f"  {label + ':':<10}{escape(printable(getattr(problem, label)))}")


def print_inspection(inspection: Inspection) -> None:
    """A recording's verdict, and each broken rule with the moments concerned."""
    colours = {"accepted": "green", "accepted_with_warnings": "yellow", "refused": "red"}
    verdict = inspection.verdict.replace("_", " ")
    name = escape(printable(inspection.file))
    out.print(f"[{colours[inspection.verdict]}]{verdict}[/] [bold]{name}[/]")
    for finding in inspection.findings:
        colour = "red" if finding.severity == "refusal" else "yellow"
        out.print(f"  [{colour}]{finding.rule}[/] {escape(printable(finding.message))}")
        if finding.moments:
            moments = ", ".join(f"{each.start_s:.1f}–{each.end_s:.1f} s" for each in finding.moments[:5])
            more = f" and {len(finding.moments) - 5} more" if len(finding.moments) > 5 else ""
            out.print(f"    at {moments}{more}")
    if inspection.duplicate_of:
        out.print(f"  the same as {escape(printable(inspection.duplicate_of))}")


def print_finding(finding: Finding) -> None:
    colour = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.verdict]
    out.print(f"[{colour}]{finding.verdict:<5}[/]{finding.subject:<14}{escape(printable(finding.found))}")
    if finding.remedy:
        out.print(f"{'':<19}{escape(finding.remedy)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    if not rows:
        out.print(empty)
        return
    cells = [columns, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    # Never folded or cut, however narrow the terminal: names and ids get copied.
    for style, row in zip(("bold", *("" for _ in rows)), cells, strict=True):
        padded = [set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)]
        out.print("  ".join(padded).rstrip(), style=style, markup=False)


@contextmanager
def progress_bars() -> Iterator[ProgressCallback]:
    """A bar per phase of the intake, on stderr, gone when it's over."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: IntakeProgress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bars.add_task(PHASES.get(progress.phase, progress.phase))
            bars.update(tasks[progress.phase], completed=progress.done_bytes, total=progress.total_bytes)

        yield show


def human_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def printable(text: str) -> str:
    """Without control characters: names inside an upload are a stranger's, and terminals obey them."""
    return re.sub(
        r"[^\S\n\t]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
        _visible,
        text,
    )


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    return " " if character.isspace() else character.encode("unicode_escape").decode()
