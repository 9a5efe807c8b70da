from __future__ import annotations

import random
import socket
import threading

import psutil
import pytest

from benchmarks.load.adapters import Target
from benchmarks.load.memory import Sample, Sampling, growth, reader, server_process


def samples(megabytes, every_s: float = 10.0) -> list[Sample]:
    return [Sample(position * every_s, {"resident": 1e6 * value}) for position, value in enumerate(megabytes)]


def test_growth_is_the_slope_after_the_warm_up():
    """Warms up by 500 MB, then grows by 3 MB per hour."""
    warming = [500.0 * position / 50 for position in range(50)]
    growing = [500.0 + 3.0 * position * 10 / 3600 for position in range(150)]
    found = growth(samples(warming + growing), "resident")
    assert found.mb_per_h == pytest.approx(3.0)
    assert found.verdict == "grows"


@pytest.mark.parametrize(
    ("slope", "noise", "verdict"),
    [(0.0, 0.0, "steady"), (0.2, 0.05, "steady"), (9.0, 0.05, "grows"), (1.0, 5.0, "unclear")],
)
def test_the_verdict_needs_the_whole_interval(slope: float, noise: float, verdict: str):
    dice = random.Random(3)
    megabytes = [800 + slope * position * 10 / 3600 + dice.gauss(0, noise) for position in range(360)]
    found = growth(samples(megabytes), "resident")
    assert found.verdict == verdict
    assert found.low <= found.mb_per_h <= found.high
    assert found.low <= slope <= found.high or noise == 0


def test_one_jump_is_no_slope():
    found = growth(samples([800.0] * 150 + [812.0] * 50), "resident")
    assert found.mb_per_h == 0


def test_too_little_is_not_judged():
    assert growth(samples([1.0] * 9), "resident") is None
    assert growth(samples([1.0] * 100), "device") is None


def test_the_process_that_listens_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        found = server_process(url)
    assert found == psutil.Process()
    assert server_process("http://192.0.2.1:80/") is None
    assert server_process("http://127.0.0.1:9/") is None


def test_a_server_is_read_from_outside_and_by_its_own_figures(stand_in):
    read = reader(Target("stand-in", "voicecore", f"{stand_in.url}/"))
    found = read()
    assert found["all processes"] > 1e6
    assert found["processes"] >= 1
    assert found["device process"] == 5e6
    assert "other" not in found


def test_sampling_reads_until_it_is_over():
    read_thrice = threading.Event()
    count = 0

    def read() -> dict[str, float]:
        nonlocal count
        count += 1
        if count == 3:
            read_thrice.set()
        return {"resident": float(count)}

    with Sampling(read, every_s=0.001) as sampling:
        assert read_thrice.wait(30)
    taken = len(sampling.samples)
    assert [sample.bytes["resident"] for sample in sampling.samples] == list(range(1, taken + 1))
    assert len(sampling.samples) == taken
