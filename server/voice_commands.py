"""`voicecore voice`: add, list and remove registered voices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.command_options import AsJson, Home, open_store, short

if TYPE_CHECKING:
    from models_store.submission import Voice

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("add")
def add_voice(
    name: Annotated[str, typer.Argument(help="What to call it; a name that exists moves here.")],
    recordings: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="wav, flac, mp3, ogg, m4a … of one speaker."),
    ],
    language: Annotated[str | None, typer.Option(help="What is spoken in it: BCP-47.")] = None,
    transcript: Annotated[str | None, typer.Option(help="The words that are spoken in it.")] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Register a voice from recordings.

    Every submission can speak with it.
    """
    from server import console

    added = open_store(home).add_voice(name, recordings, language, transcript)
    if as_json:
        warnings = [asdict(warning) for warning in added.warnings]
        console.print_json(
            _voice_row(name, added.voice) | {"warnings": warnings, "replaced_id": added.replaced_id}
        )
        return
    console.print_problems(added.warnings, "yellow", "warning")
    console.out.print(f"[green]{name}[/] is {added.voice.id} ({added.voice.duration_s:.1f} s)")
    if added.replaced_id:
        console.out.print(f"[yellow]{name} was {added.replaced_id} until now[/]")


@app.command("list")
def list_voices(as_json: AsJson = False, home: Home = None) -> None:
    """List registered voices."""
    from server import console

    rows = [_voice_row(name, voice) for name, voice in open_store(home).voices().items()]
    if as_json:
        console.print_json(rows)
        return
    console.print_table(
        ("name", "duration", "recordings", "language", "transcript", "id"),
        [
            (
                row["name"],
                f"{row['duration_s']:.1f} s",
                str(row["recordings"]),
                row["language"] or "-",
                row["transcript"] or "-",
                short(row["id"]),
            )
            for row in rows
        ],
        empty="No voice is registered. Add one with `voicecore voice add NAME RECORDING`.",
    )


@app.command("remove")
def remove_voice(name: Annotated[str, typer.Argument(help="Its name.")], home: Home = None) -> None:
    """Forget a voice.

    Its recordings and everything derived from them go with its last name.
    """
    from server import console

    removed = open_store(home).delete_voice(name)
    console.out.print(f"removed {name} ({removed.duration_s:.1f} s)")


def _voice_row(name: str, voice: Voice) -> dict[str, Any]:
    return {
        "name": name,
        "id": voice.id,
        "duration_s": voice.duration_s,
        "recordings": len(voice.recordings),
        "language": voice.language,
        "transcript": voice.transcript,
    }
