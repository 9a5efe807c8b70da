"""Writes base models in their published layouts with random weights of a fixed seed.

What they hear is noise, but hearing it costs what it costs with the published ones: HuBERT base and
ERes2NetV2 have every tensor that is used in its published shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.random_xtts import initial
from models_store.checkpoints.shapes import Shape

HUBERT_LAYERS = 12
SPEAKER_FILE = "pretrained_eres2netv2w24s4ep4.ckpt"
# Of ERes2NetV2's four stages: residual blocks, and channels before these are widened fourfold.
STAGE_BLOCKS = (3, 4, 6, 3)
STAGE_CHANNELS = (64, 128, 256, 512)
EXPANSION, PARTS = 4, 4
FIRST_FUSING_STAGE = 3
NUM_MELS = 80


def write_hubert(folder: Path, layers: int = HUBERT_LAYERS) -> Path:
    """config.json, preprocessor_config.json and half-precision weights, of 768 channels; returns `folder`."""
    import transformers

    torch.manual_seed(0)
    config = transformers.HubertConfig(
        num_hidden_layers=layers,
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=3072,
        feat_extract_norm="group",
        do_stable_layer_norm=False,
    )
    config.save_pretrained(folder)
    model: Any = transformers.HubertModel(config)
    save_file(model.half().state_dict(), folder / "model.safetensors", {"format": "pt"})
    preprocessor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def write_eres2netv2(folder: Path) -> Path:
    """The one checkpoint; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for name, shape in eres2netv2_shapes().items():
        state[name] = initial(name, shape, generator)
    torch.save(state, folder / SPEAKER_FILE)
    return folder


def eres2netv2_shapes() -> Mapping[str, Shape]:
    """By published name, but for the classifier behind the pooling, which nobody uses."""
    shapes: dict[str, Shape] = {"conv1.weight": (64, 1, 3, 3), **_norm("bn1", 64)}
    channels = 64
    for stage, (blocks, narrow) in enumerate(zip(STAGE_BLOCKS, STAGE_CHANNELS, strict=True), start=1):
        for block in range(blocks):
            shapes |= _block(f"layer{stage}.{block}", stage, channels, narrow, has_shortcut=block == 0)
            channels = narrow * EXPANSION
    shapes["layer3_ds.weight"] = (channels, channels // 2, 3, 3)
    return shapes | _fusion("fuse34", channels)


def _block(name: str, stage: int, channels: int, narrow: int, has_shortcut: bool) -> dict[str, Shape]:
    width, wide = narrow * 24 // 64, narrow * EXPANSION
    shapes = {f"{name}.conv1.weight": (PARTS * width, channels, 1, 1), **_norm(f"{name}.bn1", PARTS * width)}
    for part in range(PARTS):
        shapes[f"{name}.convs.{part}.weight"] = (width, width, 3, 3)
        shapes |= _norm(f"{name}.bns.{part}", width)
        if part > 0 and stage >= FIRST_FUSING_STAGE:
            shapes |= _fusion(f"{name}.fuse_models.{part - 1}", width)
    shapes[f"{name}.conv3.weight"] = (wide, PARTS * width, 1, 1)
    shapes |= _norm(f"{name}.bn3", wide)
    if has_shortcut:
        shapes[f"{name}.shortcut.0.weight"] = (wide, channels, 1, 1)
        shapes |= _norm(f"{name}.shortcut.1", wide)
    return shapes


def _fusion(name: str, channels: int) -> dict[str, Shape]:
    hidden, layer = channels // 4, f"{name}.local_att"
    return {
        f"{layer}.0.weight": (hidden, 2 * channels, 1, 1),
        f"{layer}.0.bias": (hidden,),
        **_norm(f"{layer}.1", hidden),
        f"{layer}.3.weight": (channels, hidden, 1, 1),
        f"{layer}.3.bias": (channels,),
        **_norm(f"{layer}.4", channels),
    }


def _norm(name: str, channels: int) -> dict[str, Shape]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in parts}, f"{name}.num_batches_tracked": ()}
