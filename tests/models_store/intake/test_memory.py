"""A full-size trainer checkpoint is converted in the memory of its largest tensor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_store.checkpoints.xtts_config import PublishedConfig
from models_store.checkpoints.xtts_tensors import expected_shapes, read_architecture
from models_store.sandbox import ResourceLimits, run_confined

TEXT_TOKENS = 6681
PUBLISHED = {"gpt_layers": 30, "gpt_n_model_channels": 1024, "gpt_n_heads": 16}


def is_weight_normed(name: str) -> bool:
    return name.endswith(".weight") and (".ups." in name or ".resblocks." in name)


class Trainer:
    """What a trainer saves, as storages of zeros that are holes in the file."""

    def __init__(self, fake_tensor: Callable[..., Any]) -> None:
        self.storages: dict[str, bytes | int] = {}
        self._fake_tensor = fake_tensor

    def tensor(self, shape: tuple[int, ...], content: bytes | None = None) -> Any:
        key = str(len(self.storages))
        self.storages[key] = 4 * int(np.prod(shape)) if content is None else content
        return self._fake_tensor(key, shape)

    def checkpoint(self) -> dict[str, Any]:
        config = PublishedConfig({f"model_args.{key}": value for key, value in PUBLISHED.items()}, ())
        shapes = expected_shapes(read_architecture({}, config), TEXT_TOKENS)
        model: dict[str, Any] = {}
        for name, shape in shapes.items():
            if is_weight_normed(name):  # a direction of zeros would be no direction
                parts = f"xtts.{name.removesuffix('weight')}parametrizations.weight.original"
                model[f"{parts}0"] = self.tensor((shape[0], 1, 1))
                model[f"{parts}1"] = self.tensor(shape, np.ones(shape, np.float32).tobytes())
            else:
                model[f"xtts.{name}"] = self.tensor(shape)
        model |= {f"dvae.encoder.{i}.weight": self.tensor((1024, 1024, 3)) for i in range(16)}
        trained = [shape for name, shape in shapes.items() if name.startswith("gpt.")]
        state = {
            i: {"step": 1.0, "exp_avg": self.tensor(shape), "exp_avg_sq": self.tensor(shape)}
            for i, shape in enumerate(trained)
        }
        return {"model": model, "optimizer": [{"state": state, "param_groups": []}], "step": 100_000}


@pytest.mark.slow
def test_trainer_checkpoint_of_full_size_takes_little_memory(
    tmp_path: Path,
    fake_tensor: Callable[..., Any],
    write_checkpoint: Callable[..., Path],
    tiny_config: dict[str, Any],
    golden_folder: Path,
) -> None:
    trainer = Trainer(fake_tensor)
    value = trainer.checkpoint()
    path = write_checkpoint(tmp_path / "model.pth", value, trainer.storages)
    assert 5.3e9 < path.stat().st_size < 5.7e9
    assert path.stat().st_blocks * 512 < 200e6  # or else the holes were lost
    tiny_config["model_args"] |= {**PUBLISHED, "decoder_input_dim": 1024, "d_vector_dim": 512}
    (tmp_path / "config.json").write_text(json.dumps(tiny_config))
    outputs = {name: tmp_path / name for name in ("weights", "config_out", "vocabulary_out")}
    vocabulary = json.loads((golden_folder / "vocab.json").read_text())
    vocabulary["model"]["vocab"]["<last>"] = TEXT_TOKENS - 1
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    outcome = run_confined(
        "models_store.checkpoints.xtts:convert",
        inputs={"model": path, "config": tmp_path / "config.json", "vocabulary": tmp_path / "vocab.json"},
        outputs=outputs,
        arguments={"max_weights_bytes": 8 << 30},
        limits=ResourceLimits(memory_bytes=2 << 30, cpu_s=300, file_bytes=8 << 30, timeout_s=300.0),
    )
    assert outcome.result["problems"] == []
    assert outputs["weights"].stat().st_size == pytest.approx(4 * 460_042_936, rel=1e-4)
    assert outcome.peak_rss_bytes < 200e6  # measured: 76e6, half of it Python and its libraries
    outputs["weights"].unlink()
