"""Records to figures: what listeners got, and whether it was good enough.

Percentiles are observations (nearest rank), never something between two of them, and of answered requests
only: what was not answered counts against `success`.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from benchmarks.load.record import Record

SHORTEST_UNDERRUN_S = 0.001  # less is how a chunk is cut into segments, which nobody hears
MAX_LAG_S = 0.002
QUANTILES = (0.50, 0.90, 0.95, 0.99)


class Percentiles(msgspec.Struct, frozen=True):
    p50: float
    p90: float
    p95: float
    p99: float


class Objective(msgspec.Struct, frozen=True):
    """What a load has to be served with. The defaults are those of a server on one fast GPU."""

    ttfa_s: float = 0.1
    ttfa_quantile: float = 0.95
    gap_s: float = 0.05
    continuity: float = 0.999  # share of answers whose longest underrun is at most `gap_s`
    success: float = 0.999
    completeness: float = 0.999


class Window(NamedTuple):
    """The part of a run that counts, in seconds since it began."""

    start_s: float
    stop_s: float

    @property
    def duration_s(self) -> float:
        return self.stop_s - self.start_s

    def holds(self, record: Record) -> bool:
        """Whether a request counts: by when it was due."""
        return self.start_s <= record.scheduled_s < self.stop_s


class Underruns(msgspec.Struct, frozen=True):
    """With immediate playback. `share_up_to_…`: of answers, by their longest underrun."""

    requests: int
    count: int
    longest_s: float
    total_s: float
    share_up_to_50_ms: float
    share_up_to_100_ms: float
    share_up_to_200_ms: float


class Completeness(msgspec.Struct, frozen=True):
    """Audio that is missing, where the same request has been answered with more."""

    judged: int  # answers that have others to be compared with
    share: float  # of these that are whole
    lost_audio_s: float


class Part(msgspec.Struct, frozen=True):
    """The same figures of some of the requests: those with one value of a field."""

    requests: int
    success: float
    ttfa_s: Percentiles | None
    rtf: Percentiles | None


class Summary(msgspec.Struct, frozen=True):
    """One run, in its window. None: there was nothing to measure it on."""

    requests: int
    succeeded: int
    success: float
    errors: dict[str, int]
    ttfa_s: Percentiles | None  # scheduled → first audible sample
    first_audio_s: Percentiles | None  # scheduled → first sample
    leading_silence_s: Percentiles | None
    underruns: Underruns | None
    completeness: Completeness | None
    rtf: Percentiles | None
    requests_per_s: float
    times_real_time: float  # seconds of audio that came per second
    goodput_times_real_time: float  # of that, what answers within the objective had
    goodput_requests_per_s: float
    most_in_flight: int
    lag_s: Percentiles | None  # of the client itself
    is_valid: bool
    misses: tuple[str, ...]  # of the objective; empty: the load was served within it
    parts: dict[str, dict[str, Part]] = {}
    cold_swaps: int | None = None  # submissions that the server had to load meanwhile, where it tells

    @property
    def meets_objective(self) -> bool:
        return self.is_valid and not self.misses


def summarise(
    records: Sequence[Record], window: Window, objective: Objective, max_lag_s: float = MAX_LAG_S
) -> Summary:
    """Of the requests scheduled within the window; `records` has those before it as well."""
    inside = [record for record in records if window.holds(record)]
    answered = [record for record in inside if record.succeeded]
    succeeded = [record for record in records if record.succeeded]
    lost_s = _lost_s(succeeded)
    good = [r for r in succeeded if _is_good(r, objective) and not lost_s.get(r.index)]
    lag = percentiles(record.lag_s for record in inside)
    figures = Summary(
        requests=len(inside),
        succeeded=len(answered),
        success=len(answered) / len(inside) if inside else 0.0,
        errors=dict(Counter(record.error for record in inside if record.error)),
        ttfa_s=percentiles(record.ttfa_s for record in answered),
        first_audio_s=percentiles(record.first_audio_s for record in answered),
        leading_silence_s=percentiles(record.leading_silence_s for record in answered),
        underruns=underruns(answered),
        completeness=completeness(answered),
        rtf=percentiles(record.rtf for record in answered),
        requests_per_s=len(answered) / window.duration_s,
        times_real_time=audio_within(records, window) / window.duration_s,
        goodput_times_real_time=audio_within(good, window) / window.duration_s,
        goodput_requests_per_s=sum(map(window.holds, good)) / window.duration_s,
        most_in_flight=most_in_flight(records),
        lag_s=lag,
        is_valid=bool(inside) and lag is not None and lag.p99 <= max_lag_s,
        misses=(),
        parts={name: _parts(inside, value) for name, value in PARTS.items()},
    )
    return msgspec.structs.replace(figures, misses=tuple(misses(figures, inside, objective)))


PARTS: dict[str, Callable[[Record], str]] = {
    "texts": lambda record: record.text_set,
    "language": lambda record: record.language,
    "model": lambda record: record.model,
    "voice": lambda record: "new" if record.is_voice_new else "known",
    "format": lambda record: record.format,
}


def misses(summary: Summary, records: Sequence[Record], objective: Objective) -> Iterable[str]:
    """What of the objective was not met, each in a sentence."""
    if not records:
        yield "there were no requests"
        return
    if summary.success < objective.success:
        yield f"success {summary.success:.2%} < {objective.success:.2%}"
    ttfa = quantile(
        [r.ttfa_s for r in records if r.succeeded and r.ttfa_s is not None], objective.ttfa_quantile
    )
    if ttfa is None or ttfa > objective.ttfa_s:
        found = "none" if ttfa is None else f"{1e3 * ttfa:.0f} ms"
        yield f"p{100 * objective.ttfa_quantile:g} audible TTFA {found} > {1e3 * objective.ttfa_s:.0f} ms"
    answered = [record for record in records if record.succeeded]
    continuity = share(answered, lambda record: longest_gap_s(record) <= objective.gap_s)
    if continuity < objective.continuity:
        yield f"C{1e3 * objective.gap_s:.0f} {continuity:.2%} < {objective.continuity:.2%}"
    if (whole := summary.completeness) is not None and whole.share < objective.completeness:
        yield f"complete {whole.share:.2%} < {objective.completeness:.2%}"


def percentiles(values: Iterable[float | None]) -> Percentiles | None:
    known = sorted(value for value in values if value is not None)
    return Percentiles(*(known[_rank(len(known), q)] for q in QUANTILES)) if known else None


def quantile(values: Sequence[float], q: float) -> float | None:
    """The least value that a share of `q` of them doesn't exceed."""
    return sorted(values)[_rank(len(values), q)] if values else None


