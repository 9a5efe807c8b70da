"""GPT-SoVITS checkpoints, however saved, end as the weights that the published code computes with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.random_gpt_sovits import full_architecture, sovits_config
from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture, GptSovitsConfig
from models_store.checkpoints.gpt_sovits_config import GptConfig, SovitsConfig
from models_store.checkpoints.gpt_sovits_tensors import (
    read_architecture,
    read_text_to_semantic,
    sovits_shapes,
    text_to_semantic_shapes,
)
from models_store.checkpoints.gpt_sovits_variants import VARIANTS, variant_of
from models_store.report import Converted
from models_store.store import ModelsStore

State = dict[str, torch.Tensor]
CODEBOOK = "quantizer.vq.layers.0._codebook."
TRAINING_ONLY = tuple(f"{CODEBOOK}{name}" for name in ("inited", "cluster_size", "embed_avg"))


class PublishedClass:
    """Stands in for utils.HParams, for torch's own reader."""


def published(path: Path) -> Any:
    """What torch reads once the zip's magic is back."""
    data = b"PK" + path.read_bytes()[2:]
    with torch.serialization.safe_globals([(PublishedClass, "utils.HParams")]):
        return torch.load(io.BytesIO(data), weights_only=True)


def assert_same_weights(path: Path, state: Mapping[str, torch.Tensor], prefix: str = "") -> None:
    """Parameters bit for bit, weight norm as torch applies it to parts that were widened before."""
    found = load_file(path)
    expected = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    folded = [name.removesuffix("_g") for name in expected if name.endswith(".weight_g")]
    kept = [name for name in expected if not name.endswith((".weight_g", ".weight_v", *TRAINING_ONLY))]
    assert found.keys() == {*folded, *(name for name in kept if not name.startswith("enc_q."))}
    for name in found.keys() - set(folded):
        assert found[name].dtype == expected[name].dtype
        assert torch.equal(found[name], expected[name]), name
    for name in folded:
        direction, magnitude = expected[f"{name}_v"].float(), expected[f"{name}_g"].float()
        weight = torch._weight_norm(direction, magnitude, 0)
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], weight, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variant", ["v1", "v2", "v2Pro"])
def test_golden_submissions_are_converted_to_their_effective_weights(
    variant: str, gpt_sovits_models: Path, convert_gpt_sovits: Callable[[str], Converted]
) -> None:
    converted, folder = convert_gpt_sovits(variant), gpt_sovits_models / variant
    assert (converted.family, converted.variant) == ("gpt_sovits", variant)
    assert_same_weights(converted.files["sovits_weights"], published(folder / "sovits.pth")["weight"])
    assert_same_weights(converted.files["gpt_weights"], published(folder / "gpt.ckpt")["weight"], "model.")


def test_golden_submission_brings_its_reference_and_languages(
    convert_gpt_sovits: Callable[[str], Converted],
) -> None:
    converted = convert_gpt_sovits("v2")
    assert converted.duration_s == pytest.approx(3.6)
    assert converted.transcript == "The birch canoe slid on the smooth planks, and the sun was warm today."
    assert converted.language == "en"
    assert converted.languages == ("zh", "en", "ja", "ko", "yue")
    assert convert_gpt_sovits("v1").languages == ("zh", "en", "ja")


def test_golden_config_is_stored_with_everything_serving_uses(
    convert_gpt_sovits: Callable[[str], Converted],
) -> None:
    data = convert_gpt_sovits("v2Pro").files["config"].read_bytes()
    config = msgspec.json.decode(data, type=GptSovitsConfig)
    architecture = config.architecture
    assert (architecture.variant, architecture.symbols, config.max_audio_s) == ("v2Pro", "v2", 1.0)
    decoder = architecture.text_to_semantic
    assert (decoder.layers, decoder.channels, decoder.heads, decoder.feed_forward_channels) == (3, 64, 4, 256)
    assert (decoder.phonemes, decoder.audio_tokens, decoder.stop_audio_token) == (732, 1025, 1024)
    assert (architecture.prior.phonemes, architecture.prior.text_layers) == (732, 2)
    assert (architecture.style.bins, architecture.style.style_channels) == (704, 64)
    assert architecture.vocoder.upsample_strides == (10, 8, 2, 2, 2)
    assert architecture.vocoder.upsample_kernels == (16, 16, 8, 2, 2)
    assert architecture.speaker_vector_channels == 20480
    assert (architecture.samples_per_token, architecture.frames_per_token) == (1280, 2)


# Counted in the published models: entries and values, less those of training, with weight norm folded.
@pytest.mark.parametrize(
    ("variant", "tensors", "values", "gpt_values"),
    [
        ("v1", 539, 41_536_960, 77_493_762),
        ("v2", 539, 41_574_592, 77_606_402),
        ("v2Pro", 544, 66_546_880, 77_606_402),
        ("v2ProPlus", 544, 85_452_256, 77_606_402),
    ],
)
def test_full_size_has_the_published_tensors(
    variant: str, tensors: int, values: int, gpt_values: int
) -> None:
    architecture = full_architecture(variant)
    shapes, gpt_shapes = sovits_shapes(architecture), text_to_semantic_shapes(architecture.text_to_semantic)
    assert (len(shapes), len(gpt_shapes)) == (tensors, 295)
    assert sum(map(prod, shapes.values())) == values
    assert sum(map(prod, gpt_shapes.values())) == gpt_values
    # And the other way: these shapes alone, with the few numbers of the config, are this architecture.
    read = variant_of(shapes)
    decoder = read_text_to_semantic(gpt_shapes, GptConfig({"model.head": 16}), read)
    assert read.name == variant
    assert read_architecture(shapes, SovitsConfig({"model.n_heads": 2}), read, decoder) == architecture


