"""XTTS checkpoints, however saved, end as the weights that the published implementation computes with."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from models_store.checkpoints.xtts_config import PublishedConfig
from models_store.checkpoints.xtts_tensors import expected_shapes, read_architecture
from models_store.intake import read_submission
from models_store.report import Checked

State = dict[str, torch.Tensor]
PARTS = ("parametrizations.weight.original0", "parametrizations.weight.original1")


class PublishedClass:
    """Stands in for the config classes in the golden checkpoint, for torch's own reader."""


def effective_weights(state: Mapping[str, torch.Tensor]) -> State:
    """What the published implementation computes with: parameters widened, weight norm applied by torch."""
    weights = {}
    for name, tensor in state.items():
        if name.endswith(PARTS[0]):
            module = name.removesuffix(PARTS[0])
            direction = state[module + PARTS[1]].float()
            weights[f"{module}weight"] = torch._weight_norm(direction, tensor.float(), 0)
        elif not name.endswith((PARTS[1], "num_batches_tracked")) and "text_head" not in name:
            weights[name] = tensor
    return weights


def assert_same_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    found, expected = load_file(path), effective_weights(state)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if f"{name.removesuffix('weight')}{PARTS[0]}" in state:
            # The same product of the same parts; only the norm is summed in another order.
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-9)
        else:
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor), name


@pytest.fixture
def submit(tmp_path: Path) -> Callable[[Path], Checked]:
    def run(folder: Path) -> Checked:
        scratch = tmp_path / f"{folder.name}-scratch"
        scratch.mkdir()
        return read_submission(folder, scratch)

    return run


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def test_golden_folder_is_converted_to_its_effective_weights(golden_folder: Path, tmp_path: Path) -> None:
    stand_ins = [
        (type(name.rpartition(".")[2], (PublishedClass,), {}), name)
        for name in (
            "TTS.tts.configs.xtts_config.XttsConfig",
            "TTS.tts.models.xtts.XttsArgs",
            "TTS.tts.models.xtts.XttsAudioConfig",
            "TTS.config.shared_configs.BaseDatasetConfig",
        )
    ]
    with torch.serialization.safe_globals(stand_ins):
        state = torch.load(golden_folder / "model.pth", weights_only=True)["model"]
    converted = read_submission(golden_folder, tmp_path).accepted()
    assert (converted.family, converted.variant, len(converted.languages)) == ("xtts", "v2", 17)
    assert converted.duration_s == pytest.approx(7.0)
    assert_same_weights(converted.files["weights"], {name: t.contiguous() for name, t in state.items()})


def test_golden_config_is_stored_with_everything_serving_uses(golden_folder: Path, tmp_path: Path) -> None:
    converted = read_submission(golden_folder, tmp_path).accepted()
    config = msgspec.json.decode(converted.files["config"].read_bytes(), type=XttsConfig)
    assert (config.text_tokens, config.start_text_token, config.stop_text_token) == (5413, 261, 0)
    assert (config.max_text_tokens, config.max_audio_tokens) == (402, 605)
    assert (config.temperature, config.top_k, config.top_p, config.repetition_penalty) == (
        0.75,
        50,
        0.85,
        5.0,
    )
    assert (config.gpt_cond_len_s, config.gpt_cond_chunk_len_s, config.max_ref_len_s) == (30, 4, 30)
    assert (config.architecture.layers, config.architecture.channels) == (4, 128)
    assert config.architecture.vocoder.upsample_strides == (8, 8, 2, 2)
    assert config.architecture.vocoder.initial_channels == 512
    assert converted.files["vocabulary"].read_bytes() == (golden_folder / "vocab.json").read_bytes()


def test_tiny_architecture_is_read_off_its_tensors(
    make_folder: Callable[..., Path], tiny_architecture: XttsArchitecture, submit: Callable[[Path], Checked]
) -> None:
    converted = submit(make_folder()).accepted()
    config = msgspec.json.decode(converted.files["config"].read_bytes(), type=XttsConfig)
    assert config.architecture == tiny_architecture


def test_full_size_has_the_published_tensors() -> None:
    # Counted in the published model: 963 entries, less 2 of text_head, 37 counters of batch norm and one of
    # two parts of 76 weight norms; 466.9 M values, less those.
    model_args = {
        "gpt_layers": 30,
        "gpt_n_model_channels": 1024,
        "gpt_n_heads": 16,
        "gpt_start_audio_token": 1024,
        "gpt_stop_audio_token": 1025,
    }
    config = PublishedConfig({f"model_args.{key}": value for key, value in model_args.items()}, ())
    shapes = expected_shapes(read_architecture({}, config), text_tokens=6681)
    assert len(shapes) == 848
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 460_042_936
    assert read_architecture(shapes, config) == read_architecture({}, config)


def old_spelling(state: State) -> State:
    def rename(name: str) -> str:
        return name.replace(PARTS[0], "weight_g").replace(PARTS[1], "weight_v")

    return {rename(name): tensor for name, tensor in state.items()}


