"""`voicecore evaluate`: measure submissions through the server that runs, or one started for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.command_options import ApiKey, AsJson, Home, Host, Port
from server.errors import ServerError

if TYPE_CHECKING:
    import httpx

    from server.settings import Settings

POLL_S = 0.5
START_S, STOP_S = 120.0, 30.0
PHASES = {"speaking": "speaking", "measuring": "listening"}
COLUMNS = ("overall", "cer", "similarity", "dnsmos", "tail_s", "hit_limit", "rtf", "ttfa_s")


def evaluate(
    names: Annotated[
        list[str] | None, typer.Argument(help="Submissions: names or ids; several are compared.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Each text is spoken with each of them.")] = "1,2,3",
    texts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Texts of your own: JSON as the pinned sets are, or a text per line.",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="BCP-47, of the texts; default: the submissions'.")
    ] = None,
    voice: Annotated[
        str, typer.Option(help="A registered voice; default: each submission's own.")
    ] = "default",
    recogniser: Annotated[
        str | None, typer.Option(help="auto, none, faster-whisper, azure or pocketsphinx.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A folder for report.html and result.json.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show the evaluations that there are.")] = False,
    as_json: AsJson = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Measure submissions: intelligibility, voice, quality, speed.

    What was interrupted goes on where it was when it is asked for again.
    """
    from server.flags import read_settings

    if show_list == bool(names):
        raise typer.BadParameter("give either submissions or --list")
    settings = read_settings(host=host, port=port, api_key=api_key, home=home)
    with _server(settings) as server:
        if show_list:
            _show_list(server, as_json)
            return
        body = _request(names or [], seeds, texts, language, voice, recogniser)
        finished = _follow(server, _ask(server, "POST", "", json=body), settings)
        result = _ask(server, "GET", f"/{finished['id']}/result")
        if output is not None:
            _write(server, finished["id"], result, output)
        _show(result, _report_place(server, finished["id"], output), as_json)


def _request(
    names: Sequence[str],
    seeds: str,
    texts: Path | None,
    language: str | None,
    voice: str,
    recogniser: str | None,
) -> dict[str, Any]:
    """The body of POST /v1/evaluations. Raises BadParameter."""
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--seeds: found {seeds!r}; expected whole numbers, such as 1,2,3") from None
    fields = {"submissions": list(names), "seeds": numbers, "voice": voice, "recogniser": recogniser}
    fields |= {"language": language} | ({} if texts is None else _own_texts(texts))
    return {name: value for name, value in fields.items() if value is not None}


def _own_texts(path: Path) -> dict[str, Any]:
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        lines = [line.strip() for line in content.splitlines()]
        return {"texts": {"given": [line for line in lines if line and not line.startswith("#")]}}
    try:
        found = json.loads(content)
        return {"texts": found["sentences"], "language": found["language"]}
    except (ValueError, KeyError, TypeError):
        expected = 'expected {"language": "en", "sentences": {"short": ["…"]}}'
        raise typer.BadParameter(f"--texts: found another layout in {path.name}; {expected}") from None


def _follow(server: httpx.Client, evaluation: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Wait for the end, with a bar per phase. Raises ServerError where it failed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from server import console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.err, transient=True, disable=not console.err.is_terminal) as bars:
        tasks: dict[str, Any] = {}
        while evaluation["status"] in ("waiting", "running"):
            if progress := evaluation["progress"]:
                phase = progress["phase"]
                if phase not in tasks:
                    tasks[phase] = bars.add_task(PHASES[phase])
                bars.update(tasks[phase], completed=progress["done"], total=progress["total"])
            time.sleep(POLL_S)
            evaluation = _ask(server, "GET", f"/{evaluation['id']}")
    if evaluation["status"] == "failed":
        raise ServerError(f"{evaluation['id']}: {evaluation['error']}")
    return evaluation


def _ask(server: httpx.Client, method: str, path: str, **content: Any) -> dict[str, Any]:
    from server.running_server import check_response

    response = server.request(method, f"/v1/evaluations{path}", **content)
    check_response(response)
    return dict(response.json())


def _write(server: httpx.Client, evaluation_id: str, result: Mapping[str, Any], folder: Path) -> None:
    from server.running_server import check_response

    report = server.get(f"/v1/evaluations/{evaluation_id}/report")
    check_response(report)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_bytes(report.content)
    (folder / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")


def _report_place(server: httpx.Client, evaluation_id: str, output: Path | None) -> str:
    if output is not None:
        return str(output / "report.html")
    return f"GET {str(server.base_url).rstrip('/')}/v1/evaluations/{evaluation_id}/report, or --output FOLDER"


def _show(result: Mapping[str, Any], report: str, as_json: bool) -> None:
    from server import console
    from server.evaluation.measures import MEASURES

    if as_json:
        console.print_json(result)
        return
    columns = [MEASURES[name] for name in COLUMNS]
    rows = [
        (
            system["name"],
            *(measure.shown(system["scores"].get(measure.name, {}).get("mean")) for measure in columns),
        )
        for system in sorted(result["systems"], key=lambda system: -system["scores"]["overall"]["mean"])
    ]
    console.print_table(("name", *(measure.title.lower() for measure in columns)), rows, empty="")
    console.out.print(f"[green]{result['id']}[/]: {report}")


def _show_list(server: httpx.Client, as_json: bool) -> None:
    from server import console

    found = _ask(server, "GET", "")["data"]
    if as_json:
        console.print_json(found)
        return
    rows = [
        (
            each["id"],
            each["status"],
            ", ".join(system["name"] for system in each["systems"]),
            f"{each['num_texts']} × {len(each['seeds'])} in {each['language']}",
            each["recogniser"],
            each["created_at"][:16].replace("T", " "),
        )
        for each in found
    ]
    columns = ("id", "status", "submissions", "texts × seeds", "recogniser", "started (UTC)")
    console.print_table(
        columns, rows, empty="Nothing was evaluated yet. Start with `voicecore evaluate NAME`."
    )


@contextmanager
def _server(settings: Settings) -> Iterator[httpx.Client]:
    """The server that runs, else one of our own until the end."""
    from server.running_server import find_server

    if (server := find_server(settings)) is not None:
        with closing(server):
            yield server
        return
    with _own_server(settings) as own, closing(own):
        yield own


@contextmanager
def _own_server(settings: Settings) -> Iterator[httpx.Client]:
    """On a free port of loopback. Raises ServerError where it doesn't start."""
    from server import console
    from server.running_server import find_server

    console.err.print("No server runs at this address: starting one for this evaluation.")
    folder = settings.home_path
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "evaluate.log"
    command = [
        sys.executable,
        "-m",
        "server",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--home",
        str(folder),
    ]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ.copy()
        )
    with process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().rsplit(":", 1)[-1].strip()
            if not port.isdecimal():
                raise ServerError(f"the server didn't start; its last words: {_last_line(log_path)}")
            local = settings.model_copy(update={"host": "127.0.0.1", "port": int(port)})
            deadline = time.monotonic() + START_S
            while (server := find_server(local)) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerError(f"the server didn't start; its last words: {_last_line(log_path)}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")
