"""Recordings by flite, and plans over submissions that exist only by name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.evaluation.archive import Archive, Samples, Spoken
from server.evaluation.plan import Item, Plan, System
from server.evaluation.texts import text_set

RATE_HZ = 16_000
WHEN = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="session")
def flite(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Samples]:
    """Text, voice → samples at 16 kHz."""
    if shutil.which("flite") is None:
        pytest.skip("needs flite: sudo apt-get install flite")
    folder = tmp_path_factory.mktemp("flite")

    def speak(text: str, voice: str = "slt", stretch: float = 1.0) -> Samples:
        path = folder / f"{abs(hash((text, voice, stretch)))}.wav"
        command = [
            "flite",
            "-voice",
            voice,
            "--setf",
            f"duration_stretch={stretch}",
            "-t",
            text,
            "-o",
            str(path),
        ]
        subprocess.run(command, check=True)
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE_HZ
        return samples

    return speak


def system(name: str) -> System:
    return System(name, f"sha256:{name}", f"voice-{name}", "default", "fake", "tiny")


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    def make_plan(
        *names: str,
        sentences: dict[str, list[str]] | None = None,
        seeds: tuple[int, ...] = (1, 2),
        recogniser: str = "none",
        created_at: str = WHEN,
    ) -> Plan:
        texts = text_set("en", sentences or {"short": ["Hello there.", "Good day."], "single": ["Yes."]})
        return Plan(tuple(map(system, names or ("anna",))), texts, seeds, recogniser, created_at)

    return make_plan


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "evaluations")


@pytest.fixture(scope="session")
def spoken() -> Callable[..., Spoken]:
    """How a second of speech came, but for `changes`."""

    def spoken(**changes: object) -> Spoken:
        fields = {
            "sample_rate_hz": RATE_HZ,
            "duration_s": 1.0,
            "num_tokens": 20,
            "hit_limit": False,
            "ttfa_s": 0.2,
            "took_s": 0.5,
            "device": "cpu float32",
            "spoken_at": WHEN,
        }
        return Spoken(**fields | changes)  # type: ignore[arg-type]

    return spoken


@pytest.fixture(scope="session")
def tone() -> Callable[[Item], Samples]:
    """A second that only this item sounds like."""

    def tone(item: Item) -> Samples:
        pitch_hz = 200 + int(item.key[:4], 16) % 400
        t = np.arange(RATE_HZ) / RATE_HZ
        return (0.3 * np.sin(2 * np.pi * pitch_hz * t)).astype(np.float32)

    return tone
