"""Trained parts → submissions in the official XTTS layout: the same fp16 weights, a recording per speaker."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from models_store.demo.recipe.gpt import (
    AUDIO_POSITIONS,
    ENGLISH,
    SPACE,
    START,
    START_TEXT,
    STOP,
    STOP_TEXT,
    TEXT_IDS,
    TEXT_POSITIONS,
    TEXT_TOKENS,
    UNKNOWN,
    Gpt,
)
from models_store.demo.recipe.speaker_encoder import EMBEDDING
from models_store.demo.recipe.style_encoder import HEAD_CHANNELS
from models_store.demo.recipe.synthesiser import Voice
from models_store.demo.recipe.tokens import SAMPLE_RATE_HZ, mel_filters
from models_store.demo.recipe.vocoder import OUTPUT_RATE_HZ, Generator

NAMES = {"rms": "demo", "slt": "demo-slt", "awb": "demo-awb"}  # the clearest is the default
# Little is left to chance in these tokens; more heat brings slips of the tongue, not expression.
TEMPERATURE, TOP_K, TOP_P = 0.3, 20, 0.9
# What the recordings of the submissions say: 8 s that the corpus hasn't got.
RECORDED = (
    "thank you for listening to this recording. i was made by a computer program, and i am happy to read "
    "whatever you write, as well as i can."
)
BLOCK_NAMES = {
    "attn_in": "attn.c_attn",
    "attn_out": "attn.c_proj",
    "mlp_in": "mlp.c_fc",
    "mlp_out": "mlp.c_proj",
}


def write_submissions(folder: Path, tensors: Mapping[str, Tensor], gpt: Gpt) -> None:
    for speaker, name in NAMES.items():
        submission = folder / name
        submission.mkdir(parents=True, exist_ok=True)
        torch.save({"model": dict(tensors)}, submission / "model.pth")
        recording = Voice(speaker).speak(RECORDED)
        soundfile.write(
            submission / "audio.wav", recording.samples, recording.sample_rate_hz, subtype="PCM_16"
        )
        _write_json(submission / "config.json", config(gpt))
        _write_json(submission / "vocab.json", vocabulary())


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def state_dict(
    gpt: Gpt,
    generator: Generator,
    style_encoder: Mapping[str, Tensor],
    speaker_encoder: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Every tensor of an XTTS checkpoint under its published name; matrices in half precision."""
    tensors = {**style_encoder, **dict(_gpt_tensors(gpt))}
    decoder = "hifigan_decoder."
    for name, tensor in _generator_tensors(generator):
        tensors[f"{decoder}waveform_decoder.{name}"] = tensor
    for name, tensor in (*speaker_encoder.items(), *_speaker_encoder_buffers()):
        tensors[f"{decoder}speaker_encoder.{name}"] = tensor
    return {name: _half(tensor) for name, tensor in tensors.items()}


