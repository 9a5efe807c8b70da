"""The operator's bounds: a submission whose evaluation falls under one of them gets no name.

`VOICECORE_GATE='["cer<=0.25", "dnsmos>=2.8"]'`: a measure, a comparison, a number. Means over sentences are
compared, of the pinned English texts, or those in its first language where a submission speaks no English.
What couldn't be measured meets no bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.evaluation.measures import MEASURES

_BOUND = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=)\s*(-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Bound:
    measure: str
    is_upper: bool
    limit: float

    def __str__(self) -> str:
        return f"{self.measure}{'<=' if self.is_upper else '>='}{self.limit:g}"

    def missed(self, system: Mapping[str, Any], unmeasured: Mapping[str, str]) -> str | None:
        """What `system`, of an evaluation's result, has instead of what is wanted; None: it is within."""
        score, title = system["scores"].get(self.measure), MEASURES[self.measure].title.lower()
        wanted = f"expected {'at most' if self.is_upper else 'at least'} {self.limit:g}"
        if score is None:
            reason = unmeasured.get(self.measure, "nothing to measure it on")
            return f"no {title} ({reason}; {wanted})"
        mean = score["mean"]
        is_within = mean <= self.limit if self.is_upper else mean >= self.limit
        return None if is_within else f"{title} {mean:.3g} ({wanted})"


def parse_bound(text: str) -> Bound:
    """Raises ValueError."""
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text!r}; expected a measure and a bound, such as cer<=0.25 or dnsmos>=2.8")
    measure, comparison, limit = match.groups()
    if measure not in MEASURES:
        raise ValueError(f"found the measure {measure!r}; expected one of {', '.join(MEASURES)}")
    return Bound(measure, comparison == "<=", float(limit))


def missed_bounds(bounds: Sequence[str], result: Mapping[str, Any]) -> list[str]:
    """Of an evaluation of one submission: what is wrong with it, a phrase per bound."""
    (system,) = result["systems"]
    found = (parse_bound(bound).missed(system, result["unmeasured"]) for bound in bounds)
    return [phrase for phrase in found if phrase is not None]
