"""Writes an XTTS submission in the official layout with random weights of a fixed seed.

    python -m benchmarks.random_xtts FOLDER [--size full|tiny] [--seed N]

The full size has every tensor of the published XTTS-v2 in its published shape (467 M values, 1.9 GB), so the
published implementation loads it too. What it says is noise, but it costs what speech costs. The checkpoint
holds its config as a pickled object, as official files do; the classes are stood in for while it is written.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

LANGUAGES = (
    "en",
    "es",
    "fr",
    "de",
    "it",
    "pt",
    "pl",
    "tr",
    "ru",
    "nl",
    "cs",
    "ar",
    "zh-cn",
    "hu",
    "ko",
    "ja",
    "hi",
)
STOP, UNKNOWN, SPACE, START = 0, 1, 2, 261  # text tokens, as in the published vocabularies
AUDIO_TOKENS = 1026
STOP_AUDIO = 1025
CLASSES = {
    "XttsConfig": "TTS.tts.configs.xtts_config",
    "XttsArgs": "TTS.tts.models.xtts",
    "XttsAudioConfig": "TTS.tts.models.xtts",
    "BaseDatasetConfig": "TTS.config.shared_configs",
}


@dataclass(frozen=True, slots=True)
class Size:
    layers: int
    channels: int
    heads: int
    text_tokens: int
    max_audio_tokens: int
    vocoder_channels: int  # of the first stage; every stage halves them
    encoder_blocks: tuple[int, ...]
    encoder_channels: tuple[int, ...]
    embedding_channels: int
    perceiver_latents: int
    stop_bias: float  # of the stop token's logit: how soon an utterance ends by itself


# Never stops by itself, so that max_tokens alone sets lengths.
FULL = Size(30, 1024, 16, 6681, 605, 512, (3, 4, 6, 3), (32, 64, 128, 256), 512, 32, stop_bias=-60.0)
# Stops by itself after a second or so. Small enough to serve hundreds of requests in a test.
TINY = Size(2, 64, 4, 700, 105, 32, (1, 1, 1, 1), (8, 8, 16, 16), 32, 32, stop_bias=2.5)
SIZES = {"full": FULL, "tiny": TINY}


def write_submission(folder: Path, size: Size = FULL, seed: int = 0) -> Path:
    """Write model.pth, config.json, vocab.json and audio.wav into `folder`; returns it."""
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = published_config(size)
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    (folder / "vocab.json").write_text(json.dumps(vocabulary(size.text_tokens)))
    soundfile.write(folder / "audio.wav", reference_recording(seed), 22_050, subtype="PCM_16")
    tensors = {name: tensor for name, tensor in state_dict(size, generator)}
    with stand_in_classes() as classes:
        torch.save({"config": pickled_config(config, classes), "model": tensors}, folder / "model.pth")
    return folder


def state_dict(size: Size, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) as the published checkpoints name them."""
    yield "mel_stats", torch.full((80,), 4.0)
    for name, shape in gpt_shapes(size):
        tensor = initial(name, shape, generator)
        if name == "mel_head.bias":
            tensor[STOP_AUDIO] = size.stop_bias
        yield "gpt." + name, tensor
    for name, shape in vocoder_shapes(size):
        yield from weight_normed("hifigan_decoder.waveform_decoder." + name, initial(name, shape, generator))
    prefix = "hifigan_decoder.speaker_encoder."
    for name, shape in speaker_encoder_shapes(size):
        yield prefix + name, initial(name, shape, generator)
    yield prefix + "torch_spec.0.filter", torch.tensor([[[-0.97, 1.0]]])
    yield prefix + "torch_spec.1.spectrogram.window", torch.hamming_window(400)
    yield prefix + "torch_spec.1.mel_scale.fb", mel_filterbank(257, 64, 16_000)


