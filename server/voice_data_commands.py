"""`voicecore voice-data`: recordings are checked, submitted, listed, withdrawn, exported and verified."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.command_options import AsJson, Home

if TYPE_CHECKING:
    from models_store.report import ProgressCallback
    from models_store.voice_data.library import Contribution, VoiceData
    from providers.audio.analysis.verdict import Inspection

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Recordings = Annotated[
    list[Path], typer.Argument(exists=True, help="wavs, zips of them, or folders with nothing else.")
]
ContributionId = Annotated[str, typer.Argument(help="An id: `voicecore voice-data list` shows them.")]


@app.command("check")
def check(recordings: Recordings, as_json: AsJson = False, home: Home = None) -> None:
    """Tell what is wrong with recordings.

    Nothing is kept; the exit status is 1 if one would be refused.
    """
    from server.voice_data.intake import look

    library = _library(home)
    with library.scratch() as scratch, _progress(as_json) as progress:
        looked = look(_named(recordings), library, scratch, progress)
    _tell(looked.inspections, as_json)
    if any(each.verdict == "refused" for each in looked.inspections):
        raise typer.Exit(1)


@app.command("submit")
def submit(
    recordings: Recordings,
    licence: Annotated[str, typer.Option(help="What they are shared under: CC0-1.0, CC-BY-4.0 …")],
    source: Annotated[str, typer.Option(help="Where they come from.")],
    right_to_share: Annotated[
        bool, typer.Option("--right-to-share", help="You declare the right to share them.")
    ] = False,
    speaker_consent: Annotated[
        bool, typer.Option("--speaker-consent", help="You declare that the speaker has agreed.")
    ] = False,
    authentic_source: Annotated[
        bool, typer.Option("--authentic-source", help="You declare that they are real and unaltered.")
    ] = False,
    contributor: Annotated[str, typer.Option(help="Whom to ask about them.")] = "",
    language: Annotated[str | None, typer.Option(help="What is spoken in them: BCP-47.")] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Check recordings and take in those that aren't refused.

    The exit status is 1 if none was taken. `voicecore voice-data declaration` shows what is declared.
    """
    from models_store.voice_data.declaration import declare
    from server import console
    from server.voice_data.intake import look

    declaration = declare(
        licence=licence,
        source=source,
        right_to_share=right_to_share,
        speaker_consent=speaker_consent,
        authentic_source=authentic_source,
        contributor=contributor,
    )
    library = _library(home)
    with library.scratch() as scratch, _progress(as_json) as progress:
        copies = _copied(_named(recordings), scratch)
        looked = look(copies, library, scratch, progress, declaration, language)
    contribution = looked.contribution
    _tell(looked.inspections, as_json, contribution=contribution and asdict(contribution))
    if contribution is None:
        raise typer.Exit(1)
    if not as_json:
        taken = f"{len(contribution.recordings)} of {len(looked.inspections)} recordings are"
        console.out.print(f"[green]{taken} contribution {contribution.id}[/]; receipt {contribution.receipt}")


@app.command("declaration")
def show_declaration() -> None:
    """Show what is declared with `submit`, word for word, and the licences."""
    from models_store.voice_data.declaration import LICENCES, STATEMENTS, VERSION
    from server import console

    console.out.print(f"Declaration, version {VERSION}")
    for name, sentence in STATEMENTS.items():
        console.out.print(f"--{name.replace('_', '-')}: {sentence}", markup=False)
    for name, licence in LICENCES.items():
        console.out.print(f"--licence {name}: {licence.title}, {licence.url}", markup=False)


@app.command("list")
def list_contributions(as_json: AsJson = False, home: Home = None) -> None:
    """List contributions, the withdrawn ones too."""
    from server import console

    found = _library(home).contributions()
    if as_json:
        console.print_json([asdict(each) for each in found])
        return
    console.print_table(
        ("id", "recordings", "duration", "language", "licence", "contributed (UTC)", "state"),
        [_row(each) for each in found],
        empty="No recordings yet. Contribute some with `voicecore voice-data submit`.",
    )


