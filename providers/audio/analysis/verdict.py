"""Measurements → a verdict: every rule that is broken, by how much and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from providers.audio.analysis.measurements import MEASUREMENTS, Moment, Value
from providers.audio.analysis.report import Analysis
from providers.audio.analysis.rules import RULES, Rule

Verdict = Literal["accepted", "accepted_with_warnings", "refused"]
Severity = Literal["warning", "refusal"]

NOT_WAV, UNMEASURED = "wav", "unmeasured"  # rules without a bound


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule."""

    rule: str  # of RULES, or "wav", or "unmeasured"
    severity: Severity
    measurement: str
    value: Value
    bound: float | None
    message: str
    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file, what was measured of it and what follows from that."""

    file: str
    digest: str  # of the file as it came
    size_bytes: int
    verdict: Verdict
    findings: tuple[Finding, ...]
    analysis: Analysis
    duplicate_of: str | None = None  # a stored digest, or a name of the same upload


def judge(analysis: Analysis) -> tuple[Verdict, tuple[Finding, ...]]:
    """All of the findings, refusals first."""
    if analysis.not_wav is not None:
        message = (
            f"found {analysis.not_wav}; expected a .wav. Export the original as wav: renaming a file, or "
            "converting what was compressed, doesn't bring back what is lost."
        )
        return "refused", (Finding(NOT_WAV, "refusal", "container", analysis.not_wav, None, message),)
    broken = [_judged(name, rule, analysis) for name, rule in RULES.items()]
    found = [finding for finding in broken if finding is not None] + _unmeasured(analysis)
    found.sort(key=lambda finding: finding.severity != "refusal")
    if not found:
        return "accepted", ()
    return ("refused" if found[0].severity == "refusal" else "accepted_with_warnings"), tuple(found)


def _judged(name: str, rule: Rule, analysis: Analysis) -> Finding | None:
    value = analysis.measurements.get(rule.measurement)
    if value is None or isinstance(value, str):
        return None
    refused = rule.exceeded(value, rule.refuse)
    bound = rule.refuse if refused else rule.warn
    if bound is None or not (refused or rule.exceeded(value, rule.warn)):
        return None
    moments = tuple(moment for moment in analysis.moments if moment.measurement in _told_by(rule))
    severity: Severity = "refusal" if refused else "warning"
    return Finding(name, severity, rule.measurement, value, bound, _message(rule, value, bound), moments)


def _message(rule: Rule, value: float, bound: float) -> str:
    side = "at least" if rule.side == "at_least" else "at most"
    unit = MEASUREMENTS[rule.measurement].unit
    found, expected = (f"{_number(number)} {unit}".rstrip() for number in (value, bound))
    return f"{rule.measurement}: found {found}; expected {side} {expected}. {rule.remedy}"


def _told_by(rule: Rule) -> tuple[str, ...]:
    """Both rules about clipping point at the same places."""
    return ("clipping_share",) if rule.measurement == "longest_clipping_run" else (rule.measurement,)


def _unmeasured(analysis: Analysis) -> list[Finding]:
    return [
        Finding(
            UNMEASURED,
            "warning",
            name,
            None,
            None,
            f"{name}: found no model that measures it; expected one. The operator sets it up: scripts/setup",
        )
        for name in analysis.unmeasured
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
