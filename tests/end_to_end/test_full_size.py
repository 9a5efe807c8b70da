"""The main job on real input: an official-format, full-size XTTS folder, from upload to streamed speech."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import soundfile

from benchmarks.random_xtts import FULL, write_submission

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NEEDED_GIB = 6  # of free disk: the folder, its upload and what the store keeps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    if psutil.disk_usage(str(folder)).free < NEEDED_GIB * 2**30:
        pytest.skip(f"needs {NEEDED_GIB} GiB of free disk")
    return write_submission(folder / "submission", replace(FULL, stop_bias=2.5))


@pytest.fixture(scope="module")
def url(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("home"), slots="2") as url:
        yield url


def test_a_full_size_submission_is_uploaded_and_speaks(url: str, folder: Path) -> None:
    upload(url, folder)
    request = {"model": "full", "input": "Hello there.", "language": "en", "seed": 1}
    spoken = httpx.post(f"{url}/v1/audio/speech", json=request | {"response_format": "wav"}, timeout=240)
    assert spoken.status_code == 200, spoken.text
    samples, sample_rate_hz = soundfile.read(io.BytesIO(spoken.content), dtype="float32")
    assert sample_rate_hz == 24_000
    assert 0.04 < len(samples) / sample_rate_hz < 30
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() > 1e-3

    pcm = httpx.post(f"{url}/v1/audio/speech", json=request | {"response_format": "pcm"}, timeout=240).content
    np.testing.assert_allclose(np.frombuffer(pcm, "<i2") / 32768, samples, rtol=0, atol=2 / 32768)


def upload(url: str, folder: Path) -> None:
    """As a stored zip, streamed file by file; then wait until it is accepted."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for file in folder.iterdir():
            packed.write(file, file.name)
    with archive.open("rb") as body:
        answer = httpx.post(
            f"{url}/v1/submissions",
            params={"name": "full"},
            content=iter(lambda: body.read(1 << 20), b""),
            headers={"content-type": "application/zip"},
            timeout=240,
        )
    archive.unlink()
    assert answer.status_code == 202, answer.text
    intake = answer.json()
    deadline = time.monotonic() + 240
    while intake["status"] not in ("published", "refused", "failed"):
        assert time.monotonic() < deadline, intake
        time.sleep(0.5)
        intake = httpx.get(f"{url}/v1/submissions/{intake['id']}", timeout=30).json()
    assert intake["status"] == "published", intake
