"""Random base models cost what the published ones do: their tensors have the published shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.random_base_models import eres2netv2_shapes

CLASSIFIER = "seg_1."  # behind the pooling: nobody uses it


def test_the_speaker_network_has_the_published_shapes(gpt_sovits_golden_folder: Path) -> None:
    with np.load(gpt_sovits_golden_folder / "sv_sparse.npz") as stored:
        published = {
            name.removeprefix("shape|"): tuple(map(int, stored[name]))
            for name in stored.files
            if name.startswith("shape|")
        }
    used = {name: shape for name, shape in published.items() if not name.startswith(CLASSIFIER)}
    assert eres2netv2_shapes() == used
