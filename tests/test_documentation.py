"""The README says everything that exists, and nothing that doesn't."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from benchmarks.load.adapters import ADAPTERS
from models_store.base_roles import ROLES
from models_store.store import ModelsStore
from server.base_commands import needed_by
from server.cli import app
from server.console import human_bytes
from server.http.app import create_app
from server.http.metrics import METRICS
from server.scheduling.client import SpeechClient
from server.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def table_rows(title: str) -> dict[str, list[str]]:
    """First cell → the other cells, of every table in a section."""
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section(title), re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_every_setting_is_documented_with_its_default_and_sentence() -> None:
    documented = table_rows("Settings")
    settings = {f"VOICECORE_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert documented.keys() == settings.keys()
    for variable, field in settings.items():
        default, sentence = documented[variable]
        assert sentence == field.description, variable
        assert default == (f"`{field.default}`" if field.default not in (None, ()) else "–"), variable


def test_every_metric_is_documented_with_its_sentence() -> None:
    documented = {name: cells[-1] for name, cells in table_rows("Metrics").items()}
    assert documented == {name: row.sentence for name, row in METRICS.items()}


def test_every_route_is_documented(tmp_path: Path) -> None:
    served = create_app(
        Settings(home=tmp_path), ModelsStore(tmp_path / "store"), SpeechClient(tmp_path / "socket")
    )
    routes = {
        f"{method.upper()} {path}"
        for path, methods in served.openapi()["paths"].items()
        for method in methods
    }
    assert set(table_rows("HTTP")) == routes


def test_every_command_is_documented() -> None:
    commands = get_command(app)
    listed = commands.list_commands(commands.make_context("voicecore", ["--help"], resilient_parsing=True))  # type: ignore[attr-defined]
    documented = {name.split()[1] for name in table_rows("Commands")}
    assert documented == set(listed)


def test_every_base_model_is_documented() -> None:
    documented = table_rows("Base models")
    assert documented.keys() == ROLES.keys()
    for name, role in ROLES.items():
        consequences = "; ".join(need.consequence for need in role.needs)
        assert documented[name] == [human_bytes(role.size_bytes), role.licence, needed_by(role), consequences]


def test_every_adapter_of_the_load_benchmark_is_documented() -> None:
    assert table_rows("Load benchmark").keys() == ADAPTERS.keys()


def test_the_tree_is_the_tree() -> None:
    (tree,) = re.findall(r"```\n(models_store/.*?)```", README, re.DOTALL)
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name
        path = ROOT / (folder if name == folder else folder + name)
        assert path.exists(), f"the README names {path.relative_to(ROOT)}"


@pytest.mark.parametrize("target", ["setup", "serve", "test", "lint", "bench", "load"])
def test_the_readme_says_what_make_can_do(target: str) -> None:
    assert f"make {target}" in README
    assert f"\n{target}:" in (ROOT / "Makefile").read_text()
