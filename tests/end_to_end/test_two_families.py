"""Two families side by side in one server: mixed concurrent requests, each as it is alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks import random_gpt_sovits, random_xtts
from models_store.store import ModelsStore

pytestmark = pytest.mark.slow

GPT_SOVITS_VARIANTS = ("v1", "v2", "v1", "v2")
TEXTS = ("Hello there, listener.", "Nobody knows what comes next.")
NUM_REQUESTS = 100
CONCURRENCY = 32
MAX_AUDIO_S = 3  # of the GPT-SoVITS submissions, which don't stop by themselves
# 16-bit steps. Float32 rounding is far below one, but at an edge it moves a sample to the next.
MAX_STEP_DIFFERENCE = 1

Wanted = tuple[str, str]  # model, text


@pytest.fixture(scope="module")
def wanted() -> list[Wanted]:
    models = [f"xtts{i}" for i in range(4)] + [f"sovits{i}" for i in range(len(GPT_SOVITS_VARIANTS))]
    return [(model, text) for model in models for text in TEXTS]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelsStore:
    return ModelsStore(tmp_path_factory.mktemp("home") / "store")


@pytest.fixture(scope="module")
def url(serve: Any, store: ModelsStore, gpt_sovits_models: Path) -> Iterator[str]:
    home = store.layout.root.parent
    for seed in range(4):
        folder = random_xtts.write_submission(home / f"xtts{seed}", random_xtts.TINY, seed)
        store.submit(folder, name=f"xtts{seed}")
    store.add_base_model(gpt_sovits_models / "chinese-hubert-base", "hubert")
    for seed, variant in enumerate(GPT_SOVITS_VARIANTS):
        architecture = random_gpt_sovits.tiny_architecture(variant)
        folder = random_gpt_sovits.write_submission(home / f"sovits{seed}", architecture, seed, MAX_AUDIO_S)
        store.submit(folder, name=f"sovits{seed}")
    with serve(home, slots="8", max_queued_utterances="1000", threads="1") as url:
        yield url


def body(wanted: Wanted) -> dict[str, Any]:
    model, text = wanted
    return {
        "model": model,
        "voice": "default",
        "input": text,
        "language": "en",
        "seed": 5,
        "response_format": "pcm",
    }


def samples(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.frombuffer(response.content, "<i2").astype(np.int32)


@pytest.fixture(scope="module")
def alone(url: str, wanted: list[Wanted]) -> dict[Wanted, np.ndarray]:
    """What each request gives when there is no other."""
    with httpx.Client(base_url=url, timeout=120) as client:
        return {one: samples(client.post("/v1/audio/speech", json=body(one))) for one in wanted}


def test_no_two_models_say_the_same(alone: dict[Wanted, np.ndarray]) -> None:
    """Else the test below would show nothing."""
    for text in TEXTS:
        spoken = [heard for (_, said), heard in alone.items() if said == text]
        for i, one in enumerate(spoken):
            for other in spoken[:i]:
                length = min(len(one), len(other))
                assert len(one) != len(other) or np.abs(one[:length] - other[:length]).max() > 100


def test_every_response_is_what_it_is_alone(url: str, alone: dict[Wanted, np.ndarray]) -> None:
    chance = random.Random(2025)
    schedule = [chance.choice(list(alone)) for _ in range(NUM_REQUESTS)]

    async def run() -> list[np.ndarray]:
        gate = asyncio.Semaphore(CONCURRENCY)

        async def one(client: httpx.AsyncClient, wanted: Wanted) -> np.ndarray:
            async with gate:
                return samples(await client.post("/v1/audio/speech", json=body(wanted)))

        limits = httpx.Limits(max_connections=CONCURRENCY)
        async with httpx.AsyncClient(base_url=url, timeout=240, limits=limits) as client:
            return await asyncio.gather(*(one(client, wanted) for wanted in schedule))

    for wanted, spoken in zip(schedule, asyncio.run(run()), strict=True):
        expected = alone[wanted]
        assert len(spoken) == len(expected), wanted
        assert np.abs(spoken - expected).max() <= MAX_STEP_DIFFERENCE, wanted


def test_a_base_model_that_arrives_is_used_without_a_restart(
    url: str, store: ModelsStore, gpt_sovits_models: Path, alone: dict[Wanted, np.ndarray]
) -> None:
    english = ("sovits1", TEXTS[0])
    chinese, mixed = (
        body(("sovits1", text)) | {"language": "auto"} for text in ("今天天气好。", "Hello 今天。")
    )
    with httpx.Client(base_url=url, timeout=120) as client:
        refusals = [client.post("/v1/audio/speech", json=wanted) for wanted in (chinese, mixed)]
        assert [refused.status_code for refused in refusals] == [503, 503]
        assert all("`voicecore base pull roberta`" in refused.text for refused in refusals)
        store.add_base_model(gpt_sovits_models / "chinese-roberta-wwm-ext-large", "roberta")
        for wanted in (chinese, mixed):
            assert len(samples(client.post("/v1/audio/speech", json=wanted))) > 0
        spoken = samples(client.post("/v1/audio/speech", json=body(english)))
        assert np.abs(spoken - alone[english]).max() <= MAX_STEP_DIFFERENCE
