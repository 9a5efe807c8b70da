"""Voices that nobody has asked for yet, so that a server has to listen to them first."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile

from benchmarks.load.adapters import Target, TargetError, open_client

ROUTE = "v1/audio/voices"
SERIAL_BITS = 32
SERIALS_PER_RUN = 1_000_000


@contextmanager
def new_voices(target: Target, recording: Path, count: int, run: int) -> Iterator[tuple[str, ...]]:
    """Registers so many voices of one recording at a Voice Core server; forgets them at the end.

    Raises TargetError.
    """
    registered: list[str] = []
    with open_client(target) as client:
        try:
            for serial in range(count):
                name = f"bench-{os.getpid()}-{run}-{serial}"
                _register(client, name, variant(recording, run * SERIALS_PER_RUN + serial))
                registered.append(name)
            yield tuple(registered)
        finally:
            for name in registered:
                client.delete(f"{ROUTE}/{name}")


def variant(recording: Path, serial: int) -> bytes:
    """The recording as a WAV file that differs from every other serial's, inaudibly: in its lowest bits."""
    samples, rate_hz = soundfile.read(recording, dtype="int16", always_2d=True)
    if len(samples) < SERIAL_BITS:
        raise TargetError(f"{recording}: found {len(samples)} samples; expected a recording of a voice")
    bits = np.array([serial >> bit & 1 for bit in range(SERIAL_BITS)], np.int16)
    samples[-SERIAL_BITS:, 0] = (samples[-SERIAL_BITS:, 0] & ~np.int16(1)) | bits
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _register(client: httpx.Client, name: str, recording: bytes) -> None:
    files = {"file": ("voice.wav", recording, "audio/wav")}
    response = client.post(ROUTE, data={"name": name}, files=files)
    if not response.is_success:
        told = f"status {response.status_code}: {response.text[:200]}"
        raise TargetError(f"{client.base_url}: found {told} for a new voice; expected it to be registered")