def trainer_form(state: State) -> dict[str, Any]:
    import numpy as np

    model = {f"xtts.{name}": tensor for name, tensor in state.items()}
    model["dvae.codebook.embed"] = torch.randn(8, 4)
    model["torch_mel_spectrogram_dvae.mel_stft.spectrogram.window"] = torch.randn(1024)
    model["torch_mel_spectrogram_style_encoder.mel_stft.mel_scale.fb"] = torch.randn(513, 80)
    moments = {i: {"step": torch.tensor(3.0), "exp_avg": torch.randn(4)} for i in range(3)}
    return {
        "config": {"model": "xtts", "max_audio_len": float("inf")},
        "model": model,
        "optimizer": [{"state": moments, "param_groups": [{"lr": 5e-6, "betas": (0.9, 0.96)}]}],
        "scaler": None,
        "step": 1200,
        "epoch": 3,
        "date": "June 01, 2025",
        "model_loss": {"train_loss": np.float64(2.5), "eval_loss": None},
    }


def with_v1_aliases(state: State) -> State:
    aliases = {
        name.replace("gpt.gpt.", "gpt.gpt_inference.transformer."): tensor
        for name, tensor in state.items()
        if name.startswith("gpt.gpt.")
    }
    aliases["gpt.gpt.wte.weight"] = state["gpt.mel_embedding.weight"]
    aliases["gpt.gpt_inference.lm_head.1.weight"] = state["gpt.mel_head.weight"]
    return state | aliases


def with_causal_masks(state: State) -> State:
    masks = {f"gpt.gpt.h.{i}.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool) for i in range(2)}
    return state | masks | {f"gpt.gpt.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}


FORMS: dict[str, Callable[[State], bytes]] = {
    "release": lambda state: saved({"config": {}, "model": state}),
    "bare state dict": lambda state: saved(state),
    "trainer": lambda state: saved(trainer_form(state)),
    "v1 aliases": lambda state: saved({"model": with_v1_aliases(state)}),
    "causal masks": lambda state: saved({"model": with_causal_masks(state)}),
    "old weight norm": lambda state: saved({"model": old_spelling(state)}),
    "old weight norm, trainer": lambda state: saved(trainer_form(old_spelling(state))),
    "old storage form": lambda state: saved({"model": state}, _use_new_zipfile_serialization=False),
    "trainer, old storage form": lambda state: saved(
        trainer_form(state), _use_new_zipfile_serialization=False
    ),
    "parameters": lambda state: saved(
        {"model": {n: torch.nn.Parameter(t) if t.is_floating_point() else t for n, t in state.items()}}
    ),
    "transposed views": lambda state: saved(
        {"model": {n: t.t().contiguous().t() if t.dim() == 2 else t for n, t in state.items()}}
    ),
    "views of one storage": lambda state: saved({"model": in_one_storage(state)}),
}


def in_one_storage(state: State) -> State:
    floats = {name: tensor for name, tensor in state.items() if tensor.dtype == torch.float32}
    flat = torch.cat([tensor.reshape(-1) for tensor in floats.values()])
    pieces = flat.split([tensor.numel() for tensor in floats.values()])
    views = {name: piece.view(t.shape) for (name, t), piece in zip(floats.items(), pieces, strict=True)}
    return state | views


@pytest.fixture(scope="module")
def digests() -> set[str]:
    """Of the weights of every form, as the tests come by."""
    return set()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_file(
    form: str,
    make_folder: Callable[..., Path],
    tiny_state: State,
    submit: Callable[[Path], Checked],
    digests: set[str],
) -> None:
    converted = submit(make_folder(model=FORMS[form](tiny_state))).accepted()
    assert_same_weights(converted.files["weights"], tiny_state)
    digests.add(hashlib.sha256(converted.files["weights"].read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "old"])
def test_number_formats_are_kept_and_folding_is_exact(
    dtype: torch.dtype,
    zip_form: bool,
    make_folder: Callable[..., Path],
    tiny_state: State,
    submit: Callable[[Path], Checked],
) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tiny_state.items()}
    state["mel_stats"] = tiny_state["mel_stats"]  # one that stays float32
    model = saved({"model": state}, _use_new_zipfile_serialization=zip_form)
    converted = submit(make_folder(model=model)).accepted()
    assert_same_weights(converted.files["weights"], state)


def test_already_folded_weights_are_taken_as_they_are(
    make_folder: Callable[..., Path], tiny_state: State, submit: Callable[[Path], Checked]
) -> None:
    folded = effective_weights(tiny_state)
    converted = submit(make_folder(state=folded)).accepted()
    assert_same_weights(converted.files["weights"], folded)


def test_same_content_has_the_same_bytes_whatever_its_order(
    make_folder: Callable[..., Path], tiny_state: State, submit: Callable[[Path], Checked]
) -> None:
    backwards = dict(reversed(tiny_state.items()))
    one = submit(make_folder(name="one")).accepted()
    other = submit(make_folder(name="other", state=backwards)).accepted()
    for role, path in one.files.items():
        assert other.files[role].read_bytes() == path.read_bytes(), role
    assert one.recording.read_bytes() == other.recording.read_bytes()


def test_config_may_carry_more_keys_and_infinity(
    make_folder: Callable[..., Path], tiny_config: dict[str, Any], submit: Callable[[Path], Checked]
) -> None:
    tiny_config["model_args"]["dvae_checkpoint"] = "/somewhere/dvae.pth"
    tiny_config["max_text_len"] = float("nan")
    text = json.dumps(tiny_config)
    assert "Infinity" in text
    assert "NaN" in text
    assert submit(make_folder(config=text.encode())).report.problems == ()