@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
def test_tiny_architecture_is_read_off_its_tensors(
    variant: str,
    make_submission: Callable[..., Path],
    tiny: Callable[[str], GptSovitsArchitecture],
    judge: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
) -> None:
    result = judge(make_submission(variant))
    assert (result["problems"], result["warnings"], result["variant"]) == ([], [], variant)
    config = msgspec.json.decode((tmp_path / "scratch" / "config_out").read_bytes(), type=GptSovitsConfig)
    assert config.architecture == tiny(variant)
    assert config.max_audio_s == 54.0


Save = Callable[..., bytes]


def as_trainer_keeps_it(state: State, config: dict[str, Any], save: Save) -> bytes:
    posterior = {f"enc_q.enc.in_layers.{i}.weight_v": torch.randn(4, 4, 5) for i in range(4)}
    return save({"weight": state | posterior, "config": config})


def in_one_storage(state: State) -> State:
    flat = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    pieces = flat.split([tensor.numel() for tensor in state.values()])
    return {name: piece.view(t.shape) for (name, t), piece in zip(state.items(), pieces, strict=True)}


def respelled(state: State) -> State:
    def rename(name: str) -> str:
        name = name.replace(".weight_g", ".parametrizations.weight.original0")
        return name.replace(".weight_v", ".parametrizations.weight.original1")

    return {rename(name): tensor for name, tensor in state.items()}


FORMS: dict[str, Callable[[State, dict[str, Any], Save], bytes]] = {
    "release": lambda state, config, save: save({"weight": state, "config": config, "info": "8epoch"}),
    "header 01": lambda state, config, save: save({"weight": state, "config": config}, b"01"),
    "config as a dict": lambda state, config, save: save({"weight": state, "config": dict(config)}),
    "posterior encoder": as_trainer_keeps_it,
    "views of one storage": lambda state, config, save: save(
        {"weight": in_one_storage(state), "config": config}
    ),
    "old storage form": lambda state, config, save: save(
        {"weight": state, "config": config}, _use_new_zipfile_serialization=False
    ),
    "new weight norm": lambda state, config, save: save({"weight": respelled(state), "config": config}),
    "backwards": lambda state, config, save: save(
        {"config": config, "weight": dict(reversed(state.items()))}
    ),
}


@pytest.fixture(scope="module")
def contents() -> set[bytes]:
    """The weights of every form, as the tests come by."""
    return set()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_file(
    form: str,
    make_submission: Callable[..., Path],
    states: Callable[[str], tuple[State, State]],
    tiny: Callable[[str], GptSovitsArchitecture],
    save: Save,
    hparams: type[dict[str, Any]],
    judge: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    contents: set[bytes],
) -> None:
    state, _ = states("v2")
    config = hparams(sovits_config(tiny("v2")))
    result = judge(make_submission(sovits=FORMS[form](state, config, save)))
    assert (result["problems"], result["warnings"]) == ([], [])
    weights = tmp_path / "scratch" / "sovits_weights"
    assert_same_weights(weights, state)
    contents.add(weights.read_bytes())
    assert len(contents) == 1


def test_store_keeps_the_reference_as_the_submissions_own_voice(
    make_submission: Callable[..., Path], store: ModelsStore, speech: Callable[..., bytes]
) -> None:
    config = {"refFile": "reference.wav", "refText": "どうも  ありがとう。"}
    published = store.submit(make_submission(config=config, audio=speech(4.0)), "ours")
    voice = published.submission.voice
    assert (voice.transcript, voice.language) == ("どうも ありがとう。", "ja")
    assert voice.duration_s == pytest.approx(4.0)
    assert published.report.facts["reference language"] == "ja, detected from refText"
    assert published.report.facts["reference"] == "4.0 s"
    assert published.submission.blobs.keys() == {"sovits_weights", "gpt_weights", "config"}


def test_submissions_that_share_a_checkpoint_share_its_blob(
    make_submission: Callable[..., Path],
    states: Callable[[str], tuple[State, State]],
    store: ModelsStore,
    speech: Callable[..., bytes],
) -> None:
    state, _ = states("v2")
    other = state | {"ssl_proj.bias": state["ssl_proj.bias"] + 1}
    one = store.submit(make_submission(name="one", audio=speech(4.0)), "one").submission
    two = store.submit(make_submission(name="two", audio=speech(4.0), sovits_state=other), "two").submission
    assert one.blobs["gpt_weights"] == two.blobs["gpt_weights"]
    assert one.blobs["sovits_weights"] != two.blobs["sovits_weights"]
    assert json.loads((store.layout.blob(one.blobs["config"])).read_text())["max_audio_s"] == 54