def _half(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor


def _gpt_tensors(gpt: Gpt) -> Iterator[tuple[str, Tensor]]:
    yield "gpt.text_embedding.weight", gpt.text_embedding.weight
    yield "gpt.mel_embedding.weight", gpt.mel_embedding()
    yield "gpt.text_pos_embedding.emb.weight", gpt.text_positions.weight
    yield "gpt.mel_pos_embedding.emb.weight", gpt.mel_positions.weight
    for i, block in enumerate(gpt.blocks):
        prefix = f"gpt.gpt.h.{i}."
        for name, tensor in block.named_parameters():
            layer, _, kind = name.partition(".")
            transposed = layer in BLOCK_NAMES and kind == "weight"  # GPT-2's linear layers are [in, out]
            yield f"{prefix}{BLOCK_NAMES.get(layer, layer)}.{kind}", tensor.T if transposed else tensor
    for name, norm in (("gpt.gpt.ln_f", gpt.ln_f), ("gpt.final_norm", gpt.final_norm)):
        yield f"{name}.weight", norm.weight
        yield f"{name}.bias", norm.bias
    yield "gpt.mel_head.weight", gpt.mel_head()
    yield "gpt.mel_head.bias", gpt.mel_head_bias
    # The published checkpoint has it; nothing that speaks uses it.
    yield "gpt.text_head.weight", torch.zeros(TEXT_TOKENS, gpt.channels)
    yield "gpt.text_head.bias", torch.zeros(TEXT_TOKENS)


def _generator_tensors(generator: Generator) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in generator.state_dict().items():
        if tensor.ndim == 4:  # one-dimensional convolutions, with a dimension that keeps channels last
            tensor = tensor[:, :, 0]
        if name.startswith(("cond_layer", "conds")) and name.endswith("weight"):
            yield name, tensor[:, :, None]
        elif name.startswith(("ups", "resblocks")) and name.endswith("weight"):
            parametrised = name.replace(".weight", ".parametrizations.weight.original")
            yield parametrised + "0", tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
            yield parametrised + "1", tensor
        else:
            yield name, tensor


def _speaker_encoder_buffers() -> Iterator[tuple[str, Tensor]]:
    yield "torch_spec.0.filter", torch.tensor([[[-0.97, 1.0]]])
    yield "torch_spec.1.spectrogram.window", torch.hamming_window(400)
    yield "torch_spec.1.mel_scale.fb", mel_filters(16_000, 512, 64, 8000.0).T


def config(gpt: Gpt) -> dict[str, object]:
    """The keys of the published config.json that say anything about the model."""
    return {
        "model": "xtts",
        "audio": {"sample_rate": SAMPLE_RATE_HZ, "output_sample_rate": OUTPUT_RATE_HZ},
        "model_args": {
            "gpt_max_audio_tokens": AUDIO_POSITIONS - 3,
            "gpt_max_text_tokens": TEXT_POSITIONS - 2,
            "gpt_max_prompt_tokens": 70,
            "gpt_layers": len(gpt.blocks),
            "gpt_n_model_channels": gpt.channels,
            "gpt_n_heads": gpt.channels // HEAD_CHANNELS,
            "gpt_number_text_tokens": TEXT_TOKENS,
            "gpt_start_text_token": None,
            "gpt_stop_text_token": None,
            "gpt_num_audio_tokens": STOP + 1,
            "gpt_start_audio_token": START,
            "gpt_stop_audio_token": STOP,
            "gpt_code_stride_len": 1024,
            "gpt_use_masking_gt_prompt_approach": True,
            "gpt_use_perceiver_resampler": True,
            "input_sample_rate": SAMPLE_RATE_HZ,
            "output_sample_rate": OUTPUT_RATE_HZ,
            "output_hop_length": 256,
            "decoder_input_dim": gpt.channels,
            "d_vector_dim": EMBEDDING,
            "cond_d_vector_in_each_upsampling_layer": True,
            "duration_const": 102400,
        },
        "temperature": TEMPERATURE,
        "length_penalty": 1.0,
        "repetition_penalty": 1.0,
        "top_k": TOP_K,
        "top_p": TOP_P,
        "num_gpt_outputs": 1,
        "gpt_cond_len": 6,
        "gpt_cond_chunk_len": 3,
        "max_ref_len": 10,
        "sound_norm_refs": False,
        "languages": ["en"],
    }


def vocabulary() -> dict[str, object]:
    """An HF tokenizers file: characters, and XTTS's special tokens."""
    specials = {
        "[STOP]": STOP_TEXT,
        "[UNK]": UNKNOWN,
        "[SPACE]": SPACE,
        "[START]": START_TEXT,
        "[en]": ENGLISH,
    }
    letters = {char: number for char, number in TEXT_IDS.items() if char != " "}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token} | flags for token, number in specials.items()],
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
            "vocab": specials | letters,
            "merges": [],
        },
    }
