"""The measures that only a GPU gives figures for run to their ends under a device's rules."""

from __future__ import annotations

import json

import pytest

from benchmarks import goals
from tests.simulated_cuda import simulated


@pytest.mark.slow
def test_every_measure_runs_on_a_device(tmp_path, monkeypatch):
    # Interpreted kernels take seconds for each step, and bfloat16 comes out wrong of the interpreter.
    monkeypatch.setattr("providers.decoding.backend._problem_with_kernels", lambda spec, device: "slow")
    monkeypatch.setattr(goals.Bench, "dtype", "float32")
    monkeypatch.setattr(goals, "MOST_RESIDENT", {"cuda": 2})
    measures = sorted(goals.MEASURES.keys() - {"decode_step"})  # that one also takes fp8, of the kernels only
    output = tmp_path / "figures.jsonl"
    options = ["--device=cuda:0", "--size=tiny", "--streams=1", f"--home={tmp_path}", f"--output={output}"]
    with simulated():
        goals.main([*measures, *options])
    figures = [json.loads(line) for line in output.read_text().splitlines()]
    assert {figure["measure"] for figure in figures} == {*measures}
