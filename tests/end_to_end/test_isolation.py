"""A listener never gets someone else's voice: many voices, many concurrent requests, random cancels.

Every response is compared with what the same request gave when it was alone. In float32 the speech tokens are
the same, so lengths are equal; samples may differ by rounding, because a batch adds up in another order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from benchmarks.random_xtts import TINY, reference_recording, write_submission
from models_store.store import ModelsStore

VOICES = [f"voice{i}" for i in range(8)]
TEXTS = ("Hello there, listener.", "A somewhat longer sentence follows it.", "No.")
NUM_REQUESTS = 200
CONCURRENCY = 64
CANCELLED_SHARE = 0.25
# 16-bit steps. Float32 rounding is far below one, but at an edge it moves a sample to the next.
MAX_STEP_DIFFERENCE = 1


@dataclass(frozen=True)
class Wanted:
    voice: str
    text: str
    seed: int

    @property
    def body(self) -> dict[str, Any]:
        return {
            "model": "tiny",
            "voice": self.voice,
            "input": self.text,
            "seed": self.seed,
            "language": "en",
            "response_format": "pcm",
        }


WANTED = [
    Wanted(voice, text, seed) for voice in VOICES for text, seed in zip(TEXTS, (11, 12, 13), strict=True)
]


@pytest.fixture(scope="module")
def url(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    ModelsStore(home / "store").submit(write_submission(home / "tiny", TINY), name="tiny")
    with serve(home, slots="16", max_queued_utterances="1000", threads="1") as url:
        for seed, voice in enumerate(VOICES):
            recording = home / f"{voice}.wav"
            soundfile.write(recording, reference_recording(seed), 22_050)
            with recording.open("rb") as file:
                answer = httpx.post(
                    f"{url}/v1/audio/voices", data={"name": voice, "consent": "test"}, files={"file": file}
                )
            assert answer.status_code == 201, answer.text
        yield url


@pytest.fixture(scope="module")
def alone(url: str) -> dict[Wanted, np.ndarray]:
    """What each request gives when there is no other."""
    with httpx.Client(base_url=url, timeout=60) as client:
        return {wanted: samples(client.post("/v1/audio/speech", json=wanted.body)) for wanted in WANTED}


def samples(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.frombuffer(response.content, "<i2").astype(np.int32)


async def speak(client: httpx.AsyncClient, wanted: Wanted) -> np.ndarray:
    return samples(await client.post("/v1/audio/speech", json=wanted.body))


async def leave_early(client: httpx.AsyncClient, wanted: Wanted, patience_s: float) -> None:
    """Hang up before the first byte or right after it."""

    async def listen() -> None:
        async with client.stream("POST", "/v1/audio/speech", json=wanted.body) as response:
            async for _ in response.aiter_bytes():
                return

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(listen(), patience_s)


def test_voices_differ(alone: dict[Wanted, np.ndarray]) -> None:
    """Else the test below would show nothing."""
    for text in TEXTS:
        spoken = [alone[wanted] for wanted in WANTED if wanted.text == text]
        for i, one in enumerate(spoken):
            for other in spoken[:i]:
                length = min(len(one), len(other))
                assert len(one) != len(other) or np.abs(one[:length] - other[:length]).max() > 1000


def test_every_response_is_what_it_is_alone(url: str, alone: dict[Wanted, np.ndarray]) -> None:
    chance = random.Random(2024)
    schedule = [(chance.choice(WANTED), chance.random() < CANCELLED_SHARE) for _ in range(NUM_REQUESTS)]

    async def run() -> list[tuple[Wanted, np.ndarray]]:
        gate = asyncio.Semaphore(CONCURRENCY)
        limits = httpx.Limits(max_connections=CONCURRENCY)
        heard = []

        async def one(client: httpx.AsyncClient, wanted: Wanted, leaves: bool) -> None:
            async with gate:
                if leaves:
                    await leave_early(client, wanted, chance.uniform(0.01, 1.0))
                else:
                    heard.append((wanted, await speak(client, wanted)))

        async with httpx.AsyncClient(base_url=url, timeout=240, limits=limits) as client:
            await asyncio.gather(*(one(client, wanted, leaves) for wanted, leaves in schedule))
        return heard

    heard = asyncio.run(run())
    assert len(heard) == sum(not leaves for _, leaves in schedule)
    for wanted, spoken in heard:
        expected = alone[wanted]
        assert len(spoken) == len(expected), wanted
        assert np.abs(spoken - expected).max() <= MAX_STEP_DIFFERENCE, wanted


def test_no_slot_is_left_behind(url: str) -> None:
    metrics = httpx.get(f"{url}/metrics").text
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(values["voicecore_slots_in_use"]) == 0
    assert float(values["voicecore_queued_utterances"]) == 0
