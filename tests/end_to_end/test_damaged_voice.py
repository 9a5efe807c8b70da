"""What evaluation is for: a demo voice and a damaged copy of it, told apart through the whole server."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from models_store.demo import demo_submissions
from models_store.store import ModelsStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not demo_submissions(), reason="the demo voices are not in this checkout"),
]

NOISE = 0.05  # its deviation, of each matrix's largest value
TEXTS = [
    "We missed the last train.",
    "Nobody told me about that.",
    "Please close the door behind you.",
    "The water is warm today.",
    "They live near the old mill.",
    "My brother works at the airport.",
    "It rained for most of the afternoon.",
    "She left her keys on the kitchen table.",
    "We are going to paint the fence next week.",
]
LONGEST_S = 240.0


def damage(folder: Path) -> None:
    """Add noise to every matrix of a checkpoint."""
    path = folder / "model.pth"
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    random = torch.Generator().manual_seed(0)
    tensors = checkpoint["model"]
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.dim() > 1:
            noise = torch.randn(tensor.shape, generator=random)
            tensors[name] = (tensor + NOISE * tensor.float().abs().max() * noise).to(tensor.dtype)
    torch.save(checkpoint, path)


@pytest.fixture(scope="module")
def result(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("damaged") / "voice"
    original = next(iter(demo_submissions().values()))
    shutil.copytree(original, folder)
    damage(folder)
    store = ModelsStore(home / "store")
    store.submit(original, "sound")
    store.submit(folder, "damaged")
    asked = {
        "submissions": ["damaged", "sound"],
        "language": "en",
        "texts": {"short": TEXTS},
        "seeds": [1],
        "recogniser": "pocketsphinx",
    }
    with (
        serve(home, threads="1") as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        evaluation = client.post("/v1/evaluations", json=asked).raise_for_status().json()
        deadline = time.monotonic() + LONGEST_S
        while evaluation["status"] in ("waiting", "running"):
            assert time.monotonic() < deadline, evaluation
            time.sleep(0.2)
            evaluation = client.get(f"/v1/evaluations/{evaluation['id']}").json()
        assert evaluation["status"] == "finished", evaluation
        found: dict[str, Any] = client.get(f"/v1/evaluations/{evaluation['id']}/result").json()
    return found


def test_the_damaged_copy_ranks_clearly_below(result: dict[str, Any]) -> None:
    (pair,) = result["differences"]
    assert pair["systems"] == [0, 1]
    assert pair["scores"]["overall"]["high"] < 0, pair["scores"]["overall"]
    assert pair["scores"]["cer"]["mean"] > 0.1, pair["scores"]["cer"]
    worst = [utterance["system"] for utterance in result["utterances"][: len(TEXTS)]]
    assert sum(system == 0 for system in worst) > len(TEXTS) / 2


def test_everything_is_measured_of_a_real_submission(result: dict[str, Any]) -> None:
    for system in result["systems"]:
        wanted = {"cer", "wer", "similarity", "own_similarity", "dnsmos", "p808", "tail_s", "rtf", "ttfa_s"}
        assert wanted <= system["scores"].keys()
        assert system["scores"]["failed"]["mean"] == 0
        assert -1 <= system["scores"]["own_similarity"]["mean"] <= 1
    assert set(result["unmeasured"]) == set()
