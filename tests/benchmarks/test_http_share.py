"""What HTTP costs, measured of a real HTTP process for a second or so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.http_share import ROWS, TOKEN_SAMPLES, main, sound
from server.scheduling.scheduler import Policy


def test_every_listener_hears_whole_answers_from_the_real_server(tmp_path):
    output = tmp_path / "figures.jsonl"
    options = "--listeners 3 --tokens 20 --seconds 3 --format pcm mp3".split()
    main([*options, f"--output={output}"])
    pcm, mp3 = (json.loads(line) for line in output.read_text().splitlines())
    for figures in (pcm, mp3):
        assert figures.keys() >= ROWS.keys()
        assert figures["requests"] >= 3  # one of each listener at least, of a second each
        assert 0 < figures["first_byte_ms_p50"] <= figures["first_byte_ms_p95"]
    assert mp3["threads_share"] > pcm["threads_share"]


@pytest.mark.parametrize("num_tokens", [1, 8, 215])
def test_sound_comes_in_the_chunks_of_the_policy(num_tokens):
    chunks = [np.frombuffer(chunk, np.float32) for chunk in sound(num_tokens)]
    assert sum(map(len, chunks)) == num_tokens * TOKEN_SAMPLES
    tokens = [len(chunk) // TOKEN_SAMPLES for chunk in chunks]
    assert tokens[:-1] == [*Policy().chunk_tokens, Policy().chunk_tokens[-1]][: len(tokens) - 1]