def gpt_shapes(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    channels, inner = size.channels, size.channels * 8 // 3
    yield from affine("conditioning_encoder.init", channels, 80, 1)
    for i in range(6):
        block = f"conditioning_encoder.attn.{i}."
        yield from affine(block + "norm", channels)
        yield from affine(block + "qkv", 3 * channels, channels, 1)
        yield from affine(block + "proj_out", channels, channels, 1)
    yield "text_embedding.weight", (size.text_tokens, channels)
    yield "mel_embedding.weight", (AUDIO_TOKENS, channels)
    for i in range(size.layers):
        block = f"gpt.h.{i}."
        yield from affine(block + "ln_1", channels)
        yield from conv1d(block + "attn.c_attn", channels, 3 * channels)
        yield from conv1d(block + "attn.c_proj", channels, channels)
        yield from affine(block + "ln_2", channels)
        yield from conv1d(block + "mlp.c_fc", channels, 4 * channels)
        yield from conv1d(block + "mlp.c_proj", 4 * channels, channels)
    yield from affine("gpt.ln_f", channels)
    yield "mel_pos_embedding.emb.weight", (size.max_audio_tokens + 3, channels)
    yield "text_pos_embedding.emb.weight", (404, channels)
    yield from affine("final_norm", channels)
    yield from affine("text_head", size.text_tokens, channels)
    yield from affine("mel_head", AUDIO_TOKENS, channels)
    yield "conditioning_perceiver.latents", (size.perceiver_latents, channels)
    for i in range(2):
        layer = f"conditioning_perceiver.layers.{i}."
        yield layer + "0.to_q.weight", (512, channels)
        yield layer + "0.to_kv.weight", (1024, channels)
        yield layer + "0.to_out.weight", (channels, 512)
        yield from affine(layer + "1.0", 2 * inner, channels)
        yield from affine(layer + "1.2", channels, inner)
    yield "conditioning_perceiver.norm.gamma", (channels,)


def vocoder_shapes(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    channels = size.vocoder_channels
    yield from affine("conv_pre", channels, size.channels, 7)
    yield from affine("cond_layer", channels, size.embedding_channels, 1)
    block = 0
    for stage, kernel in enumerate((16, 16, 4, 4)):
        channels //= 2
        yield f"ups.{stage}.weight", (2 * channels, channels, kernel)
        yield f"ups.{stage}.bias", (channels,)
        yield from affine(f"conds.{stage}", channels, size.embedding_channels, 1)
        for kernel in (3, 7, 11):
            for convolution in (f"convs{i}.{j}" for i in (1, 2) for j in range(3)):
                yield from affine(f"resblocks.{block}.{convolution}", channels, channels, kernel)
            block += 1
    yield "conv_post.weight", (1, channels, 7)


def speaker_encoder_shapes(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    channels = size.encoder_channels[0]
    yield from affine("conv1", channels, 1, 3, 3)
    yield from batch_norm("bn1", channels)
    for stage, (blocks, out_channels) in enumerate(
        zip(size.encoder_blocks, size.encoder_channels, strict=True)
    ):
        for i in range(blocks):
            block = f"layer{stage + 1}.{i}."
            yield block + "conv1.weight", (out_channels, channels, 3, 3)
            yield from batch_norm(block + "bn1", out_channels)
            yield block + "conv2.weight", (out_channels, out_channels, 3, 3)
            yield from batch_norm(block + "bn2", out_channels)
            yield from affine(block + "se.fc.0", out_channels // 8, out_channels)
            yield from affine(block + "se.fc.2", out_channels, out_channels // 8)
            if i == 0 and stage > 0:
                yield block + "downsample.0.weight", (out_channels, channels, 1, 1)
                yield from batch_norm(block + "downsample.1", out_channels)
            channels = out_channels
    features = channels * 8  # 64 mel bins, halved three times
    yield from affine("attention.0", 128, features, 1)
    yield from batch_norm("attention.2", 128)
    yield from affine("attention.3", features, 128, 1)
    yield from affine("fc", size.embedding_channels, 2 * features)


def affine(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".weight", shape
    yield name + ".bias", shape[:1]


def conv1d(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """GPT-2's linear layer, stored [in, out]."""
    yield name + ".weight", (inputs, outputs)
    yield name + ".bias", (outputs,)


def batch_norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from affine(name, channels)
    yield name + ".running_mean", (channels,)
    yield name + ".running_var", (channels,)
    yield name + ".num_batches_tracked", ()


def initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values that keep activations near unit size through any depth."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1000)
    if name.endswith(("running_var", "gamma")) or (name.endswith("weight") and len(shape) == 1):
        return torch.ones(shape)
    if len(shape) == 1:
        return 0.02 * torch.randn(shape, generator=generator)
    if "embedding" in name:
        return 0.3 * torch.randn(shape, generator=generator)
    fan_in = shape[0] if ".h." in name else math.prod(shape[1:])
    return torch.randn(shape, generator=generator) / math.sqrt(fan_in)


def weight_normed(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """As the parametrisation stores it: a norm per row of dimension 0, and the direction."""
    if (".ups." not in name and ".resblocks." not in name) or name.endswith("bias"):
        yield name, tensor
        return
    norm = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
    parametrised = name.replace(".weight", ".parametrizations.weight.original")
    yield parametrised + "0", norm
    yield parametrised + "1", tensor


def mel_filterbank(bins: int, mels: int, sample_rate_hz: int) -> Tensor:
    """Triangles on the HTK mel scale, [bins, mels], without normalisation."""

    def to_mel(hz: Tensor) -> Tensor:
        return 2595 * torch.log10(1 + hz / 700)

    frequencies = torch.linspace(0, sample_rate_hz / 2, bins)
    edges_mel = torch.linspace(0, float(to_mel(torch.tensor(sample_rate_hz / 2))), mels + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    rising = (frequencies[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def vocabulary(num_tokens: int) -> dict[str, Any]:
    """An HF tokenizers file in XTTS's format: BPE over characters, special tokens at XTTS's places."""
    specials = {
        "[STOP]": STOP,
        "[UNK]": UNKNOWN,
        "[SPACE]": SPACE,
        "[en]": 259,
        "[de]": 260,
        "[START]": START,
    }
    others = [language for language in LANGUAGES if f"[{language}]" not in specials]
    specials |= {f"[{language}]": START + 1 + i for i, language in enumerate(others)}
    taken = set(specials.values())
    free = iter([i for i in range(num_tokens) if i not in taken])
    common = "etaoinshrdlucmfwyp"
    letters = [chr(code) for code in (*range(33, 127), *range(0xC0, 0x180), *range(0x430, 0x450))]
    merges = [[first, second] for first in common[:9] for second in common[:9]]
    tokens = {token: next(free) for token in (*letters, *map("".join, merges))}
    tokens |= {f"<unused{i}>": i for i in free}
    tokens |= specials
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, i in sorted(specials.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": dict(sorted(tokens.items(), key=lambda item: item[1])),
            "merges": merges,
        },
    }


def published_config(size: Size) -> dict[str, Any]:
    """The keys of the published config.json that say anything about the model."""
    return {
        "model": "xtts",
        "run_name": "run",
        "lr": 0.001,
        "lr_scheduler_params": {},
        "speakers": [],
        "test_sentences": [],
        "audio": {"sample_rate": 22_050, "output_sample_rate": 24_000},
        "model_args": {
            "gpt_batch_size": 1,
            "kv_cache": True,
            "num_chars": 255,
            "tokenizer_file": "",
            "gpt_max_audio_tokens": size.max_audio_tokens,
            "gpt_max_text_tokens": 402,
            "gpt_max_prompt_tokens": 70,
            "gpt_layers": size.layers,
            "gpt_n_model_channels": size.channels,
            "gpt_n_heads": size.heads,
            "gpt_number_text_tokens": size.text_tokens,
            "gpt_start_text_token": None,
            "gpt_stop_text_token": None,
            "gpt_num_audio_tokens": AUDIO_TOKENS,
            "gpt_start_audio_token": 1024,
            "gpt_stop_audio_token": STOP_AUDIO,
            "gpt_code_stride_len": 1024,
            "gpt_use_masking_gt_prompt_approach": True,
            "gpt_use_perceiver_resampler": True,
            "input_sample_rate": 22_050,
            "output_sample_rate": 24_000,
            "output_hop_length": 256,
            "decoder_input_dim": size.channels,
            "d_vector_dim": size.embedding_channels,
            "cond_d_vector_in_each_upsampling_layer": True,
            "duration_const": 102_400,
        },
        "languages": list(LANGUAGES),
        "max_audio_len": math.inf,
        "max_text_len": math.inf,
        "datasets": [{"formatter": "", "dataset_name": "", "path": "", "language": ""}],
        "temperature": 0.75,
        "length_penalty": 1.0,
        "repetition_penalty": 5.0,
        "top_k": 50,
        "top_p": 0.85,
        "num_gpt_outputs": 1,
        "gpt_cond_len": 30,
        "gpt_cond_chunk_len": 4,
        "max_ref_len": 30,
        "sound_norm_refs": False,
    }


def reference_recording(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Six seconds of a voice-like buzz whose pitch and colour depend on the seed, 22.05 kHz."""
    generator = np.random.default_rng(seed)
    seconds = np.arange(6 * 22_050) / 22_050
    pitch_hz = generator.uniform(90, 250) * (1 + 0.05 * np.sin(2 * np.pi * generator.uniform(2, 4) * seconds))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 22_050
    colour = generator.uniform(0.2, 1.0, 12) / np.arange(1, 13)
    buzz = sum(level * np.sin(harmonic * phase) for harmonic, level in enumerate(colour, start=1))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 3.3 * seconds)
    noise = 0.01 * generator.standard_normal(len(seconds))
    return (0.5 * buzz * syllables / np.abs(buzz).max() + noise).astype(np.float32)


@contextmanager
def stand_in_classes(modules: Mapping[str, str] = CLASSES) -> Iterator[Mapping[str, type]]:
    """Empty classes at the published import paths, name → module, while the checkpoint is pickled."""
    before = dict(sys.modules)
    classes = {}
    for name, module in modules.items():
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
        classes[name] = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, classes[name])
    try:
        yield classes
    finally:
        for name in sys.modules.keys() - before.keys():
            del sys.modules[name]


def pickled_config(config: Mapping[str, Any], classes: Mapping[str, type]) -> Any:
    """The config as the object tree that official checkpoints hold."""

    def build(name: str, fields: Mapping[str, Any]) -> Any:
        value = classes[name]()
        value.__dict__.update(fields)
        return value

    parts = {
        "audio": build("XttsAudioConfig", config["audio"]),
        "model_args": build("XttsArgs", config["model_args"]),
        "datasets": [build("BaseDatasetConfig", dataset) for dataset in config["datasets"]],
    }
    return build("XttsConfig", {**config, **parts})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(write_submission(options.folder, SIZES[options.size], options.seed))


if __name__ == "__main__":
    main()
