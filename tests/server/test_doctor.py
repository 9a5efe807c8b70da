"""`voicecore doctor` looks at the machine it runs on: here at this one, whole and damaged."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from models_store.base_roles import ROLES
from models_store.store import ModelsStore
from server import doctor
from server.cli import app
from server.settings import Settings

Findings = dict[str, dict[str, Any]]


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., Findings]:
    """Findings by subject; `status` is the exit status to expect."""

    def examine(*flags: str, status: int = 0) -> Findings:
        result = CliRunner().invoke(app, ["doctor", "--json", "--home", str(tmp_path), *flags])
        assert result.exit_code == status, result.output
        return {finding["subject"]: finding for finding in json.loads(result.stdout)}

    return examine


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICECORE_PORT", "0")


def test_this_machine_will_do(examine: Callable[..., Findings]):
    findings = examine()
    looked_at = set(doctor.EXAMINATIONS)
    assert looked_at <= set(findings)
    assert {finding["verdict"] for finding in findings.values()} <= {"ok", "warn"}
    for subject in ("python", "packages", "device", "store", "port"):
        assert findings[subject]["verdict"] == "ok"
    assert "coqui-tts" in findings["optional"]["found"]


def test_people_get_a_line_each(tmp_path: Path):
    result = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])
    assert result.exit_code == 0
    for subject in doctor.EXAMINATIONS:
        assert f"  {subject} " in result.stdout


def test_deep_finds_what_sizes_hide(
    examine: Callable[..., Findings], tmp_path: Path, fake_family: ModuleType
):
    store = ModelsStore(tmp_path / "store")
    submission = fake_family.publish(store, "anna")
    assert "1 submissions" in examine("--deep")["store"]["found"]
    weights = store.files(submission.id).paths["weights"]
    weights.chmod(0o644)
    weights.write_bytes(b"x" * weights.stat().st_size)
    assert examine()["store"]["verdict"] == "ok"
    finding = examine("--deep", status=1)["store"]
    assert finding["verdict"] == "fail"
    assert weights.name in finding["found"]


def test_a_missing_base_model_is_a_warning(
    tmp_path: Path, fake_family: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    fake_family.publish(ModelsStore(tmp_path / "store"), "anna")
    settings = Settings(home=tmp_path)
    look = partial(doctor.EXAMINATIONS["base models"], "base models", settings, False)
    assert [finding.verdict for finding in look()] == ["ok"]
    role = ROLES["hubert"]
    needs = tuple(replace(need, family="fake") for need in role.needs)
    monkeypatch.setitem(ROLES, "hubert", replace(role, needs=needs))
    (finding,) = look()
    assert finding.verdict == "warn"
    assert finding.remedy == "Get it with `voicecore base pull hubert`."


def test_a_device_that_is_not_there_fails(examine: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOICECORE_DEVICE", "cuda:99")
    finding = examine(status=1)["device"]
    assert finding["verdict"] == "fail"
    assert "cuda:99" in finding["found"]


def test_a_port_that_is_taken_is_a_warning(examine: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("VOICECORE_PORT", str(taken.getsockname()[1]))
        assert examine()["port"]["verdict"] == "warn"


def test_too_little_of_something_is_a_warning(
    examine: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor, "WANTED_MEMORY_BYTES", 2**60)
    monkeypatch.setattr(doctor, "WANTED_DISK_BYTES", 2**60)
    findings = examine()
    assert findings["memory"]["verdict"] == findings["disk"]["verdict"] == "warn"
    assert findings["disk"]["remedy"]


def test_a_package_that_is_missing_fails(examine: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["numpy>=2", "no-such-package-here>=1"])
    finding = examine(status=1)["packages"]
    assert finding["found"] == "without no-such-package-here"
    assert finding["remedy"]
