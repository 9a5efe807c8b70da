"""The tiny golden GPT-SoVITS models as the provider takes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture, GptSovitsConfig
from models_store.recordings import read_recording
from models_store.report import Converted
from models_store.submission import Submission, SubmissionFiles, Voice
from providers.gpt_sovits.noise import FrameNoise
from providers.gpt_sovits.reference import Style
from providers.gpt_sovits.sovits import Sovits, SpeechStart, prepare_generator
from providers.interface import Recording, ReferenceVoice


class GoldenModel(NamedTuple):
    variant: str
    architecture: GptSovitsArchitecture
    weights: Mapping[str, Tensor]  # sovits.pth: float32, weight norm folded
    style: Style  # as published, of the golden recording
    phones: list[Tensor]  # of the golden texts


@pytest.fixture(scope="session")
def golden_model(
    convert_gpt_sovits: Callable[[str], Converted],
    gpt_sovits_golden: Mapping[str, np.ndarray],
    gpt_sovits_golden_meta: Any,
) -> Callable[[str], GoldenModel]:
    """`golden_model(variant)`: "v1", "v2" or "v2Pro"."""

    @cache
    def read(variant: str) -> GoldenModel:
        files = convert_gpt_sovits(variant).files
        config = msgspec.json.decode(files["config"].read_bytes(), type=GptSovitsConfig)
        weights = {name: tensor.float() for name, tensor in load_file(files["sovits_weights"]).items()}
        names = ("ge_after_sv_prelu", "ge512") if variant == "v2Pro" else ("ref_enc_out", "ref_enc_out")
        style = Style(*(torch.from_numpy(gpt_sovits_golden[f"{variant}_{name}"]) for name in names))
        texts = gpt_sovits_golden_meta["versions"][variant]["t2s_texts"]
        phones = [torch.tensor(text["phone_ids"]) for text in texts]
        return GoldenModel(variant, config.architecture, weights, style, phones)

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


@pytest.fixture(scope="session")
def speaker_weights(gpt_sovits_golden_folder: Path) -> dict[str, Tensor]:
    """The golden ERes2NetV2, which is stored by the places of its few weights that aren't zero."""
    weights = {}
    with np.load(gpt_sovits_golden_folder / "sv_sparse.npz") as stored:
        names = [entry.removeprefix("shape|") for entry in stored.files if entry.startswith("shape|")]
        for name in names:
            shape = tuple(stored[f"shape|{name}"])
            if f"full|{name}" in stored.files:
                values = stored[f"full|{name}"].astype(np.float32)
            else:
                values = np.zeros(int(np.prod(shape)), np.float32)
                values[np.cumsum(stored[f"dpos|{name}"].astype(np.int64))] = stored[f"val|{name}"]
            weights[name] = torch.from_numpy(values.reshape(shape))
    return weights


@pytest.fixture(scope="session")
def base_models(
    gpt_sovits_models: Path, speaker_weights: Mapping[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """Role → folder, as the store keeps them."""
    speaker = tmp_path_factory.mktemp("eres2netv2")
    save_file(dict(speaker_weights), speaker / "model.safetensors")
    return {
        "hubert": gpt_sovits_models / "chinese-hubert-base",
        "roberta": gpt_sovits_models / "chinese-roberta-wwm-ext-large",
        "eres2netv2": speaker,
    }


@pytest.fixture(scope="session")
def golden_files(
    convert_gpt_sovits: Callable[[str], Converted], base_models: Mapping[str, Path]
) -> Callable[..., SubmissionFiles]:
    """`golden_files(variant, missing=())`: a golden submission, without base models of some roles."""

    def make(variant: str, missing: Collection[str] = ()) -> SubmissionFiles:
        converted = convert_gpt_sovits(variant)
        voice = Voice((), converted.duration_s, converted.language, converted.transcript)
        submission = Submission("gpt_sovits", variant, converted.languages, {}, voice, submitted_at="")
        present = {role: folder for role, folder in base_models.items() if role not in missing}
        return SubmissionFiles(submission, converted.files, (converted.recording,), present)

    return make


@pytest.fixture(scope="session")
def golden_voice(convert_gpt_sovits: Callable[[str], Converted]) -> ReferenceVoice:
    """The golden submissions' own recording: 3.6 s at 32 kHz, in English."""
    converted = convert_gpt_sovits("v2")
    recording = Recording(*read_recording(converted.recording))
    return ReferenceVoice((recording,), converted.language, converted.transcript)
