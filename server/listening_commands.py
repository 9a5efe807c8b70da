"""`voicecore test`: listening tests of the server that runs, made and read from the command line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from server.command_options import ApiKey, AsJson, Home, Host, Port
from server.errors import ServerError

if TYPE_CHECKING:
    import httpx

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TestId = Annotated[str, typer.Argument(help="A test's id: `voicecore test list` shows them.")]

POLL_S = 0.5
IN_THE_MAKING = ("waiting", "synthesising")


@app.command("create")
def create_test(
    definition: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="YAML or JSON: the fields of the API.")
    ],
    wait: Annotated[bool, typer.Option(help="Until its audio is made.")] = True,
    as_json: AsJson = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Make a listening test.

    The server synthesises its audio; people may vote when it is open.
    """
    from server import console

    fields = _read_definition(definition)
    with _tests(host, port, api_key, home) as tests:
        # What YAML knows and JSON doesn't, a date for one, is refused as the string that it is.
        test = tests.ask("POST", "", content=json.dumps(fields, default=str))
        while wait and test["status"] in IN_THE_MAKING:
            time.sleep(POLL_S)
            test = tests.ask("GET", f"/{test['id']}")
    if test["status"] == "failed":
        raise ServerError(f"{test['id']}: {test['error']}")
    if as_json:
        console.print_json(test)
    else:
        console.out.print(f"[green]{test['id']}[/] is {_progress(test)}")


@app.command("list")
def list_tests(
    as_json: AsJson = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """List listening tests, the newest first."""
    from server import console

    with _tests(host, port, api_key, home) as tests:
        found = tests.ask("GET", "")["data"]
    if as_json:
        console.print_json(found)
        return
    console.print_table(
        ("title", "kind", "state", "systems", "raters", "votes", "id"),
        [
            (
                test["title"],
                test["kind"],
                _progress(test),
                str(len(test["systems"])),
                str(test["raters"]),
                str(test["votes"]),
                test["id"],
            )
            for test in found
        ],
        empty="There is no listening test. Make one with `voicecore test create FILE.yaml`.",
    )


@app.command("show")
def show_results(
    test: TestId,
    as_json: AsJson = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Show what a listening test has found."""
    from server import console

    with _tests(host, port, api_key, home) as tests:
        results = tests.ask("GET", f"/{test}/results")
    if as_json:
        console.print_json(results)
        return
    if results["standings"]:
        columns = ("rank", "system", "score", "95 % interval", "votes")
        console.print_table(columns, [_standing(row) for row in results["standings"]], empty="")
    if results["discriminations"]:
        columns = ("pair", "correct", "share", "95 % interval", "p")
        console.print_table(columns, [_told_apart(row) for row in results["discriminations"]], empty="")
    console.out.print(f"{results['votes_counted']} of {results['votes']} votes count")
    for rater in results["raters"]:
        if rater["excluded_for"]:
            reasons = ", ".join(rater["excluded_for"]).replace("_", " ")
            console.out.print(f"[yellow]rater {rater['number']} doesn't count: {reasons}[/]")


@app.command("export")
def export_votes(
    test: TestId,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: standard output.")] = None,
    format: Annotated[Literal["csv", "json"], typer.Option(help="Of the export.")] = "csv",
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Write every vote of a listening test, also those that don't count."""
    with _tests(host, port, api_key, home) as tests:
        exported = tests.send("GET", f"/{test}/votes", params={"format": format}).content
    if output is None:
        sys.stdout.buffer.write(exported)
    else:
        output.write_bytes(exported)


@app.command("close")
def close_test(
    test: TestId,
    reopen: Annotated[bool, typer.Option("--reopen", help="Open it again instead.")] = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Let nobody vote in a listening test any more.

    Its votes and results stay.
    """
    from server import console

    with _tests(host, port, api_key, home) as tests:
        changed = tests.ask("PATCH", f"/{test}", json={"status": "open" if reopen else "closed"})
    console.out.print(f"{changed['id']} is {changed['status']}, with {changed['votes']} votes")


@app.command("delete")
def delete_test(
    test: TestId,
    force: Annotated[bool, typer.Option("--force", help="Also if it has votes: they go with it.")] = False,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    home: Home = None,
) -> None:
    """Take a listening test away.

    Refuses while it has votes.
    """
    from server import console

    with _tests(host, port, api_key, home) as tests:
        votes = tests.ask("GET", f"/{test}")["votes"]
        if votes and not force:
            raise ServerError(
                f"{test}: found {votes} votes; expected none. Save them with `voicecore test export {test}`, "
                "then delete the test with --force."
            )
        tests.ask("DELETE", f"/{test}")
    console.out.print(f"deleted {test}")


@dataclass(frozen=True)
class _Tests:
    """The server's listening tests."""

    server: httpx.Client

    def ask(self, method: str, path: str, **request: Any) -> Any:
        return self.send(method, path, **request).json()

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Raises ServerError with what the server says."""
        import httpx

        from server.running_server import check_response

        headers = {"Content-Type": "application/json"} if "content" in request else {}
        try:
            response = self.server.request(method, f"/v1/listening/tests{path}", headers=headers, **request)
        except httpx.HTTPError as error:
            raise ServerError(
                f"{self.server.base_url}: found the end of the connection ({type(error).__name__}); expected "
                "an answer. The server's log says why."
            ) from error
        check_response(response)
        return response


@contextmanager
def _tests(host: str | None, port: int | None, api_key: str | None, home: Path | None) -> Iterator[_Tests]:
    from server.flags import read_settings
    from server.running_server import running_server

    with running_server(read_settings(host=host, port=port, api_key=api_key, home=home)) as server:
        yield _Tests(server)


def _read_definition(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise typer.BadParameter(f"{path.name}: found no YAML ({found}); expected a test's fields") from None


def _progress(test: dict[str, Any]) -> str:
    if test["status"] in IN_THE_MAKING:
        return f"{test['status']}, {test['clips_done']} of {test['clips_total']} clips"
    return str(test["status"])


def _standing(row: dict[str, Any]) -> tuple[str, ...]:
    if row["rank"] is None:
        return "-", row["name"], "-", "too few votes", str(row["votes"])
    interval = f"{row['low']:.2f} to {row['high']:.2f}"
    return str(row["rank"]), row["name"], f"{row['score']:.2f}", interval, str(row["votes"])


def _told_apart(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        " / ".join(row["names"]),
        f"{row['correct']} of {row['votes']}",
        f"{row['share']:.2f}",
        f"{row['low']:.2f} to {row['high']:.2f}",
        f"{row['p_value']:.3g}",
    )
