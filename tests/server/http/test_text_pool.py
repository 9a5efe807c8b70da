"""Text front ends in processes: the same prompts, cached, and still there after a process died."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import psutil
import pytest

from models_store.store import ModelsStore
from providers import registry
from providers.errors import EmptyText, EngineError, UnsupportedLanguage
from server.http.metrics import Metrics
from server.http.text_pool import PromptCache, ReadText, TextPool

TEXT = "Hello there. This is a second sentence."


@pytest.fixture(scope="module")
def files(tmp_path_factory, golden_folder):
    store = ModelsStore(tmp_path_factory.mktemp("text") / "store")
    return store.files(store.submit(golden_folder, "gold").submission.id)


class Poison:
    """Kills the process that is handed it."""

    identity = "poison"
    submission = SimpleNamespace(id="poison")

    def __reduce__(self):
        return os._exit, (9,)


def with_pool(use, num_processes: int = 1):
    """Run `use(pool, metrics)` on a pool that is ended afterwards."""

    async def run():
        metrics = Metrics()
        pool = TextPool(num_processes, metrics)
        try:
            return await use(pool, metrics)
        finally:
            await pool.close()

    return asyncio.run(run())


def pids(pool: TextPool) -> set[int]:
    return set(pool._pool._processes or ())


def test_the_pool_reads_as_the_front_end_itself_does(files):
    async def use(pool, metrics):
        await pool.start()
        read = await pool.read(files, TEXT, "en")
        again = await pool.read(files, TEXT, "en")
        other = await pool.read(files, TEXT, "de")
        with pytest.raises(UnsupportedLanguage, match="'xx'"):
            await pool.read(files, TEXT, "xx")
        with pytest.raises(EmptyText):
            await pool.read(files, " ", "en")
        assert again is read, "from the cache"
        assert metrics.prompt_cache_hits._value.get() == 1
        assert metrics.prompt_cache_misses._value.get() == 4
        return read, other

    read, other = with_pool(use)
    front_end = registry.text_front_end(files)
    assert read == ReadText(tuple(front_end.prompts(TEXT, "en")), front_end.default_sampling)
    assert other.prompts == tuple(front_end.prompts(TEXT, "de"))


def test_a_process_that_died_is_replaced(files):
    async def use(pool, metrics):
        await pool.start()
        first = pids(pool)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        read = await pool.read(files, TEXT, "en")
        assert read.prompts
        await pool.read(files, TEXT, "de")
        assert pids(pool).isdisjoint(first)
        assert metrics.text_process_deaths._value.get() == 1

    with_pool(use)


def test_a_text_that_kills_processes_takes_no_other_along(files):
    async def use(pool, metrics):
        await pool.start()
        texts = [f"Text number {i}." for i in range(4)]
        poisoned = asyncio.create_task(pool.read(Poison(), "deadly", "en"))
        bystanders = [asyncio.create_task(pool.read(files, text, "en")) for text in texts]
        with pytest.raises(EngineError, match="died twice"):
            await poisoned
        for text, read in zip(texts, await asyncio.gather(*bystanders), strict=True):
            assert read.prompts == tuple(registry.text_front_end(files).prompts(text, "en"))
        assert metrics.text_process_deaths._value.get() == 1

    with_pool(use, num_processes=2)


def test_text_processes_end_with_a_killed_parent():
    program = """
        import asyncio, time
        from server.http.metrics import Metrics
        from server.http.text_pool import TextPool

        async def main():
            pool = TextPool(2, Metrics())
            await pool.start()
            print(*pool._pool._processes, flush=True)
            time.sleep(60)

        if __name__ == "__main__":
            asyncio.run(main())
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    try:
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert children
        assert not any("torch" in mapped.path for child in children for mapped in child.memory_maps())
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    until = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < until, "a text process outlived its parent"
        time.sleep(0.05)


def test_the_cache_forgets_what_was_read_longest_ago():
    cache = PromptCache(capacity_characters=10)
    values = {text: ReadText((), text) for text in ("aaaa", "bbbb", "cccc")}
    for text in ("aaaa", "bbbb"):
        cache.put(("id", text, "en", None), values[text])
    assert cache.get(("id", "aaaa", "en", None)) is values["aaaa"]
    cache.put(("id", "cccc", "en", None), values["cccc"])
    assert cache.get(("id", "bbbb", "en", None)) is None
    assert cache.get(("id", "aaaa", "en", None)) is values["aaaa"]
    assert cache.get(("other", "aaaa", "en")) is None
    assert cache.get(("id", "aaaa", None, None)) is None


def test_a_text_larger_than_the_cache_is_not_kept():
    cache = PromptCache(capacity_characters=3)
    cache.put(("id", "aaaa", None, None), ReadText((), None))
    assert cache.get(("id", "aaaa", None, None)) is None
    cache.put(("id", "bbb", None, None), kept := ReadText((), None))
    assert cache.get(("id", "bbb", None, None)) is kept
