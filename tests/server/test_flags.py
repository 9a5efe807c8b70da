"""Every setting is a flag of `voicecore serve`, and says the same in both places."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from server.flags import read_settings, with_setting_flags
from server.settings import Settings

# A value for each type that differs from every default.
GIVEN: dict[str, Any] = {
    "home": "/elsewhere",
    "host": "::1",
    "api_key": "secret",
    "allow_public_without_key": True,
    "cors_origins": ["https://one.example", "https://two.example"],
    "log_level": "error",
    "log_format": "json",
    "device": "cuda:7",
    "dtype": "bfloat16",
    "kv_cache": "fp8",
    "default_model": "other",
    "demo": True,
    "database_url": "postgresql://anna:secret@db.example/voices",
    "hub_endpoint": "https://hub.example",
    "preload": ["a", "b"],
    "chinese_without_roberta": True,
    "recogniser": "none",
    "whisper_model": "/models/whisper",
    "azure_speech_key": "secret",
    "azure_speech_region": "koreacentral",
    "azure_speech_endpoint": "https://speech.example",
    "gate": ["cer<=0.25", "dnsmos>=2.8"],
}
NUMBER = 77


@pytest.fixture
def served() -> list[Settings]:
    return []


@pytest.fixture
def app(served: list[Settings]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    def run(settings: Settings) -> None:
        """Serve."""
        served.append(settings)

    app.command()(with_setting_flags(run))
    return app


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def test_help_has_every_settings_name_sentence_and_default(app: typer.Typer):
    told = re.sub(r"\s+", " ", CliRunner().invoke(app, ["--help"]).output)
    for name, field in Settings.model_fields.items():
        assert flag(name) in told
        default = "none" if field.default in (None, ()) else field.default
        assert f"{field.description} [default: {default}; VOICECORE_{name.upper()}]" in told


def test_without_flags_it_is_the_defaults(app: typer.Typer, served: list[Settings]):
    assert CliRunner().invoke(app, []).exit_code == 0
    assert served == [Settings()]


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_each_flag_sets_its_setting(app: typer.Typer, served: list[Settings], name: str):
    given = GIVEN.get(name, NUMBER)
    values = given if isinstance(given, list) else [given]
    arguments = [
        part
        for value in values
        for part in (
            [flag(name if value else f"no_{name}")] if isinstance(value, bool) else [flag(name), str(value)]
        )
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert served == [Settings(**{name: given})]
    assert served[0] != Settings()


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOICECORE_PORT", "1")
    monkeypatch.setenv("VOICECORE_SLOTS", "2")
    settings = read_settings(port=3, home=Path("/elsewhere"))
    assert (settings.port, settings.slots, settings.home) == (3, 2, Path("/elsewhere"))


def test_false_and_zero_are_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOICECORE_PORT", "1")
    monkeypatch.setenv("VOICECORE_ALLOW_PUBLIC_WITHOUT_KEY", "true")
    settings = read_settings(port=0, allow_public_without_key=False)
    assert settings.port == 0
    assert not settings.allow_public_without_key


def test_every_mistake_is_told_at_once():
    with pytest.raises(typer.BadParameter) as refused:
        read_settings(port=-1, slots=-2)
    assert str(refused.value) == (
        "--port: found -1; expected greater than or equal to 0; "
        "--slots: found -2; expected greater than or equal to 0"
    )


def test_a_key_is_never_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOICECORE_PORT", "x")
    with pytest.raises(typer.BadParameter) as refused:
        read_settings(api_key=["secret"])
    assert "secret" not in str(refused.value)
    assert "--api-key: found a bad value" in str(refused.value)


def test_a_database_that_is_none_of_ours_is_refused_without_its_password(app: typer.Typer):
    result = CliRunner().invoke(app, ["--database-url", "mysql://anna:secret@db.example/voices"])
    assert result.exit_code == 2
    assert "mysql" in result.output
    assert "secret" not in result.output