def _rank(count: int, q: float) -> int:
    # 0.95 * 20 is 19.000000000000004 or 18.999999999999996, depending on luck
    return max(0, math.ceil(round(q * count, 9)) - 1)


def share(records: Sequence[Record], holds: Callable[[Record], bool]) -> float:
    return sum(map(holds, records)) / len(records) if records else 0.0


def longest_gap_s(record: Record) -> float:
    return max(record.gaps_s(), default=0.0)


def underruns(answered: Sequence[Record]) -> Underruns | None:
    if not answered:
        return None
    gaps = [[gap for gap in record.gaps_s() if gap > SHORTEST_UNDERRUN_S] for record in answered]
    longest = [max(of_one, default=0.0) for of_one in gaps]
    c50, c100, c200 = (sum(gap <= limit for gap in longest) / len(longest) for limit in (0.05, 0.1, 0.2))
    return Underruns(
        requests=sum(map(bool, gaps)),
        count=sum(map(len, gaps)),
        longest_s=max(longest),
        total_s=sum(map(sum, gaps)),
        share_up_to_50_ms=c50,
        share_up_to_100_ms=c100,
        share_up_to_200_ms=c200,
    )


def completeness(answered: Sequence[Record]) -> Completeness | None:
    """None where answers can't be judged by each other: no request was made twice, or lengths just vary."""
    lost_s = _lost_s(answered)
    if not lost_s:
        return None
    return Completeness(
        len(lost_s), sum(lost == 0 for lost in lost_s.values()) / len(lost_s), sum(lost_s.values())
    )


def _lost_s(answered: Sequence[Record]) -> dict[int, float]:
    """Index → seconds that others got and this one didn't, of those that can be compared."""
    lost_s: dict[int, float] = {}
    for group in _comparable(answered):
        lengths = {record.index: record.num_samples for record in group}
        whole = max(lengths.values())
        lost_s |= {index: (whole - length) / group[0].sample_rate_hz for index, length in lengths.items()}
    return lost_s


def _comparable(answered: Sequence[Record]) -> list[list[Record]]:
    """Answers to the same request, where their lengths say that it is always answered with the same audio.

    Lost chunks make answers shorter in many ways and whole ones are all alike, so the longest answer must
    also be the most frequent one. Where more than half of the requests don't pass, the server doesn't repeat
    itself, and nothing can be said.
    """
    groups: dict[object, list[Record]] = defaultdict(list)
    for r in answered:
        groups[r.model, r.voice, r.format, r.language, r.text, r.seed, r.sample_rate_hz].append(r)
    repeated = [group for group in groups.values() if len(group) > 1]
    alike = [group for group in repeated if _longest_is_most_frequent(group)]
    return alike if 2 * len(alike) >= len(repeated) else []


def _longest_is_most_frequent(group: Sequence[Record]) -> bool:
    counts = Counter(record.num_samples for record in group)
    return max(counts.values()) > 1 and counts[max(counts)] == max(counts.values())


def audio_within(records: Iterable[Record], window: Window) -> float:
    """Seconds of audio that came within the window, of whichever request."""
    return sum(
        count / record.sample_rate_hz
        for record in records
        for at_s, count in record.arrivals
        if window.start_s <= at_s < window.stop_s
    )


def most_in_flight(records: Iterable[Record]) -> int:
    """Requests that were due and not yet done, at the worst moment."""
    changes = sorted(
        change for record in records for change in ((record.finished_s, -1), (record.scheduled_s, 1))
    )
    at_once = most = 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    return most


def median_of(summaries: Sequence[Summary], figure: Callable[[Summary], float | None]) -> float | None:
    """Of a figure over rounds."""
    known = [value for summary in summaries if (value := figure(summary)) is not None]
    return statistics.median(known) if known else None


def _is_good(record: Record, objective: Objective) -> bool:
    ttfa_s = record.ttfa_s
    return ttfa_s is not None and ttfa_s <= objective.ttfa_s and longest_gap_s(record) <= objective.gap_s


def _parts(records: Sequence[Record], value: Callable[[Record], str]) -> dict[str, Part]:
    """By value, where there are several."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[value(record)].append(record)
    if len(groups) == 1:
        return {}
    return {name: _part(group) for name, group in sorted(groups.items())}


def _part(records: Sequence[Record]) -> Part:
    answered = [record for record in records if record.succeeded]
    return Part(
        requests=len(records),
        success=len(answered) / len(records),
        ttfa_s=percentiles(record.ttfa_s for record in answered),
        rtf=percentiles(record.rtf for record in answered),
    )
