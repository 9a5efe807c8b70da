"""The command `voicecore`. What a command needs is imported when it runs: `--help` must not wait for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from models_store.errors import ModelsStoreError, SubmissionError
from providers.errors import ProviderError
from server import (
    base_commands,
    evaluation_commands,
    listening_commands,
    voice_commands,
    voice_data_commands,
)
from server.command_options import (
    ApiKey,
    AsJson,
    Home,
    Host,
    Port,
    open_base_models,
    open_hub,
    open_store,
    short,
)
from server.errors import ServerError

if TYPE_CHECKING:
    from models_store.report import ProgressCallback
    from models_store.store import ModelsStore, Published
    from models_store.submission import Submission

Force = Annotated[bool, typer.Option("--force", help="Also while it is loaded or has other names.")]
Upload = Annotated[Path, typer.Argument(exists=True, help="A folder, .zip, .tar or .tar.gz.")]
NameOrId = Annotated[str, typer.Argument(help="A name, an id, or 8 and more of an id's first digits.")]


# Entry points of this group are commands as well: a name, and the function that typer makes a command of.
COMMAND_GROUP = "voicecore.commands"


class Commands(TyperGroup):
    """Tells every error as one red line, whatever raised it. Knows the commands of other packages too."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(found.name for found in entry_points(group=COMMAND_GROUP))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        for found in entry_points(group=COMMAND_GROUP, name=cmd_name):
            return _as_command(found.name, found.load())
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, _serve_with_flags() if name == "serve" else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except Exception as error:
            if os.environ.get("VOICECORE_LOG_LEVEL") == "debug":
                raise
            _tell(error)
            raise typer.Exit(1) from None


def _tell(error: Exception) -> None:
    from server import console

    if isinstance(error, SubmissionError):
        console.print_problems(error.problems, "red", "problem", console.err)
    elif isinstance(error, (ModelsStoreError, ProviderError, ServerError, OSError)):
        console.print_error(str(error))
    else:
        found = f"found {type(error).__name__} ({error}); expected none: this is a mistake of ours. "
        console.print_error(found + "VOICECORE_LOG_LEVEL=debug shows where it is.")


