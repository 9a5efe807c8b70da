from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models_store.errors import NotFound
from providers.errors import UnusableVoice
from providers.interface import Recording, ReferenceVoice
from server.scheduling.conditioning_cache import ConditioningCache, ConditioningKey

A = ConditioningKey("sha256:aaaa", "sha256:1111")
B = ConditioningKey("sha256:bbbb", "sha256:1111")
C = ConditioningKey("sha256:cccc", "sha256:2222")


def voice(level: float = 0.5, transcript: str | None = None) -> ReferenceVoice:
    return ReferenceVoice((Recording(np.full(100, level, np.float32), 24_000),), transcript=transcript)


@pytest.fixture
def engine(fake_family: ModuleType) -> Any:
    engine = fake_family.FakeEngine()
    for key in (A, B, C):
        engine.load(fake_family.FakeWeights(key.submission_id, 1))
    return engine


@pytest.fixture
def cache_of(tmp_path: Path) -> Iterator[Callable[..., ConditioningCache]]:
    """A cache in this test's folder. A fake conditioning has 1000 bytes."""

    def folder_of(submission_id: str) -> Path:
        folder = tmp_path / submission_id.removeprefix("sha256:")
        folder.mkdir(exist_ok=True)
        return folder

    with ThreadPoolExecutor(1) as executor:
        yield lambda capacity_bytes=10_000, dtype="float32": ConditioningCache(
            capacity_bytes, dtype, folder_of, executor
        )


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_a_conditioning_is_derived_once_and_then_kept(cache_of, engine):
    cache = cache_of()
    first = cache.get(A, engine, voice).result()
    again = cache.get(A, engine, voice)
    assert again.done()
    assert again.result() is first
    assert engine.conditioned == [A.submission_id]
    assert (cache.hits, cache.misses, cache.size_bytes) == (1, 1, 1000)


def test_everybody_who_asks_while_it_is_derived_gets_the_same_one(cache_of, engine):
    cache = cache_of()
    may_go_on = Event()

    def slow_voice() -> ReferenceVoice:
        may_go_on.wait(5)
        return voice()

    asked = [cache.get(A, engine, slow_voice) for _ in range(5)]
    may_go_on.set()
    assert len({id(coming.result()) for coming in asked}) == 1
    assert engine.conditioned == [A.submission_id]


def test_other_base_models_make_another_one(cache_of, engine, tmp_path, caplog):
    other = A._replace(edition="hubert=1234")
    for cache in (cache_of(), cache_of()):  # the second one finds what the first left on the disk
        cache.get(A, engine, lambda: voice(0.5)).result()
        renewed = cache.get(other, engine, lambda: voice(0.25)).result()
        assert renewed.voice_timbre == pytest.approx(0.25)
    assert len(files(tmp_path)) == 1, "the newer one takes the older one's place"
    assert engine.conditioned == [A.submission_id] * 4
    assert not caplog.records, "nothing is damaged"


def test_the_least_recently_used_goes_first_by_bytes(cache_of, engine, tmp_path):
    cache = cache_of(capacity_bytes=2500)
    for key in (A, B, A, C):
        cache.get(key, engine, voice).result()
    assert cache.size_bytes == 2000
    hits = cache.hits
    cache.get(A, engine, voice).result()
    assert cache.hits == hits + 1, "A was used after B"
    cache.get(B, engine, voice).result()
    assert cache.hits == hits + 1, "B had to go"
    assert engine.conditioned.count(B.submission_id) == 1, "and came back from disk"


def test_one_larger_than_the_cache_is_used_and_not_kept(cache_of, engine):
    cache = cache_of(capacity_bytes=500)
    assert cache.get(A, engine, voice).result().submission_id == A.submission_id
    assert cache.size_bytes == 0


def test_a_restart_finds_it_on_disk_unchanged(cache_of, engine):
    fresh = cache_of().get(A, engine, voice).result()
    warm = cache_of().get(A, engine, lambda: pytest.fail("read the voice again")).result()
    assert warm == fresh
    assert engine.conditioned == [A.submission_id]


def test_number_formats_do_not_share_files(cache_of, engine):
    cache_of(dtype="float32").get(A, engine, voice).result()
    cache_of(dtype="bfloat16").get(A, engine, voice).result()
    assert len(engine.conditioned) == 2


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"\0" * len(data), id="zeros"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="one bit"),
    ],
)
def test_a_damaged_file_is_ignored_and_written_again(cache_of, engine, tmp_path, damage):
    fresh = cache_of().get(A, engine, voice).result()
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert cache_of().get(A, engine, voice).result() == fresh
    assert engine.conditioned == [A.submission_id] * 2
    assert files(tmp_path) == [path]
    assert cache_of().get(A, engine, lambda: pytest.fail("not written again")).result() == fresh


def test_a_file_of_another_voice_is_not_taken_for_ours(cache_of, engine, tmp_path):
    cache_of().get(A, engine, voice).result()
    (path,) = files(tmp_path)
    path.rename(path.with_name(path.name.replace("1111", "2222")))
    other = ConditioningKey(A.submission_id, C.voice_id)
    assert cache_of().get(other, engine, lambda: voice(0.25)).result().voice_timbre == 0.25


def test_a_folder_that_cannot_be_written_costs_only_the_next_start(engine, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        cache = ConditioningCache(10_000, "float32", lambda _: tmp_path / "missing", executor)
        assert cache.get(A, engine, voice).result().submission_id == A.submission_id
        assert cache.get(A, engine, voice).done()


def test_what_went_wrong_reaches_everybody_and_is_tried_again(cache_of, engine, fake_family):
    cache = cache_of()
    unusable = cache.get(A, engine, lambda: voice(transcript=fake_family.Fault.UNUSABLE_VOICE))
    with pytest.raises(UnusableVoice):
        unusable.result()

    def missing() -> ReferenceVoice:
        raise NotFound("voice", "nobody")

    with pytest.raises(NotFound):
        cache.get(A, engine, missing).result()
    assert cache.get(A, engine, voice).result().submission_id == A.submission_id
