"""Writes a GPT-SoVITS submission in the official layout with random weights of a fixed seed.

    python -m benchmarks.random_gpt_sovits FOLDER [--variant v2Pro] [--size full|tiny] [--seed N]

The full size has every tensor of the published variant in its published shape, and both files are as the
published training saves them: half precision, weight norm in two parts, the config as a pickled
`utils.HParams`, and two digits over the first bytes of a v2Pro file. What it says is noise, but it costs what
speech costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from benchmarks.random_xtts import initial, reference_recording, stand_in_classes
from models_store.checkpoints.architecture import HifiganArchitecture
from models_store.checkpoints.gpt_sovits_architecture import (
    FlowArchitecture,
    GptSovitsArchitecture,
    PriorEncoderArchitecture,
    StyleEncoderArchitecture,
    TextToSemanticArchitecture,
)
from models_store.checkpoints.gpt_sovits_config import (
    HOP,
    RESBLOCK_DILATIONS,
    SAMPLE_RATE_HZ,
    UPSAMPLE_STRIDES,
    WINDOW,
)
from models_store.checkpoints.gpt_sovits_tensors import TOKEN_RATE_HZ, sovits_shapes, text_to_semantic_shapes
from models_store.checkpoints.gpt_sovits_variants import SYMBOLS, VARIANTS
from models_store.checkpoints.shapes import Shape

MAX_AUDIO_S = 54  # as published
REFERENCE_TEXT = "The birch canoe slid on the smooth planks."
NORMED = (".ups.", ".resblocks.", ".in_layers.", ".res_skip_layers.", ".cond_layer.")
# Of the variants that differ from v2: gin_channels, upsample_initial_channel.
STYLE_CHANNELS = {"v2Pro": 1024, "v2ProPlus": 1024}
VOCODER_CHANNELS = {"v2ProPlus": 768}


def full_architecture(variant_name: str) -> GptSovitsArchitecture:
    """The published sizes of a variant."""
    variant = next(variant for variant in VARIANTS if variant.name == variant_name)
    symbols = SYMBOLS[variant.symbols]
    style_channels = STYLE_CHANNELS.get(variant.name, 512)
    return GptSovitsArchitecture(
        variant=variant.name,
        symbols=variant.symbols,
        text_to_semantic=TextToSemanticArchitecture(24, 512, 16, 2048, symbols.gpt_rows, 1024, 1025, 1024),
        ssl_channels=768,
        codebook_tokens=1024,
        prior=PriorEncoderArchitecture(
            channels=192,
            feed_forward_channels=768,
            feed_forward_kernel=3,
            heads=2,
            window=4,
            ssl_layers=3,
            text_layers=6,
            fused_layers=3,
            phonemes=symbols.sovits_rows,
            mrte_channels=512,
            mrte_heads=4,
        ),
        flow=FlowArchitecture(channels=192, hidden_channels=192, couplings=4, layers=4, kernel=5),
        style=StyleEncoderArchitecture(variant.spectrogram_bins, 128, 2, 5, style_channels),
        vocoder=HifiganArchitecture(
            in_channels=192,
            initial_channels=VOCODER_CHANNELS.get(variant.name, 512),
            upsample_strides=UPSAMPLE_STRIDES,
            upsample_kernels=(variant.first_upsample_kernel, 16, 8, 2, 2),
            resblock_kernels=(3, 7, 11),
            resblock_dilations=RESBLOCK_DILATIONS,
            speaker_channels=style_channels,
        ),
        speaker_vector_channels=20480 if variant.has_speaker_vector else None,
        sample_rate_hz=SAMPLE_RATE_HZ,
        token_rate_hz=TOKEN_RATE_HZ,
        spectrogram_window=WINDOW,
        spectrogram_hop=HOP,
    )


def tiny_architecture(variant_name: str) -> GptSovitsArchitecture:
    """Small enough to serve hundreds of requests in a test, with the encoders that it needs full-size."""
    full = full_architecture(variant_name)
    style_channels = 32
    return replace(
        full,
        text_to_semantic=replace(
            full.text_to_semantic, layers=2, channels=32, heads=2, feed_forward_channels=128
        ),
        prior=replace(
            full.prior,
            channels=32,
            feed_forward_channels=32,
            ssl_layers=1,
            text_layers=2,
            fused_layers=1,
            mrte_channels=64 if full.speaker_vector_channels else style_channels,
        ),
        flow=replace(full.flow, channels=16, hidden_channels=32),
        style=replace(full.style, channels=32, style_channels=style_channels),
        vocoder=replace(full.vocoder, in_channels=16, initial_channels=32, speaker_channels=style_channels),
    )


ARCHITECTURES = {"full": full_architecture, "tiny": tiny_architecture}


def write_submission(
    folder: Path, architecture: GptSovitsArchitecture, seed: int = 0, max_audio_s: int = MAX_AUDIO_S
) -> Path:
    """Write sovits.pth, gpt.ckpt, config.json and reference.wav into `folder`; returns it.

    An utterance rarely stops by itself: `max_audio_s` says how long it is.
    """
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"refFile": "reference.wav", "refText": REFERENCE_TEXT}
    (folder / "config.json").write_text(json.dumps(config))
    soundfile.write(folder / "reference.wav", reference_recording(seed), 22_050, subtype="PCM_16")
    save_sovits(folder / "sovits.pth", sovits_state(architecture, generator), architecture)
    state = gpt_state(architecture.text_to_semantic, generator)
    save_gpt(folder / "gpt.ckpt", state, architecture, max_audio_s)
    return folder


def gpt_state(architecture: TextToSemanticArchitecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors by their published names, in half precision."""
    state = {
        f"model.{name}": tensor for name, tensor in _random(text_to_semantic_shapes(architecture), generator)
    }
    # Its logit is always zero, far below the best ones: an utterance doesn't stop by itself.
    state["model.ar_predict_layer.weight"][architecture.stop_audio_token] = 0
    return state


