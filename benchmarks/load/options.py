"""The options of `voicecore bench` and what their values mean."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_URL = "http://127.0.0.1:8000"
SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[[NAME=][ADAPTER+]URL]...",
        help=f"Servers; the others are compared with the first. [default: {DEFAULT_URL}]",
    ),
]
Rate = Annotated[str | None, typer.Option(metavar="N,…", help="Open loop: requests per second.")]
Arrivals = Annotated[str, typer.Option(help="How --rate arrives: poisson or constant.")]
Ramp = Annotated[str | None, typer.Option(metavar="FROM:TO", help="Open loop whose rate rises or falls.")]
Concurrency = Annotated[
    str | None, typer.Option(metavar="N,…", help="Closed loop: clients that ask again once answered.")
]
Listeners = Annotated[
    str | None,
    typer.Option(metavar="N,…", help="Listeners who read as fast as they hear, one text after another."),
]
FindCapacity = Annotated[
    bool,
    typer.Option(
        "--find-capacity", help="Search the highest rate and the most listeners within the objective."
    ),
]
SoakFor = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Then one long run, with memory watched: at 70 % of the rate found, else at the first --rate.",
    ),
]
TextSets = Annotated[
    str,
    typer.Option(metavar="SET,…", help="short, ordinary, long, multilingual, or files with a text per line."),
]
Languages = Annotated[list[str] | None, typer.Option("--language", help="Only texts in it; repeat for more.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="[TARGET=]NAME", help="Repeat for a mix, most popular first. [default: demo]"
    ),
]
Zipf = Annotated[
    float, typer.Option(min=0, help="How much more popular the first models are; 0: not at all.")
]
Voices = Annotated[
    list[str] | None,
    typer.Option(
        "--voice", metavar="[TARGET=]NAME", help="Repeat for a mix. [default: the target's default]"
    ),
]
NewVoices = Annotated[
    Path | None,
    typer.Option(
        metavar="RECORDING",
        exists=True,
        help="Voices that no cache knows, made of it; Voice Core and open loop only.",
    ),
]
NewVoiceShare = Annotated[float, typer.Option(min=0, max=1, help="Of the requests, with --new-voices.")]
Formats = Annotated[str, typer.Option("--format", metavar="FORMAT,…", help="pcm, wav, mp3, opus, aac, flac.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=JSON", help="One more field of every request; repeat for more."),
]
Duration = Annotated[str, typer.Option(metavar="TIME", help="How long each run counts: 90, 90s, 2m, 1h.")]
MinRequests = Annotated[
    int, typer.Option(min=0, help="In an open loop: runs that would have fewer count for longer.")
]
WarmUp = Annotated[str, typer.Option(metavar="TIME", help="Before that, and doesn't count.")]
Rounds = Annotated[
    int, typer.Option(min=1, help="Of every load, each with other arrivals; targets take turns.")
]
Timeout = Annotated[str, typer.Option(metavar="TIME", help="After which a request has failed.")]
Seed = Annotated[int, typer.Option(help="Of arrivals and mixes.")]
Processes = Annotated[int, typer.Option(min=0, help="Client processes; 0 is as many as the load needs.")]
TtfaMs = Annotated[float, typer.Option(min=1, help="Objective: p95 audible TTFA.")]
GapMs = Annotated[float, typer.Option(min=0, help="Objective: an answer's longest underrun.")]
Continuity = Annotated[float, typer.Option(min=0, max=1, help="Objective: share of answers within it.")]
Success = Annotated[float, typer.Option(min=0, max=1, help="Objective: share of requests answered.")]
MaxLagMs = Annotated[float, typer.Option(min=0, help="A run whose own client was later (p99) is discarded.")]
ServerPid = Annotated[
    int | None, typer.Option(help="Whose memory a soak watches. [default: the process that listens there]")
]
ApiKey = Annotated[
    str | None,
    typer.Option(help="The targets' key (VOICECORE_API_KEY).", envvar="VOICECORE_API_KEY", show_envvar=False),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Folder of the report. [default: bench-DATE-TIME]")
]


def seconds(text: str, option: str) -> float:
    """`90`, `90s`, `2m`, `1.5h`. Raises BadParameter."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match:
        raise typer.BadParameter(f"{option}: found {text!r}; expected a time like 90, 90s, 2m or 1h")
    return float(match[1]) * SECONDS[match[2]]


def numbers(text: str | None, option: str) -> list[float]:
    """`1,2.5,10`. Raises BadParameter."""
    try:
        return [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{option}: found {text!r}; expected numbers like 1,2.5,10") from None


def span(text: str, option: str) -> tuple[float, float]:
    """`1:20`. Raises BadParameter."""
    start, colon, stop = text.partition(":")
    try:
        return float(start), float(stop if colon else "")
    except ValueError:
        raise typer.BadParameter(f"{option}: found {text!r}; expected two rates like 1:20") from None


def names(text: str) -> tuple[str, ...]:
    """`short,long`"""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def of_target(values: Sequence[str], target: str, targets: Sequence[str]) -> tuple[str, ...]:
    """The values that are a target's own, `TARGET=VALUE`; where it has none, those that are everybody's."""
    owned = [(owner, value) for owner, equals, value in (text.partition("=") for text in values) if equals]
    own = tuple(value for owner, value in owned if owner == target)
    return own or tuple(text for text in values if text.partition("=")[0] not in targets or "=" not in text)


def json_fields(texts: list[str] | None) -> dict[str, Any]:
    """`stream=true`. Raises BadParameter."""
    fields = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        try:
            fields[name] = json.loads(value if equals else "")
        except ValueError:
            raise typer.BadParameter(
                f"--field: found {text!r}; expected NAME=JSON, like stream=true"
            ) from None
    return fields
