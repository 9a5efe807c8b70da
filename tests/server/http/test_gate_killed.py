"""A server that is killed while it decides about a submission leaves no trace of it in the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models_store.store import ModelsStore


@pytest.fixture
def gated_server(killable_server: type[Any], tmp_path: Path) -> Iterator[Any]:
    with killable_server(tmp_path / "home", gate=["cer<=0.25"], recogniser="none") as server:
        yield server


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def hand_in(http: httpx.Client, folder: Path) -> str:
    """The id of an intake that has come as far as its evaluation."""
    files = [("file", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    response = http.post("/v1/submissions", params={"name": "carol"}, files=files)
    assert response.status_code == 202, response.text
    intake = f"/v1/submissions/{response.json()['id']}"

    def is_evaluated() -> bool:
        told = http.get(intake).json()
        assert told["status"] in ("waiting", "running"), told
        return bool(told["progress"] and told["progress"]["phase"] == "speaking")

    wait_for(is_evaluated)
    return intake


def test_what_was_at_the_gate_is_gone_and_can_be_handed_in_again(
    gated_server: Any, store: ModelsStore, publish: Callable[..., Any], golden_folder: Path
) -> None:
    kept = publish("anna")
    unnamed = publish("berta")
    store.unalias("berta")  # nameless as what is at the gate, but somebody wanted it so
    before = sorted(store.layout.blobs.iterdir())
    with httpx.Client(base_url=gated_server.url, timeout=120, trust_env=False) as http:
        intake = hand_in(http, golden_folder)
        (tried,) = {found.id for found in store.submissions()} - {kept.id, unnamed.id}
        gated_server.kill()
        assert tried in {found.id for found in store.submissions()}

        gated_server.start()
        told = http.get(intake).json()
        assert (told["status"], told["error"]["code"]) == ("failed", "interrupted")
        assert {found.id for found in store.submissions()} == {kept.id, unnamed.id}
        assert store.names() == {"anna": kept.id}
        assert sorted(store.layout.blobs.iterdir()) == before

        (first,) = http.get("/v1/evaluations").json()["data"]
        hand_in(http, golden_folder)
        assert tried in {found.id for found in store.submissions()}
        (again,) = http.get("/v1/evaluations").json()["data"]
        assert again["id"] == first["id"]  # what it had spoken counts