def sovits_state(architecture: GptSovitsArchitecture, generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors by their published names, in half precision, with weight norm in two parts."""
    state: dict[str, Tensor] = {}
    for name, tensor in _random(sovits_shapes(architecture), generator):
        if name.endswith(".weight") and any(part in name for part in NORMED):
            state[f"{name}_g"] = tensor.float().flatten(1).norm(dim=1).view(-1, 1, 1).half()
            state[f"{name}_v"] = tensor
        else:
            state[name] = tensor
    codebook = "quantizer.vq.layers.0._codebook."
    state[f"{codebook}inited"] = torch.ones(1).half()
    state[f"{codebook}cluster_size"] = torch.ones(architecture.codebook_tokens).half()
    state[f"{codebook}embed_avg"] = state[f"{codebook}embed"].clone()
    return state


def _random(shapes: Mapping[str, Shape], generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    for name, shape in shapes.items():
        tensor = torch.ones(shape) if name.endswith("alpha") else initial(name, shape, generator)
        yield name, tensor.half()


def save_gpt(
    path: Path,
    state: Mapping[str, Tensor],
    architecture: GptSovitsArchitecture,
    max_audio_s: int = MAX_AUDIO_S,
) -> None:
    """gpt.ckpt as the published training saves it."""
    config = gpt_config(architecture, max_audio_s)
    torch.save({"weight": dict(state), "config": config, "info": "GPT-e15"}, path)


def save_sovits(path: Path, state: Mapping[str, Tensor], architecture: GptSovitsArchitecture) -> None:
    """sovits.pth as the published training saves it."""
    with stand_in_classes({"HParams": "utils"}) as classes:
        config = pickled_config(sovits_config(architecture), classes["HParams"])
        torch.save({"weight": dict(state), "config": config, "info": "8epoch_216iteration"}, path)
    variant = next(variant for variant in VARIANTS if variant.name == architecture.variant)
    if variant.headers[0]:
        with path.open("r+b") as file:
            file.write(variant.headers[0].encode())


def pickled_config(config: Mapping[str, Any], hparams: type) -> Any:
    """Objects within objects, as training builds them of its JSON."""
    value = hparams()
    for key, item in config.items():
        setattr(value, key, pickled_config(item, hparams) if isinstance(item, Mapping) else item)
    return value


def gpt_config(architecture: GptSovitsArchitecture, max_audio_s: int = MAX_AUDIO_S) -> dict[str, Any]:
    """The keys of the published config that say anything about the model."""
    sizes = architecture.text_to_semantic
    return {
        "train": {"seed": 1234, "precision": "16-mixed", "exp_name": "random"},
        "data": {"max_sec": max_audio_s, "pad_val": sizes.stop_audio_token},
        "model": {
            "vocab_size": sizes.audio_tokens,
            "phoneme_vocab_size": sizes.phonemes,
            "embedding_dim": sizes.channels,
            "hidden_dim": sizes.channels,
            "head": sizes.heads,
            "linear_units": sizes.feed_forward_channels,
            "n_layer": sizes.layers,
            "dropout": 0,
            "EOS": sizes.stop_audio_token,
        },
        "inference": {"top_k": 5},
    }


def sovits_config(architecture: GptSovitsArchitecture) -> dict[str, Any]:
    """The keys of the published config that say anything about the model."""
    vocoder = architecture.vocoder
    return {
        "train": {"seed": 1234, "segment_size": 20480, "betas": [0.8, 0.99]},
        "data": {
            "sampling_rate": architecture.sample_rate_hz,
            "filter_length": architecture.spectrogram_window,
            "win_length": architecture.spectrogram_window,
            "hop_length": architecture.spectrogram_hop,
            "n_mel_channels": 128,
        },
        "model": {
            "inter_channels": architecture.flow.channels,
            "hidden_channels": architecture.prior.channels,
            "filter_channels": architecture.prior.feed_forward_channels,
            "n_heads": architecture.prior.heads,
            "n_layers": architecture.prior.text_layers,
            "kernel_size": architecture.prior.feed_forward_kernel,
            "resblock": "1",
            "resblock_kernel_sizes": list(vocoder.resblock_kernels),
            "resblock_dilation_sizes": [list(dilations) for dilations in vocoder.resblock_dilations],
            "upsample_rates": list(vocoder.upsample_strides),
            "upsample_initial_channel": vocoder.initial_channels,
            "upsample_kernel_sizes": list(vocoder.upsample_kernels),
            "gin_channels": architecture.style.style_channels,
            "semantic_frame_rate": "25hz",
            "freeze_quantizer": True,
            "version": architecture.variant,
        },
        "content_module": "cnhubert",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", choices=[variant.name for variant in VARIANTS], default="v2Pro")
    parser.add_argument("--size", choices=ARCHITECTURES, default="full")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(write_submission(options.folder, ARCHITECTURES[options.size](options.variant), options.seed))


if __name__ == "__main__":
    main()
