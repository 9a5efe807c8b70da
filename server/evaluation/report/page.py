"""The report: one HTML page that needs nothing else, and runs no script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from server.evaluation.intelligibility import UNSPACED, words_of
from server.evaluation.measures import AXES, MEASURES, Measure
from server.evaluation.report import media, plots

Samples = NDArray[np.float32]
Audio = Callable[[str], tuple[Samples, int]]  # an utterance's key → samples and their rate

# Sound and pictures are most of the page: of the worst so many.
MOST_PLAYERS = 240
HEADLINES = ("cer", "similarity", "dnsmos", "tail_s", "rtf")
# Of one utterance, shown beside it where they aren't what they should be.
REMARKABLE = ("cer", "tail_s", "trailing_silence_s", "leading_silence_s", "dnsmos", "similarity", "hit_limit")
UNREMARKABLE_FULLNESS = 0.75

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("server.evaluation", "report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance of the table."""

    utterance: Mapping[str, Any]
    expected: Markup
    heard: Markup | None
    remarks: Sequence[tuple[str, str]]  # title, value
    audio: str | None
    spectrogram: str | None


def render(result: Mapping[str, Any], audio: Audio) -> str:
    systems, measured = result["systems"], _measured(result)
    axes = [name for name in AXES if all(name in system["scores"] for system in systems)]
    means = [{name: score["mean"] for name, score in system["scores"].items()} for system in systems]
    return _environment.get_template("report.html").render(
        result=result,
        systems=systems,
        order=sorted(range(len(systems)), key=lambda i: -means[i]["overall"]),
        measures=MEASURES,
        measured=measured,
        headlines=[MEASURES[name] for name in HEADLINES if MEASURES[name] in measured],
        kinds=list(dict.fromkeys(utterance["kind"] for utterance in result["utterances"])),
        radar=plots.radar(axes, means) if len(axes) >= 3 else None,
        strips={measure.name: _strip(measure, result) for measure in measured},
        verdict=_verdict,
        rows=[_row(utterance, result, audio, i) for i, utterance in enumerate(result["utterances"])],
        most_players=MOST_PLAYERS,
    )


def _measured(result: Mapping[str, Any]) -> list[Measure]:
    return [
        row for name, row in MEASURES.items() if any(name in system["scores"] for system in result["systems"])
    ]


def _strip(measure: Measure, result: Mapping[str, Any]) -> Markup:
    strips: list[plots.Strip | None] = []
    for number, system in enumerate(result["systems"]):
        score = system["scores"].get(measure.name)
        values = [
            utterance["values"][measure.name]
            for utterance in result["utterances"]
            if utterance["system"] == number and measure.name in utterance["values"]
        ]
        strips.append(score and plots.Strip(values, score["mean"], score["low"], score["high"]))
    return plots.strip_plot(measure, strips)


def _verdict(measure: Measure, difference: Mapping[str, Any]) -> str:
    """Of the first against the second: better, worse, or nothing that could be told."""
    low, high = difference["low"], difference["high"]
    if measure.better == "neither" or low is None or low <= 0 <= high:
        return "unclear"
    return "better" if (high < 0) == (measure.better == "lower") else "worse"


def _row(utterance: Mapping[str, Any], result: Mapping[str, Any], audio: Audio, position: int) -> Row:
    expected, heard = _marked(utterance, result["language"])
    remarks = [
        (MEASURES[name].title, MEASURES[name].shown(utterance["values"][name]))
        for name in REMARKABLE
        if name in utterance["values"]
        and MEASURES[name].fullness(utterance["values"][name]) < UNREMARKABLE_FULLNESS
    ]
    has_player = position < MOST_PLAYERS and utterance["error"] is None
    samples, rate = audio(utterance["key"]) if has_player else (np.empty(0, np.float32), 0)
    return Row(
        utterance,
        expected,
        heard,
        remarks,
        media.opus_uri(samples, rate) if len(samples) else None,
        media.spectrogram_uri(samples, rate) if len(samples) else None,
    )


def _marked(utterance: Mapping[str, Any], language: str) -> tuple[Markup, Markup | None]:
    """The text, and what was heard with additions, losses and mistakes marked."""
    text = Markup("{}").format(utterance["text"])
    if utterance["transcript"] is None or utterance["error"] is not None:
        return text, None
    expected = words_of(utterance["reference"], language)
    found = words_of(utterance["transcript"], language)
    space = "" if language in UNSPACED else " "
    pieces = []
    for step in Levenshtein.opcodes(expected, found):
        lost = space.join(expected[step.src_start : step.src_end])
        added = space.join(found[step.dest_start : step.dest_end])
        if step.tag == "equal":
            pieces.append(Markup("{}").format(added))
        else:
            pieces += [Markup("<del>{}</del>").format(lost)] * bool(lost)
            pieces += [Markup("<ins>{}</ins>").format(added)] * bool(added)
    return text, Markup(space).join(pieces)
