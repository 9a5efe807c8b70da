"""The report's drawings, as SVG that takes its colours from the page: strips of values, and a radar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from server.evaluation.measures import MEASURES, Measure

STRIP_WIDTH, ROW_HEIGHT, AXIS_HEIGHT, MARGIN = 460, 34, 22, 12
RADAR_SIZE, RADAR_RADIUS = 420, 150
RADAR_VIEW = "-140 14 700 392"  # room for the labels beside it
NUM_RINGS = 4
GOLDEN_ANGLE = 0.618034  # spreads dots that lie on each other, the same way each time


@dataclass(frozen=True, slots=True)
class Strip:
    """One submission's row of a strip plot."""

    values: Sequence[float]  # of utterances
    mean: float
    low: float | None
    high: float | None


def strip_plot(measure: Measure, strips: Sequence[Strip | None]) -> Markup:
    """A dot per utterance, a bar for the mean's interval, a row per submission."""
    scale = _Scale.over([value for strip in strips if strip for value in (*strip.values, strip.mean)])
    height = len(strips) * ROW_HEIGHT + AXIS_HEIGHT
    rows = Markup("").join(
        _strip_row(scale, number, strip) for number, strip in enumerate(strips) if strip is not None
    )
    return Markup('<svg class="strip" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        STRIP_WIDTH, height, measure.title, rows, _axis(measure, scale, height)
    )


def radar(axes: Sequence[str], means: Sequence[Mapping[str, float]]) -> Markup:
    """A polygon per submission; the rim is good, the centre poor. Each of `means` has every axis."""
    rings = Markup("").join(
        Markup('<polygon class="ring" points="{}"/>').format(_points([ring / NUM_RINGS] * len(axes)))
        for ring in range(1, NUM_RINGS + 1)
    )
    labels = Markup("").join(_radar_label(name, i, len(axes)) for i, name in enumerate(axes))
    shapes = Markup("").join(
        Markup('<polygon class="shape c{}" points="{}"/>').format(
            number, _points([MEASURES[name].fullness(values[name]) for name in axes])
        )
        for number, values in enumerate(means)
    )
    return Markup('<svg class="radar" viewBox="{}" role="img" aria-label="Radar">{}{}{}</svg>').format(
        RADAR_VIEW, rings, labels, shapes
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    @staticmethod
    def over(values: Sequence[float]) -> _Scale:
        low, high = min(values), max(values)
        room = (high - low) * 0.04 or max(abs(high), 1.0) * 0.05
        return _Scale(low - room, high + room)

    def x(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return round(MARGIN + (inside - self.low) / (self.high - self.low) * (STRIP_WIDTH - 2 * MARGIN), 1)


def _strip_row(scale: _Scale, number: int, strip: Strip) -> Markup:
    middle = number * ROW_HEIGHT + ROW_HEIGHT / 2
    dots = Markup("").join(
        Markup('<circle cx="{}" cy="{}" r="2.6"/>').format(
            scale.x(value), round(middle + ((i * GOLDEN_ANGLE) % 1 - 0.5) * 18, 1)
        )
        for i, value in enumerate(strip.values)
    )
    interval = Markup("")
    if strip.low is not None and strip.high is not None:
        interval = Markup('<line class="interval" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            scale.x(strip.low), scale.x(strip.high), middle, middle
        )
    mean = Markup('<line class="mean" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
        scale.x(strip.mean), middle - 11, middle + 11
    )
    return Markup('<g class="c{}">{}{}{}</g>').format(number, dots, interval, mean)


def _axis(measure: Measure, scale: _Scale, height: int) -> Markup:
    line_y, text_y = height - AXIS_HEIGHT + 2, height - 5
    arrow = {"lower": "← better", "higher": "better →", "neither": ""}[measure.better]
    template = (
        '<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
        '<text x="{0}" y="{3}">{4}</text><text x="{5}" y="{3}" class="middle">{6}</text>'
        '<text x="{1}" y="{3}" class="end">{7}</text>'
    )
    return Markup(template).format(
        MARGIN,
        STRIP_WIDTH - MARGIN,
        line_y,
        text_y,
        measure.shown(scale.low),
        STRIP_WIDTH / 2,
        arrow,
        measure.shown(scale.high),
    )


def _radar_label(name: str, i: int, count: int) -> Markup:
    x, y = _place(i, count, 1.0)
    text_x, text_y = _place(i, count, 1.16)
    side = "middle" if abs(text_x - RADAR_SIZE / 2) < 12 else "end" if text_x < RADAR_SIZE / 2 else ""
    template = (
        '<line class="spoke" x1="{0}" y1="{0}" x2="{1}" y2="{2}"/>'
        '<text x="{3}" y="{4}" class="{5}">{6}</text>'
    )
    title = escape(MEASURES[name].title)
    return Markup(template).format(RADAR_SIZE / 2, x, y, text_x, text_y + 4, side, title)


def _points(fullness: Sequence[float]) -> str:
    return " ".join("{},{}".format(*_place(i, len(fullness), reach)) for i, reach in enumerate(fullness))


def _place(i: int, count: int, reach: float) -> tuple[float, float]:
    angle = 2 * math.pi * i / count - math.pi / 2
    centre = RADAR_SIZE / 2
    radius = RADAR_RADIUS * reach
    return round(centre + radius * math.cos(angle), 1), round(centre + radius * math.sin(angle), 1)
