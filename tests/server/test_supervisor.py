"""The whole server as processes, on the fake family: starts, restarts, drains, dies."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import psutil
import pytest
import soundfile

from models_store.store import ModelsStore
from server import child, supervisor
from server.settings import Settings
from server.supervisor import CannotServe, Child, Supervisor, check_exposure, listen, only_server

FAKE_PROCESS = Path(__file__).with_name("fake_process.py")
START_S = 60.0


def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def is_alive(process: psutil.Process) -> bool:
    """A zombie isn't: where process 1 of a container collects nobody, orphans stay on its list."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


class Server:
    def __init__(self, family: ModuleType, home: Path, **environment: str) -> None:
        family.publish(ModelsStore(home / "store"), "demo")
        environment = {"VOICECORE_HOME": str(home), "VOICECORE_PORT": "0", **environment}
        environment |= {"VOICECORE_LOG_FORMAT": "json", "OMP_NUM_THREADS": "1"}
        self.log_path = home / "log"
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(FAKE_PROCESS), "serve"],
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]

    def child(self, role: str) -> psutil.Process | None:
        """The process that the supervisor runs as `worker` or `http`."""
        for process in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if role in process.cmdline():
                    return process
        return None

    def descendants(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        return False

    def wait_ready(self) -> Server:
        until(self.is_ready, START_S)
        return self

    def speak(self, text: str) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/audio/speech", json=self._request(text), timeout=30)

    def stream(self, text: str) -> AbstractContextManager[httpx.Response]:
        return httpx.stream("POST", f"{self.url}/v1/audio/speech", json=self._request(text), timeout=30)

    def _request(self, text: str) -> dict[str, str]:
        return {"model": "demo", "voice": "default", "input": text, "response_format": "wav"}

    def close(self) -> None:
        children = self.descendants()
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(children, timeout=10)
        self.process.stdout.close()


def duration_s(response: httpx.Response) -> float:
    with soundfile.SoundFile(io.BytesIO(response.content)) as sound:
        return len(sound.read()) / sound.samplerate


@pytest.fixture
def start_server(fake_family: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**environment: str) -> Server:
        servers.append(Server(fake_family, tmp_path, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.slow
def test_what_dies_is_started_again_and_the_rest_goes_on(start_server):
    server = start_server(FAKE_FAMILY_SECONDS_PER_STEP="0.01").wait_ready()
    assert duration_s(server.speak("A first sentence.")) == pytest.approx(0.16)

    worker = server.child("worker")
    with server.stream("x" * 900) as cut:
        received = cut.iter_raw()
        next(received)
        worker.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.RemoteProtocolError):  # cut off, not a short but whole answer
            list(received)
    assert httpx.get(f"{server.url}/healthz", timeout=5).is_success, "HTTP doesn't notice"
    assert server.speak("While it is away.").status_code == 503
    server.wait_ready()
    assert server.child("worker").pid != worker.pid
    assert duration_s(server.speak("And again.")) == pytest.approx(0.09)

    http = server.child("http")
    http.send_signal(signal.SIGKILL)
    # The socket stays open, so this waits for the next process instead of being refused.
    assert duration_s(server.speak("Who answers?")) == pytest.approx(0.12)
    assert server.child("http").pid != http.pid


@pytest.mark.slow
def test_told_to_stop_it_finishes_what_it_speaks_and_leaves_nothing(start_server):
    server = start_server(FAKE_FAMILY_SECONDS_PER_STEP="0.005").wait_ready()
    children = server.descendants()
    assert len(children) >= 2
    with server.stream("x" * 300) as response:  # 1.5 s of work
        received = response.iter_raw()
        first = next(received)
        server.process.send_signal(signal.SIGTERM)
        whole = first + b"".join(received)
    assert len(whole) > 3.0 * 24_000 * 2
    assert server.process.wait(timeout=15) == 0
    assert not list(filter(is_alive, children))
    assert "Traceback" not in server.log_path.read_text()


@pytest.mark.slow
def test_a_killed_supervisor_takes_its_children_along(start_server):
    server = start_server()
    until(lambda: httpx.get(f"{server.url}/healthz", timeout=START_S).is_success)
    children = server.descendants()
    assert len(children) >= 2
    server.process.kill()
    until(lambda: not list(filter(is_alive, children)), timeout_s=10)


@pytest.mark.slow
def test_a_device_that_is_not_there_ends_the_server_with_the_reason(start_server):
    server = start_server(VOICECORE_DEVICE="cuda:7")
    assert server.process.wait(timeout=START_S) == 1
    log = server.log_path.read_text()
    assert "found the device 'cuda:7'" in log
    assert "the device process ended soon after its start" in log


def run_children(tmp_path: Path, *children: Child) -> None:
    asyncio.run(Supervisor(Settings(home=tmp_path), children).run())


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_crash_loop_ends_the_server_with_a_clear_message(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_RESTART_S", 0.001)
    monkeypatch.setattr(supervisor, "LAST_RESTART_S", 0.001)
    crashing = Child("crasher", python("raise SystemExit(3)"), stop_s=1)
    patient = Child("patient", python("import sys; sys.stdin.read()"), stop_s=5)
    with pytest.raises(CannotServe, match=r"the crasher ended .* 6 times in a row, .* with status 3"):
        run_children(tmp_path, crashing, patient)


def test_settings_reach_the_children_whole(tmp_path):
    """Also the API key, which is printed as stars elsewhere."""
    told = tmp_path / "told"
    code = f"""
import sys
from server import child
sys.argv.append(child.SUPERVISED)
settings = child.begin()
with open({str(told)!r}, "w") as file:
    file.write(f"{{settings.api_key.get_secret_value()}} {{settings.slots}} {{settings.preload}}")
sys.exit(child.EXIT_UNUSABLE)
"""
    settings = Settings(home=tmp_path, api_key="s3cret", slots=3, preload=("a", "b"))
    with pytest.raises(CannotServe):
        asyncio.run(Supervisor(settings, [Child("reader", python(code), stop_s=1)]).run())
    assert told.read_text() == "s3cret 3 ('a', 'b')"


def test_a_child_that_ignores_its_end_is_killed(tmp_path, monkeypatch):
    code = "import signal, os, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    started = time.monotonic()
    others = set(psutil.Process().children())

    async def scenario() -> None:
        stubborn = Child("stubborn", python(code), stop_s=0.2)
        running = asyncio.create_task(Supervisor(Settings(home=tmp_path), [stubborn]).run())
        while set(psutil.Process().children()) <= others:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # to ignore the signal it has to have started
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    asyncio.run(scenario())
    assert time.monotonic() - started < 10
    assert set(psutil.Process().children()) <= others


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "no.such.host.invalid"])
def test_other_addresses_need_a_key_or_consent(host):
    with pytest.raises(CannotServe, match="VOICECORE_API_KEY"):
        check_exposure(Settings(host=host))
    check_exposure(Settings(host=host, api_key="key"))
    check_exposure(Settings(host=host, allow_public_without_key=True))


def test_a_data_folder_has_one_server(tmp_path):
    with only_server(tmp_path):
        with pytest.raises(CannotServe, match="another server"), only_server(tmp_path):
            pass
    with only_server(tmp_path):
        pass


def test_a_taken_port_says_so():
    with closing(listen("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"can't listen on 127.0.0.1 port {port}"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_greeting_names_the_real_address(host):
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with closing(listen(host, 0)) as listener:
        port = listener.getsockname()[1]
        text = supervisor.greeting(Settings(host=host, port=0), listener, {"demo"})
    assert f"http://{'[::1]' if host == '::1' else host}:{port}/v1/audio/speech" in text


def test_the_greeting_suggests_what_will_work():
    settings = Settings(default_model="demo")
    with closing(listen("127.0.0.1", 0)) as listener:
        assert "voicecore submit" in supervisor.greeting(settings, listener, set())
        assert '"model": "demo"' in supervisor.greeting(settings, listener, {"anna", "demo"})
        assert '"model": "anna"' in supervisor.greeting(settings, listener, {"ben", "anna"})


def test_the_supervisor_stays_small():
    heavy = ("torch", "fastapi", "uvicorn", "numpy", "prometheus_client")
    code = f"import sys, server.supervisor; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_nobody_but_the_supervisor_is_needed_to_run_a_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["worker"])
    monkeypatch.setenv("VOICECORE_SLOTS", "5")
    assert child.begin().slots == 5
