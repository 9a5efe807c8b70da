"""An HTTP process as the supervisor starts it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import time

import httpx
import psutil
import pytest

from server.http.process import clear_metrics, metrics_folder
from server.settings import Settings

PROGRAM = """
    import json, socket, sys
    from pathlib import Path
    from server.http.process import serve_http
    from server.settings import Settings

    if __name__ == "__main__":
        settings = Settings(**json.loads(sys.argv[1]))
        listening = socket.socket(fileno=int(sys.argv[2]))
        serve_http(settings, listening, settings.home_path / "worker.sock")
"""


@pytest.fixture
def start(tmp_path):
    """Starts HTTP processes on one socket, without a device process; ends them with SIGTERM."""
    started = []
    listening = socket.create_server(("127.0.0.1", 0))

    def start(count: int, **settings):
        values = {"home": str(tmp_path / "home"), "http_processes": count} | settings
        arguments = (json.dumps(values), str(listening.fileno()))
        for _ in range(count):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments],
                    pass_fds=[listening.fileno()],
                )
            )
        return f"http://127.0.0.1:{listening.getsockname()[1]}", started

    with listening:
        yield start
        for process in started:
            process.terminate()
        assert [process.wait(20) for process in started] == [0] * len(started), "an orderly end"


def wait_until_alive(url: str, processes: list[subprocess.Popen]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"{url}/healthz", trust_env=False, timeout=1).status_code == 200
        except httpx.TransportError:
            assert time.monotonic() < until
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        else:
            return


def test_it_is_alive_without_a_device_process_and_never_loads_torch(start):
    url, processes = start(1)
    wait_until_alive(url, processes)
    with httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/readyz").json()["worker"] == "down"
        assert http.get("/v1/models").json()["data"] == []
        assert "voicecore_worker_up 0.0" in http.get("/metrics").text
    family = [psutil.Process(processes[0].pid), *psutil.Process(processes[0].pid).children(recursive=True)]
    assert len(family) >= 2, "it has its text process"
    assert not any("libtorch" in mapped.path for process in family for mapped in process.memory_maps())


def test_several_processes_count_together(start, tmp_path):
    url, processes = start(2, text_processes=1)
    wait_until_alive(url, processes)
    counting: set[str] = set()
    for asked in range(1, 400):
        assert httpx.get(f"{url}/v1/models/nobody", trust_env=False).status_code == 404
        text = httpx.get(f"{url}/metrics", trust_env=False).text
        line = 'voicecore_http_requests_total{method="GET",route="/v1/models/{name_or_id}",status="404"} '
        counted = float(text.split(line)[1].split("\n")[0])
        assert counted == asked, "whichever process was asked"
        folder = metrics_folder(Settings(home=tmp_path / "home"))
        counting = {name.split("_")[-1] for name in os.listdir(folder) if name.startswith("counter")}
        if asked >= 10 and len(counting) == 2:
            break
    assert len(counting) == 2, "both took part"


def test_metrics_of_an_earlier_server_are_forgotten(tmp_path):
    settings = Settings(home=tmp_path)
    folder = metrics_folder(settings)
    folder.mkdir(parents=True)
    (folder / "counter_1.db").write_bytes(b"x")
    clear_metrics(settings)
    assert not folder.exists()
    clear_metrics(settings)
