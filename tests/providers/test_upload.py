"""Uploads on streams that are stood in for: what they wait for is recorded, and copies end when told to."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from providers.upload import Uploader
from providers.weight_arena import WeightArena

CPU = torch.device("cpu")


def chunks(count: int = 2) -> list[Tensor]:
    return [torch.full((1000 + i,), i + 1, dtype=torch.uint8) for i in range(count)]


@pytest.fixture
def uploader(held_back: Any) -> Uploader:
    return Uploader(CPU, held_back)


def test_copies_have_a_stream_of_their_own_and_nothing_waits_for_them(uploader: Any, held_back: Any) -> None:
    given = chunks()
    upload = uploader.start(given)
    assert held_back.order == ["own waits for main", "own copies", "own copies", "own records"]
    assert not upload.arrival.done()
    held_back.finish()
    upload.arrival.result(timeout=10)
    assert all(map(torch.equal, upload.chunks, given))


def test_a_stream_waits_only_for_what_has_not_arrived(uploader: Any, held_back: Any) -> None:
    upload = uploader.start(chunks())
    upload.join()
    assert held_back.order[-1] == "main waits for an event"
    held_back.finish()
    queued = len(held_back.order)
    upload.join()
    assert len(held_back.order) == queued


def test_what_the_device_raises_is_passed_on(uploader: Any, held_back: Any) -> None:
    upload = uploader.start(chunks())
    held_back.finish(RuntimeError("CUDA error: unspecified launch failure"))
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        upload.arrival.result(timeout=10)


def test_without_room_nothing_is_queued(
    uploader: Any, held_back: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, empty = chunks(3), torch.empty
    made: list[Any] = []

    def almost_full(*size: Any, **options: Any) -> Tensor:
        if len(made) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        made.append(size)
        return empty(*size, **options)

    monkeypatch.setattr(torch, "empty", almost_full)
    with pytest.raises(torch.OutOfMemoryError):
        uploader.start(given)
    assert held_back.order == []


def test_both_ends_of_a_dropped_upload_stay_until_its_last_copy(uploader: Any, held_back: Any) -> None:
    given = chunks()
    upload = uploader.start(given)
    ends = [weakref.ref(chunk) for chunk in (*given, *upload.chunks)]
    arrival = upload.arrival
    del given, upload
    gc.collect()
    assert all(end() is not None for end in ends), "others would be given memory that is still written to"
    held_back.finish()
    arrival.result(timeout=10)
    _eventually(lambda: all(end() is None for end in ends))


def _eventually(is_so: Callable[[], bool]) -> None:
    """The thread that waited lets go just after it has said so."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.01)


@pytest.mark.gpu
def test_a_device_gets_what_was_page_locked_beside_its_own_work() -> None:
    device = torch.device("cuda:0")
    arena = WeightArena()
    given = {str(i): torch.randn(3_000_000) for i in range(8)}
    held = arena.hold(arena.copy_all(given))
    assert all(chunk.is_pinned() for chunk in held.chunks)
    busy = torch.randn(4096, 4096, device=device)
    before = busy.clone()
    for _ in range(50):
        busy = (busy @ before).clamp_(-1, 1)
    uploader = Uploader(device)
    for _ in range(3):  # the second and third reuse what the one before has let go
        upload = uploader.start(held.chunks)
        upload.join()
        ours = held.at(upload.chunks)
        for name, tensor in given.items():
            assert torch.equal(ours[name].cpu(), tensor)
        del upload, ours
