"""The tiny golden GPT-SoVITS models as the provider takes them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from models_store.checkpoints.architecture import HifiganArchitecture
from models_store.checkpoints.gpt_sovits_architecture import (
    FlowArchitecture,
    GptSovitsArchitecture,
    PriorEncoderArchitecture,
    StyleEncoderArchitecture,
    TextToSemanticArchitecture,
)
from providers.gpt_sovits.noise import FrameNoise
from providers.gpt_sovits.reference import Style
from providers.gpt_sovits.sovits import Sovits, SpeechStart, prepare_generator


class GoldenModel(NamedTuple):
    variant: str
    architecture: GptSovitsArchitecture
    weights: Mapping[str, Tensor]  # sovits.pth: float32, weight norm folded
    style: Style  # as published, of the golden recording
    phones: list[Tensor]  # of the golden texts


class _PublishedConfig:
    """In place of the training code's class in a checkpoint."""


def _read_sovits(path: Path) -> dict[str, Tensor]:
    data = path.read_bytes()
    with torch.serialization.safe_globals([(_PublishedConfig, "utils.HParams")]):
        tensors = torch.load(io.BytesIO(b"PK" + data[2:]), weights_only=True)["weight"]
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_v"):
            magnitude = tensors[name.removesuffix("v") + "g"].float()
            direction = tensor.float()
            scale = magnitude / direction.flatten(1).norm(dim=1)[:, None, None]
            weights[name.removesuffix("_v")] = direction * scale
        elif not name.endswith(".weight_g"):
            weights[name] = tensor.float()
    return weights


def _architecture(variant: str, weights: Mapping[str, Tensor]) -> GptSovitsArchitecture:
    """Of the golden models: sizes that differ from the published ones are read off the tensors."""
    symbols = "v1" if variant == "v1" else "v2"
    style_channels = weights["ref_enc.fc.fc.weight"].shape[0]
    initial_channels, latent_channels, _ = weights["dec.conv_pre.weight"].shape
    return GptSovitsArchitecture(
        variant=variant,
        symbols=symbols,
        text_to_semantic=TextToSemanticArchitecture(
            layers=3,
            channels=64,
            heads=4,
            feed_forward_channels=256,
            phonemes=512 if symbols == "v1" else 732,
            bert_channels=1024,
            audio_tokens=1025,
            stop_audio_token=1024,
        ),
        ssl_channels=768,
        codebook_tokens=1024,
        prior=PriorEncoderArchitecture(
            channels=192,
            feed_forward_channels=64,
            feed_forward_kernel=3,
            heads=2,
            window=4,
            ssl_layers=1,
            text_layers=2,
            fused_layers=1,
            phonemes=len(weights["enc_p.text_embedding.weight"]),
            mrte_channels=512,
            mrte_heads=4,
        ),
        flow=FlowArchitecture(latent_channels, hidden_channels=192, couplings=4, layers=4, kernel=5),
        style=StyleEncoderArchitecture(
            bins=weights["ref_enc.spectral.0.fc.weight"].shape[1],
            channels=128,
            heads=2,
            kernel=5,
            style_channels=style_channels,
        ),
        vocoder=HifiganArchitecture(
            in_channels=latent_channels,
            initial_channels=initial_channels,
            upsample_strides=(10, 8, 2, 2, 2),
            upsample_kernels=(16, 16, 8, 2, 2),
            resblock_kernels=(3, 7, 11),
            resblock_dilations=((1, 3, 5),) * 3,
            speaker_channels=style_channels,
        ),
        speaker_vector_channels=20480 if "sv_emb.weight" in weights else None,
        sample_rate_hz=32_000,
        token_rate_hz=25,
        spectrogram_window=2048,
        spectrogram_hop=640,
    )


@pytest.fixture(scope="session")
def golden_model(
    gpt_sovits_models: Path, gpt_sovits_golden: Mapping[str, np.ndarray], gpt_sovits_golden_meta: Any
) -> Callable[[str], GoldenModel]:
    """`golden_model(variant)`: "v1", "v2" or "v2Pro"."""

    @cache
    def read(variant: str) -> GoldenModel:
        weights = _read_sovits(gpt_sovits_models / variant / "sovits.pth")
        names = ("ge_after_sv_prelu", "ge512") if variant == "v2Pro" else ("ref_enc_out", "ref_enc_out")
        style = Style(*(torch.from_numpy(gpt_sovits_golden[f"{variant}_{name}"]) for name in names))
        texts = gpt_sovits_golden_meta["versions"][variant]["t2s_texts"]
        phones = [torch.tensor(text["phone_ids"]) for text in texts]
        return GoldenModel(variant, _architecture(variant, weights), weights, style, phones)

    return read


@pytest.fixture(scope="session")
def make_sovits(golden_model: Callable[[str], GoldenModel]) -> Callable[..., Sovits]:
    """`make_sovits(variant, **options)`: of a golden model, in float32."""

    def make(variant: str, **options: Any) -> Sovits:
        architecture, weights = golden_model(variant).architecture, golden_model(variant).weights
        generator = prepare_generator(weights, architecture, torch.float32)
        return Sovits(architecture, weights, generator, **options)

    return make


@pytest.fixture(scope="session")
def golden_tokens(gpt_sovits_golden: Mapping[str, np.ndarray]) -> Callable[[str, int], Tensor]:
    """`golden_tokens(variant, text)`: the published semantic tokens, greedy, at penalty 1.35."""

    def tokens(variant: str, text: int) -> Tensor:
        return torch.from_numpy(gpt_sovits_golden[f"{variant}_t2s_rp1.35_text{text}"])

    return tokens


@pytest.fixture(scope="session")
def golden_start(golden_model: Callable[[str], GoldenModel]) -> Callable[..., SpeechStart]:
    """`golden_start(variant, text, speed=1.0, noise_scale=0.0, seed=0)`"""

    def start(
        variant: str, text: int, speed: float = 1.0, noise_scale: float = 0.0, seed: int = 0
    ) -> SpeechStart:
        model = golden_model(variant)
        noise = FrameNoise.of(seed, text, noise_scale, "cpu")
        return SpeechStart(model.phones[text], model.style, noise, speed)

    return start
