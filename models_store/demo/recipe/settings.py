"""How large and how long: one row per machine that the recipe was made for. And checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Size:
    shards: int  # of the corpus, 0.47 h of speech each
    channels: int  # of the GPT
    layers: int
    gpt_batch: int  # positions of text and speech a step
    gpt_steps: int
    gpt_learning_rate: float
    vocoder_channels: int
    vocoder_batch: int  # crops of 0.45 s a step
    vocoder_steps: int
    vocoder_latent_steps: int  # after them, on the GPT's latents
    vocoder_learning_rate: float


SIZES = {
    # Every step within minutes; says nothing.
    "tiny": Size(6, 192, 4, 1024, 20, 1e-3, 32, 2, 10, 10, 1e-3),
    "cpu": Size(56, 256, 6, 3072, 9500, 1.5e-3, 128, 16, 4500, 2600, 1.5e-3),
    "gpu": Size(180, 384, 8, 32_768, 24_000, 1.5e-3, 192, 64, 60_000, 20_000, 5e-4),
}


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save_checkpoint(path: Path, step: int, **parts: Any) -> None:
    """All of it or nothing: a run may be stopped at any moment."""
    partial = path.with_suffix(".partial")
    torch.save({"step": step} | {name: part.state_dict() for name, part in parts.items()}, partial)
    partial.rename(path)


def load_checkpoint(path: Path, **parts: Any) -> int:
    """The step it was written at; 0 without one."""
    if not path.exists():
        return 0
    checkpoint = torch.load(path, map_location=device(), weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(checkpoint[name])
    return int(checkpoint["step"])