@app.command("remove")
def remove(
    contribution_id: ContributionId,
    reason: Annotated[str, typer.Option(help="Goes into the record.")] = "",
    home: Home = None,
) -> None:
    """Withdraw a contribution.

    Its audio is deleted; the record that it was here stays.
    """
    from server import console

    withdrawn = _library(home).withdraw(contribution_id, reason)
    console.out.print(f"withdrew {withdrawn.id} ({len(withdrawn.recordings)} recordings)")


@app.command("export")
def export_contributions(
    folder: Annotated[Path, typer.Argument(help="Where to write: a new or an empty folder.")],
    format_name: Annotated[
        str, typer.Option("--format", help="ljspeech, gpt-sovits-list or xtts.")
    ] = "ljspeech",
    contribution: Annotated[
        list[str] | None, typer.Option(help="An id; may be given again. Default: all that are here.")
    ] = None,
    recogniser: Annotated[
        str, typer.Option(help="Who writes down what is said: auto, or its name; none leaves it empty.")
    ] = "none",
    home: Home = None,
) -> None:
    """Cut recordings into segments for training.

    3 to 10 s each, at the trainer's sample rate, with the list that it reads.
    """
    from server import console
    from server.voice_data.export import FORMATS, export
    from server.voice_data.transcribing import transcriber

    if format_name not in FORMATS:
        raise typer.BadParameter(f"expected one of {', '.join(FORMATS)}", param_hint="--format")
    library = _library(home)
    chosen = [library.get(each) for each in contribution or ()] or library.contributions()
    present = [each for each in chosen if each.withdrawn_at is None]
    exported = export(library, present, folder, format_name, transcriber(recogniser, home))
    minutes = exported.duration_s / 60
    console.out.print(f"{exported.num_segments} segments, {minutes:.1f} minutes, in {folder}", markup=False)


@app.command("verify")
def verify(
    receipt: Annotated[
        list[str] | None, typer.Option(help="The digest of a record that must be there; may be given again.")
    ] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Tell whether a record was edited, removed or added behind the ledger's back.

    The exit status is 1 if so.
    """
    from server import console

    verified = _library(home).verify(*(receipt or ()))
    if as_json:
        console.print_json(asdict(verified) | {"ok": not verified.problems})
    else:
        for problem in verified.problems:
            console.print_error(problem)
        if not verified.problems:
            console.out.print(f"[green]{verified.num_records} records are as they were written[/]")
            console.out.print(f"the last one: {verified.head}")
    if verified.problems:
        raise typer.Exit(1)


@app.command("records")
def records(home: Home = None) -> None:
    """Print the ledger: a line of JSON per record."""
    for line in _library(home).ledger.lines():
        typer.echo(line.decode(), nl=False)


def _library(home: Path | None) -> VoiceData:
    from models_store.voice_data.library import VoiceData
    from server.flags import read_settings

    return VoiceData(read_settings(home=home).voice_data_path)


def _named(recordings: Sequence[Path]) -> dict[str, Path]:
    names = [path.name for path in recordings]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise typer.BadParameter(f"found two files called {', '.join(twice)}; expected names that differ")
    return dict(zip(names, recordings, strict=True))


def _copied(recordings: dict[str, Path], scratch: Path) -> dict[str, Path]:
    """What is taken in is moved; the contributor's own files stay theirs."""
    received = scratch / "received"
    received.mkdir()
    for name, path in recordings.items():
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, received / name)
    return {name: received / name for name in recordings}


def _tell(inspections: Sequence[Inspection], as_json: bool, **more: Any) -> None:
    from server import console
    from server.voice_data.intake import describe

    if as_json:
        console.print_json({"recordings": [describe(each) for each in inspections]} | more)
        return
    for each in inspections:
        console.print_inspection(each)


def _row(contribution: Contribution) -> tuple[str, ...]:
    return (
        contribution.id,
        str(len(contribution.recordings)),
        f"{sum(each.duration_s for each in contribution.recordings):.1f} s",
        contribution.language or "-",
        contribution.declaration.licence,
        contribution.contributed_at[:16].replace("T", " "),
        "withdrawn" if contribution.withdrawn_at else "here",
    )


def _progress(silent: bool) -> AbstractContextManager[ProgressCallback | None]:
    from server import console

    return nullcontext() if silent else console.progress_bars()
