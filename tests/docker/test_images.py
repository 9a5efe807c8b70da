"""No container engine is needed to see that what the images name exists."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = {f"VOICECORE_{name.upper()}" for name in Settings.model_fields}


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest) with continued lines joined and comments gone."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "docker" / "Dockerfile").read_text())
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]


def named(instructions: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in instructions if instruction == name]


def environment(instructions: list[tuple[str, str]]) -> dict[str, str]:
    pairs = (pair for rest in named(instructions, "ENV") for pair in shlex.split(rest))
    return dict(pair.split("=", 1) for pair in pairs)


def test_every_copied_path_exists_and_is_in_the_build_context(instructions: list[tuple[str, str]]) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [source for rest in named(instructions, "COPY") for source in rest.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in allowed), f".dockerignore hides {source}"


def test_the_images_run_the_same_set_up_as_make(instructions: list[tuple[str, str]]) -> None:
    assert any(rest.startswith("scripts/setup ") for rest in named(instructions, "RUN"))
    assert "scripts/setup $(VENV)" in (ROOT / "Makefile").read_text()


def test_every_script_that_the_images_run_exists(instructions: list[tuple[str, str]]) -> None:
    scripts = {script for _, rest in instructions for script in re.findall(r"(?<![\w/])scripts/[\w-]+", rest)}
    assert scripts == {"scripts/setup", "scripts/healthcheck"}
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} is not executable"


def test_every_variable_is_a_setting(instructions: list[tuple[str, str]], services: dict[str, Any]) -> None:
    variables = set(environment(instructions))
    for service in services.values():
        variables |= set(service["environment"])
    ours = {name for name in variables if name.startswith("VOICECORE_")}
    assert ours
    assert ours <= SETTINGS


def test_values_are_valid_settings(
    instructions: list[tuple[str, str]], services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in services.values():
        values = {**environment(instructions), **service["environment"]}
        with monkeypatch.context() as patch:
            for name in SETTINGS & values.keys():
                patch.setenv(name, values[name])
            Settings()


def test_ports_agree(instructions: list[tuple[str, str]], services: dict[str, Any]) -> None:
    port = environment(instructions)["VOICECORE_PORT"]
    assert named(instructions, "EXPOSE") == [port]
    for service in services.values():
        assert [mapping.rsplit(":", 1)[1] for mapping in service["ports"]] == [port]


def test_the_data_folder_is_the_one_volume(
    instructions: list[tuple[str, str]], services: dict[str, Any]
) -> None:
    home = environment(instructions)["VOICECORE_HOME"]
    assert named(instructions, "VOLUME") == [home]
    for service in services.values():
        assert [volume.split(":")[1] for volume in service["volumes"]] == [home]


def test_the_server_runs_as_an_ordinary_user(instructions: list[tuple[str, str]]) -> None:
    assert named(instructions, "USER")[-1] not in ("root", "0")


def test_no_secret_is_written_down(instructions: list[tuple[str, str]], services: dict[str, Any]) -> None:
    assert "VOICECORE_API_KEY" not in environment(instructions)
    for service in services.values():
        assert service["environment"]["VOICECORE_API_KEY"].startswith("${VOICECORE_API_KEY:?")


def test_there_is_a_health_check(instructions: list[tuple[str, str]]) -> None:
    (check,) = named(instructions, "HEALTHCHECK")
    assert "scripts/healthcheck" in check


def test_compose_builds_both_devices(services: dict[str, Any], instructions: list[tuple[str, str]]) -> None:
    devices = {service["build"]["args"]["DEVICE"] for service in services.values()}
    stages = {rest.split(" AS base-")[1] for rest in named(instructions, "FROM") if " AS base-" in rest}
    assert devices == stages == {"cpu", "cuda"}
    for service in services.values():
        assert (ROOT / "docker" / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