app = typer.Typer(
    cls=Commands,
    help="Hosts submitted text-to-speech models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(base_commands.app, name="base", help="List, fetch and add base models.")
app.add_typer(listening_commands.app, name="test", help="Make, show and export listening tests.")
app.command()(evaluation_commands.evaluate)
app.add_typer(voice_commands.app, name="voice", help="Add, list and remove registered voices.")
app.add_typer(
    voice_data_commands.app,
    name="voice-data",
    help="Check, contribute, list, withdraw and export recordings.",
)


def main() -> None:
    app()


@app.command()
def serve() -> None:
    """Serve speech over HTTP."""  # what runs is `_serve_with_flags`, made when it's asked for


def _serve_with_flags() -> Any:
    from server.flags import with_setting_flags
    from server.supervisor import run

    return _as_command("serve", with_setting_flags(run), help=serve.__doc__)


def _as_command(name: str, function: Callable[..., None], help: str | None = None) -> Any:
    commands = typer.Typer(add_completion=False, rich_markup_mode=None)
    commands.command(name, help=help)(function)
    return typer.main.get_command(commands)


@app.command()
def check(path: Upload, as_json: AsJson = False, home: Home = None) -> None:
    """Tell what is wrong with an upload.

    All of it at once; the exit status is 1 if there is anything.
    """
    from models_store.intake import check as check_upload
    from server import console

    with _progress(as_json) as progress:
        report = open_base_models(home).completed(check_upload(path, progress))
    if as_json:
        console.print_json(report.to_dict())
    else:
        console.print_report(report)
        if report.ok:
            console.out.print("[green]It can be submitted.[/]")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def submit(
    path: Upload,
    name: Annotated[str, typer.Option(help="What to call it; a name that exists moves here.")],
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Check an upload and put it into the store.

    A running server has it at once.
    """
    from server import console

    try:
        with _progress(as_json) as progress:
            published = open_store(home).submit(path, name, progress)
    except SubmissionError as error:
        if not as_json:
            raise
        console.print_json({"ok": False, "problems": [asdict(problem) for problem in error.problems]})
        raise typer.Exit(1) from None
    if as_json:
        told = published.report.to_dict() | {"id": published.submission.id, "name": name}
        console.print_json(told | {"is_new": published.is_new, "replaced_id": published.replaced_id})
    else:
        _tell_published(published, name)


@app.command()
def pull(
    model: Annotated[str, typer.Argument(help="A published model: xtts-v2.")],
    name: Annotated[str | None, typer.Option(help="What to call it; default: as it is published.")] = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Having read it; else it is shown and asked about.")
    ] = False,
    home: Home = None,
) -> None:
    """Fetch a published model and submit it.

    An interrupted fetch goes on where it stopped.
    """
    from models_store.catalogue import check_name
    from models_store.pull import find_published, licence_text, pull_submission
    from server import console

    chosen = find_published(model)
    check_name(name or chosen.name)  # before gigabytes are fetched
    store, hub = open_store(home), open_hub()
    console.out.print(f"{chosen.title}, {console.human_bytes(chosen.size_bytes)}, from {hub.endpoint}")
    if not accept_license:
        console.out.print(licence_text(store, chosen, hub), markup=False)
    console.out.print(f"Its licence is the {chosen.licence}.", markup=False)
    if not accept_license:
        typer.confirm("Do you accept it? (--accept-license says so without being asked)", abort=True)
    with console.progress_bars() as progress:
        submitted = pull_submission(store, chosen, name or chosen.name, hub, progress)
    _tell_published(submitted, name or chosen.name)


def _tell_published(published: Published, name: str) -> None:
    from server import console

    console.print_report(published.report)
    size = console.human_bytes(published.submission.size_bytes)
    state = "stored" if published.is_new else "was in the store already"
    console.out.print(f"[green]{name}[/] is {published.submission.id} ({size}, {state})")
    if published.replaced_id:
        console.out.print(
            f"[yellow]{name} was {published.replaced_id} until now, which is still in the store[/]"
        )


@app.command("list")
def list_submissions(as_json: AsJson = False, home: Home = None) -> None:
    """List submissions."""
    from server import console

    store = open_store(home)
    names = store.names()
    rows = [_row(store, submission, names) for submission in store.submissions()]
    if as_json:
        console.print_json(rows)
        return
    columns = ("names", "family", "languages", "size", "submitted (UTC)", "loaded", "id")
    console.print_table(
        columns,
        [
            (
                ", ".join(row["names"]) or "-",
                f"{row['family']} {row['variant']}",
                _shortened(row["languages"]),
                console.human_bytes(row["size_bytes"]),
                row["submitted_at"][:16].replace("T", " "),
                "yes" if row["resident"] else "no",
                short(row["id"]),
            )
            for row in rows
        ],
        empty="The store is empty. Add a submission with `voicecore submit PATH --name NAME`.",
    )


def _row(store: ModelsStore, submission: Submission, names: dict[str, str]) -> dict[str, Any]:
    return {
        "id": submission.id,
        "names": [name for name, named_id in names.items() if named_id == submission.id],
        "family": submission.family,
        "variant": submission.variant,
        "languages": list(submission.languages),
        "size_bytes": submission.size_bytes,
        "submitted_at": submission.submitted_at,
        "resident": store.is_resident(submission.id),
    }


@app.command()
def remove(target: NameOrId, force: Force = False, home: Home = None) -> None:
    """Remove a submission.

    Refuses while a server has it loaded or it has other names.
    """
    from server import console

    removed = open_store(home).delete(target, force)
    console.out.print(f"removed {removed.id} ({console.human_bytes(removed.size_bytes)})")


@app.command()
def alias(
    name: Annotated[str, typer.Argument(help="The name.")],
    target: Annotated[str | None, typer.Argument(help="The submission: a name or id.")] = None,
    forget: Annotated[bool, typer.Option("--remove", help="Forget the name instead.")] = False,
    home: Home = None,
) -> None:
    """Give a submission a name.

    A name that exists moves; requests see it at once.
    """
    from server import console

    if forget == (target is not None):
        raise typer.BadParameter("give either the submission that the name shall mean, or --remove")
    store = open_store(home)
    if target is None:
        store.unalias(name)
        console.out.print(f"forgot {name}")
        return
    replaced_id = store.alias(name, target)
    before = f" (was {short(replaced_id)})" if replaced_id else ""
    console.out.print(f"{name} is {store.resolve(name).id}{before}")


@app.command()
def speak(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="An audio file; its suffix is the format.")],
    model: Annotated[
        str | None, typer.Option(help="A submission's name or id; default: the only one.")
    ] = None,
    voice: Annotated[
        str, typer.Option(help="A registered voice; default: the submission's own.")
    ] = "default",
    language: Annotated[str | None, typer.Option(help="BCP-47; default: detected.")] = None,
    speed: Annotated[float, typer.Option(help="0.25 to 4.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same speech.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_k: Annotated[int | None, typer.Option(help="0 is off.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Up to 1.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None,
    noise_scale: Annotated[
        float | None, typer.Option(help="GPT-SoVITS's noise, 0 to 2; 0.5 by default.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Without a server, even if one runs.")] = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Speak a text into a file.

    With the server that runs at the address, else without one.
    """
    from server import console
    from server.flags import parse, read_settings
    from server.http.schemas import SpeechRequest
    from server.speech_file import format_of, write_speech

    settings = read_settings(host=host, port=port, api_key=api_key, home=home)
    request = parse(
        SpeechRequest,
        input=sys.stdin.read() if text == "-" else text,
        model=model,
        voice=voice,
        response_format=format_of(output).name,
        language=language,
        speed=speed,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        noise_scale=noise_scale,
    )
    speaker = write_speech(request, output, settings, local)
    console.err.print(f"{speaker} spoke into {output}", markup=False)


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also read every stored byte.")] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Look this machine over.

    The exit status is 1 if the server can't run here as it is set.
    """
    from server import console
    from server.doctor import examine
    from server.flags import read_settings

    settings = read_settings(home=home)
    findings = []
    for finding in examine(settings, deep):
        findings.append(finding)
        if not as_json:
            console.print_finding(finding)
    if as_json:
        console.print_json([asdict(finding) for finding in findings])
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


def _shortened(languages: list[str]) -> str:
    return " ".join(languages) if len(languages) <= 4 else f"{' '.join(languages[:3])} … {len(languages)}"


def _progress(silent: bool) -> AbstractContextManager[ProgressCallback | None]:
    from server import console

    return nullcontext() if silent else console.progress_bars()
