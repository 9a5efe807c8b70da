"""When requests arrive, and the loads that are made of it.

In an open loop they come when they come, however the server fares; nobody waits for an answer before the next
one is asked for. In a closed loop a fixed number of clients ask again as soon as they have been answered, and
listeners once they have heard it out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["poisson", "constant", "ramp", "closed", "listeners"]

OPEN: tuple[Kind, ...] = ("poisson", "constant", "ramp")
TITLES: dict[Kind, str] = {
    "poisson": "Open loop",
    "constant": "Open loop, evenly spaced",
    "ramp": "Open loop, ramp",
    "closed": "Closed loop",
    "listeners": "Paced listeners",
}
UNITS: dict[Kind, str] = {
    "poisson": "requests per second",
    "constant": "requests per second",
    "ramp": "requests per second",
    "closed": "clients at once",
    "listeners": "listeners",
}


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked for. `level` is in UNITS of its kind; a ramp begins at `start_level`."""

    kind: Kind
    level: float
    start_level: float = 0.0

    def __post_init__(self) -> None:
        if self.level <= 0:
            raise ValueError(f"found a load of {self.level:g} {UNITS[self.kind]}; expected more than 0")
        if not self.is_open and self.level != int(self.level):
            raise ValueError(f"found {self.level:g} {UNITS[self.kind]}; expected a whole number")

    @property
    def is_open(self) -> bool:
        return self.kind in OPEN

    @property
    def label(self) -> str:
        start = f"{self.start_level:.3g} → " if self.kind == "ramp" else ""
        return f"{self.kind} {start}{self.level:.3g}"

    def arrivals(self, duration_s: float, seed: int) -> Iterator[float]:
        """Seconds since the beginning, ascending, all before `duration_s`. Open loops only."""
        dice = random.Random(f"{seed}/{self.kind}/{self.start_level}/{self.level}")
        gaps = iter(lambda: 1.0 if self.kind == "constant" else dice.expovariate(1.0), None)
        expected = -0.5 if self.kind == "constant" else 0.0  # arrivals expected until now
        for gap in gaps:
            expected += gap
            at_s = self._when(expected, duration_s)
            if at_s is None or at_s >= duration_s:
                return
            yield at_s

    def _when(self, expected: float, duration_s: float) -> float | None:
        """When that many arrivals are to be expected: the inverse of the rate's integral. None: never."""
        if self.kind != "ramp":
            return expected / self.level
        slope = (self.level - self.start_level) / duration_s
        if slope == 0:
            return expected / self.level
        under_root = self.start_level**2 + 2 * slope * expected
        return (math.sqrt(under_root) - self.start_level) / slope if under_root >= 0 else None
