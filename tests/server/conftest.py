"""The fake family (see fake_family.py) for tests of the server."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

from models_store.store import ModelsStore
from models_store.submission import Submission
from providers.interface import EngineSettings
from server.scheduling.address import worker_socket
from server.scheduling.device import Device
from server.scheduling.residency import Budgets
from server.scheduling.scheduler import Policy
from server.scheduling.worker import Worker
from server.settings import Settings


def _load_fake_family() -> ModuleType:
    """By path: tests are not packages. One module for the whole session, so its classes are identical."""
    name = "fake_family"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("fake_family.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def fake_family() -> ModuleType:
    """`FakeEngine`, `FakeProvider`, `FakeTextFrontEnd`, `Fault`, `prompt`, `expected_samples`."""
    return _load_fake_family()


PLENTY = Budgets(10**9, 10**9)


class RunningWorker:
    """The real device process's worker in threads of this one, on the fake family."""

    def __init__(self, family: ModuleType, home: Path, budgets: Budgets, **provider: Any) -> None:
        self.settings = Settings(home=home, max_queued_utterances=20)
        self.store = ModelsStore(self.settings.store_path)
        self.provider = family.FakeProvider(**provider)
        self.socket_path = worker_socket(home)
        self.error: BaseException | None = None
        device = Device(EngineSettings("cpu", "float32", num_slots=4), Policy(), budgets)
        self.worker = Worker(device, self.store, self.settings, lambda name: {"fake": self.provider}[name])
        self._family = family
        self._thread = Thread(target=self._run, daemon=True)

    def publish(self, name: str, **properties: Any) -> Submission:
        return self._family.publish(self.store, name, **properties)

    def start(self, preload: Sequence[str] = ()) -> None:
        self._loop = asyncio.new_event_loop()
        self._serving = self._loop.create_task(self.worker.serve(self.socket_path, preload))
        self._thread.start()
        while not _answers(self.socket_path) and not self._serving.done():
            time.sleep(0.002)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serving)
        except (Exception, asyncio.CancelledError) as error:
            self.error = error
        finally:
            self._loop.close()

    def join(self) -> None:
        """Wait for its end, which something else has caused."""
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        if self._thread.is_alive():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._serving.cancel)
            self._thread.join(timeout=10)
        assert not self._thread.is_alive(), "the worker didn't stop"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def start_worker(fake_family: ModuleType, tmp_path: Path) -> Iterator[Callable[..., RunningWorker]]:
    """Makes a `RunningWorker` that stops with the test: `publish` submissions, then `start()`.

    Keywords are those of `FakeProvider`, and `budgets`.
    """
    with ExitStack() as running:

        def make(budgets: Budgets = PLENTY, **provider: Any) -> RunningWorker:
            worker = RunningWorker(fake_family, tmp_path, budgets, **provider)
            running.callback(worker.stop)
            return worker

        yield make
