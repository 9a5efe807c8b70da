"""What GPT-SoVITS's checkpoints state beside their tensors: the config in sovits.pth and that in gpt.ckpt.

Only what no tensor tells is taken from there. The published code builds its modules from these values, so a
missing one is a problem here too, and what it must be is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from models_store.checkpoints.config_values import Config, Key, read_keys, shown_value
from models_store.checkpoints.findings import Findings

# The published code takes any, and was only ever trained with these.
SAMPLE_RATE_HZ = 32_000
WINDOW = 2048
HOP = 640
UPSAMPLE_STRIDES = (10, 8, 2, 2, 2)
RESBLOCK_DILATIONS = ((1, 3, 5),) * 3

SOVITS_KEYS = (
    Key("data.sampling_rate", int, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ),
    Key("data.filter_length", int, WINDOW, WINDOW, WINDOW),
    Key("data.win_length", int, WINDOW, WINDOW, WINDOW),
    Key("data.hop_length", int, HOP, HOP, HOP),
    Key("model.n_heads", int, 1, 64, 2),
    Key("model.hidden_channels", int, 8, 4096, 192),
    Key("model.inter_channels", int, 2, 4096, 192),
    Key("model.filter_channels", int, 1, 1 << 16, 768),
    Key("model.gin_channels", int, 1, 1 << 16, 512),
    Key("model.upsample_initial_channel", int, 1, 1 << 16, 512),
)
GPT_KEYS = (
    Key("model.n_layer", int, 1, 256, 24),
    Key("model.hidden_dim", int, 8, 16_384, 512),
    Key("model.embedding_dim", int, 8, 16_384, 512),
    Key("model.head", int, 1, 256, 16),
    Key("model.vocab_size", int, 2, 1 << 20, 1025),
    Key("model.phoneme_vocab_size", int, 1, 1 << 20, 732),
    Key("model.EOS", int, 1, 1 << 20, 1024),
    Key("data.max_sec", float, 0.1, 3_600.0, 54),
)
MAX_STAGES = 16
MAX_STEP = 64  # of a stride or a dilation


@dataclass(frozen=True, slots=True)
class GptConfig:
    """The sound ones of `GPT_KEYS`."""

    values: Mapping[str, Any]

    def get(self, path: str) -> int | None:
        return self.values.get(path)

    @property
    def max_audio_s(self) -> float:
        return float(self.values["data.max_sec"])


@dataclass(frozen=True, slots=True)
class SovitsConfig:
    """The sound ones of `SOVITS_KEYS`, and what no single number is; the published model's where unsound."""

    values: Mapping[str, Any]
    upsample_strides: tuple[int, ...] = UPSAMPLE_STRIDES
    resblock_dilations: tuple[tuple[int, ...], ...] = RESBLOCK_DILATIONS

    @property
    def heads(self) -> int:
        heads: int = self.values.get("model.n_heads", 2)
        return heads


def read_gpt_config(file: str, checkpoint: Any, findings: Findings) -> GptConfig:
    """`checkpoint`: what was saved, of any type."""
    document = _config_of(file, checkpoint, findings)
    return GptConfig(read_keys(Config(file, "GPT-SoVITS", document), GPT_KEYS, findings) if document else {})


def read_sovits_config(file: str, checkpoint: Any, findings: Findings) -> SovitsConfig:
    """`checkpoint`: what was saved, of any type; its config is a pickled utils.HParams or a dict."""
    document = _config_of(file, checkpoint, findings)
    if not document:
        return SovitsConfig({})
    values = read_keys(Config(file, "GPT-SoVITS", document), SOVITS_KEYS, findings)
    model = document.get("model")
    stated: dict[Any, Any] = model if isinstance(model, dict) else {}
    resblock = stated.get("resblock", "1")
    if resblock != "1":
        _refuse(file, f"model.resblock = {shown_value(resblock)}", 'the residual blocks "1"', findings)
    strides = stated.get("upsample_rates")
    if not _is_steps(strides):
        _refuse(file, f"model.upsample_rates = {shown_value(strides)}", "a list of whole numbers", findings)
        strides = UPSAMPLE_STRIDES
    dilations = stated.get("resblock_dilation_sizes")
    if not (
        isinstance(dilations, list) and 0 < len(dilations) <= MAX_STAGES and all(map(_is_steps, dilations))
    ):
        found = f"model.resblock_dilation_sizes = {shown_value(dilations)}"
        _refuse(file, found, "a list of lists of whole numbers", findings)
        dilations = RESBLOCK_DILATIONS
    return SovitsConfig(values, tuple(strides), tuple(map(tuple, dilations)))


def _config_of(file: str, checkpoint: Any, findings: Findings) -> dict[Any, Any]:
    config = checkpoint.get("config") if isinstance(checkpoint, dict) else None
    if isinstance(config, dict) and config:
        return config
    found = "no config" if config is None else f"a config of type {type(config).__name__}"
    _refuse(file, found, "the config that training saves beside the weights", findings)
    return {}


def _is_steps(value: Any) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_STAGES
        and all(type(step) is int and 1 <= step <= MAX_STEP for step in value)
    )


def _refuse(file: str, found: str, expected: str, findings: Findings) -> None:
    remedy = "Upload the file that GPT-SoVITS's training wrote, unchanged."
    findings.refuse("BadConfig", file, found, expected, remedy)
