"""Which GPT-SoVITS it is, and whether its two checkpoints and their configs tell one story."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
import torch

State = dict[str, torch.Tensor]
States = Callable[[str], tuple[State, State]]
MakeSubmission = Callable[..., Path]
Judge = Callable[[Path], dict[str, Any]]


def problems(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(problem["code"], problem["file"], problem["found"]) for problem in result["problems"]]


@pytest.mark.parametrize(
    ("variant", "header"),
    [("v1", b"00"), ("v2", b"01"), ("v2", b""), ("v2Pro", b"05"), ("v2ProPlus", b"06")],
)
def test_headers_that_fit_are_taken(
    variant: str, header: bytes, make_submission: MakeSubmission, judge: Judge
) -> None:
    result = judge(make_submission(variant, header=header))
    assert (result["variant"], result["problems"], result["warnings"]) == (variant, [], [])


@pytest.mark.parametrize("variant", ["v2Pro", "v2ProPlus"])
def test_pro_without_its_header_is_known_by_its_tensors(
    variant: str, make_submission: MakeSubmission, judge: Judge
) -> None:
    result = judge(make_submission(variant, header=b""))
    assert (result["variant"], result["problems"]) == (variant, [])
    (warning,) = result["warnings"]
    assert "without the two digits 0" in warning["found"]


@pytest.mark.parametrize(
    ("variant", "header", "words"),
    [
        ("v2", b"05", "the header 05 of v2Pro before the tensors of v2"),
        ("v2Pro", b"06", "the header 06 of v2ProPlus before the tensors of v2Pro"),
        ("v1", b"01", "the header 01 of v2 before the tensors of v1"),
        ("v2", b"07", "a zip archive behind the two digits 07"),
    ],
)
def test_headers_that_contradict_the_tensors_are_refused(
    variant: str, header: bytes, words: str, make_submission: MakeSubmission, judge: Judge
) -> None:
    assert problems(judge(make_submission(variant, header=header))) == [
        ("BadCheckpoint", "sovits.pth", words)
    ]


def diffusion(state: State) -> State:
    """What sets v3 and v4 apart: no generator, but a diffusion model."""
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(("dec.", "flow."))}
    return kept | {"bridge.0.weight": torch.ones(4, 4, 1), "cfm.estimator.proj.weight": torch.ones(4, 4)}


@pytest.mark.parametrize(
    ("version", "header", "name"),
    [("v3", b"", "v3"), ("v4", b"", "v4"), (None, b"", "v3 or v4"), ("v3", b"02", "v3")],
)
def test_diffusion_models_are_refused_by_name(
    version: str | None,
    header: bytes,
    name: str,
    make_submission: MakeSubmission,
    states: States,
    judge: Judge,
) -> None:
    folder = make_submission(
        header=header,
        sovits_state=diffusion(states("v2")[0]),
        sovits_config_changes={"model.version": version},
    )
    result = judge(folder)
    assert problems(result) == [("BadCheckpoint", "sovits.pth", f"a GPT-SoVITS {name} checkpoint")]
    assert "v1, v2, v2Pro, v2ProPlus" in result["problems"][0]["expected"]


@pytest.mark.parametrize(("header", "name"), [(b"03", "v3 LoRA"), (b"04", "v4 LoRA"), (b"", "v3 or v4 LoRA")])
def test_lora_files_are_refused_by_name(
    header: bytes, name: str, make_submission: MakeSubmission, save: Callable[..., bytes], judge: Judge
) -> None:
    adapter = {"cfm.estimator.blocks.0.attn.to_k.lora_A.default.weight": torch.ones(4, 8)}
    sovits = save({"weight": adapter, "config": {"model": {}}, "lora_rank": 32}, header)
    assert problems(judge(make_submission(sovits=sovits))) == [
        ("BadCheckpoint", "sovits.pth", f"a GPT-SoVITS {name} checkpoint")
    ]


@pytest.mark.parametrize(
    ("sovits", "gpt", "found", "expected"),
    [
        ("v2", "v1", "512 phonemes, those of v1", "732, because sovits.pth has the 732 symbols of v2"),
        ("v2Pro", "v1", "512 phonemes, those of v1", "732, because sovits.pth has the 732 symbols of v2"),
        ("v1", "v2", "732 phonemes, those of v2", "512, because sovits.pth has the 322 symbols of v1"),
    ],
)
def test_checkpoints_of_two_symbol_tables_are_refused_with_both_numbers(
    sovits: str,
    gpt: str,
    found: str,
    expected: str,
    make_submission: MakeSubmission,
    judge: Judge,
) -> None:
    other = make_submission(gpt, name="other")
    folder = make_submission(sovits, gpt=(other / "gpt.ckpt").read_bytes())
    result = judge(folder)
    assert problems(result) == [("BadCheckpoint", "gpt.ckpt", found)]
    assert result["problems"][0]["expected"] == expected


def test_symbol_tables_of_ones_own_are_refused(
    make_submission: MakeSubmission, states: States, judge: Judge
) -> None:
    sovits, gpt = states("v2")
    sovits["enc_p.text_embedding.weight"] = sovits["enc_p.text_embedding.weight"][:700]
    name = "model.ar_text_embedding.word_embeddings.weight"
    gpt[name] = gpt[name][:700]
    changes = {"model.phoneme_vocab_size": 700}
    folder = make_submission(sovits_state=sovits, gpt_state=gpt, gpt_config_changes=changes)
    result = judge(folder)
    assert problems(result) == [
        ("BadCheckpoint", "gpt.ckpt", "700 phonemes"),
        ("WrongShape", "sovits.pth", "enc_p.text_embedding.weight of 700 rows"),
    ]
    assert result["problems"][1]["expected"] == "322 (the symbols of v1) or 732 (the symbols of v2)"


def test_swapped_checkpoints_are_recognised(make_submission: MakeSubmission, judge: Judge) -> None:
    folder = make_submission()
    (folder / "sovits.pth").rename(folder / "x")
    (folder / "gpt.ckpt").rename(folder / "sovits.pth")
    (folder / "x").rename(folder / "gpt.ckpt")
    result = judge(folder)
    assert problems(result) == [
        ("BadCheckpoint", "sovits.pth", "the tensors of gpt.ckpt"),
        ("BadCheckpoint", "gpt.ckpt", "the tensors of sovits.pth"),
    ]
    assert all("its own name" in problem["remedy"] for problem in result["problems"])


@pytest.mark.parametrize(
    ("file", "changes", "found"),
    [
        ("sovits.pth", {"data.sampling_rate": 44_100}, "data.sampling_rate = 44100"),
        ("sovits.pth", {"data.hop_length": 512}, "data.hop_length = 512"),
        ("sovits.pth", {"data.win_length": ...}, "no data.win_length"),
        ("sovits.pth", {"model.n_heads": 3}, "3 attention heads in enc_p"),
        ("sovits.pth", {"model.n_heads": True}, "model.n_heads = True"),
        ("sovits.pth", {"model.gin_channels": 256}, "model.gin_channels = 256 in its config"),
        ("sovits.pth", {"model.resblock": "2"}, "model.resblock = '2'"),
        ("sovits.pth", {"model.upsample_rates": [10, 8, 2, 2, 1]}, "320 samples of a frame"),
        ("sovits.pth", {"model.upsample_rates": [8, 10, 1, 4, 2]}, "upsampling kernels"),
        ("sovits.pth", {"model.upsample_rates": "10"}, "model.upsample_rates = '10'"),
        ("sovits.pth", {"model.upsample_rates": [10, 64]}, "dec.ups.2.weight of shape"),
        ("sovits.pth", {"model.upsample_rates": [1 << 40] * 5}, "model.upsample_rates = a JSON list of 5"),
        ("sovits.pth", {"model.upsample_rates": [1] * 1000}, "model.upsample_rates = a JSON list of 1000"),
        ("sovits.pth", {"model.resblock_dilation_sizes": [[1, 3, 5]] * 2}, "resblocks.14."),
        ("sovits.pth", {"model.resblock_dilation_sizes": [[]]}, "model.resblock_dilation_sizes"),
        ("gpt.ckpt", {"model.head": 3}, "model.head = 3"),
        ("gpt.ckpt", {"model.head": ...}, "no model.head"),
        ("gpt.ckpt", {"model.n_layer": 24}, "model.n_layer = 24 in its config"),
        ("gpt.ckpt", {"model.EOS": 1023}, "model.EOS = 1023 in its config"),
        ("gpt.ckpt", {"data.max_sec": 0}, "data.max_sec = 0"),
        ("gpt.ckpt", {"data.max_sec": float("nan")}, "data.max_sec = nan"),
        ("gpt.ckpt", {"data": ...}, "no data.max_sec"),
    ],
)
def test_configs_that_do_not_fit_are_refused(
    file: str, changes: dict[str, Any], found: str, make_submission: MakeSubmission, judge: Judge
) -> None:
    key = "sovits_config_changes" if file == "sovits.pth" else "gpt_config_changes"
    result = judge(make_submission(**{key: changes}))
    assert {problem["file"] for problem in result["problems"]} == {file}
    assert any(found in problem["found"] for problem in result["problems"])


def test_paths_of_the_training_machine_are_no_code(make_submission: MakeSubmission, judge: Judge) -> None:
    changes = {"output_dir": Path("logs/s1"), "train_phoneme_path": PureWindowsPath("C:/logs")}
    result = judge(make_submission(gpt_config_changes=changes))
    assert (result["problems"], result["warnings"]) == ([], [])


@pytest.mark.parametrize("file", ["sovits", "gpt"])
@pytest.mark.parametrize("config", [None, 7, {}], ids=["none", "number", "empty"])
def test_checkpoint_without_a_config_is_refused(
    file: str,
    config: Any,
    make_submission: MakeSubmission,
    states: States,
    save: Callable[..., bytes],
    judge: Judge,
) -> None:
    state = states("v2")[0 if file == "sovits" else 1]
    value = {"weight": state} | ({} if config is None else {"config": config})
    result = judge(make_submission(**{file: save(value)}))
    assert "BadConfig" in {problem["code"] for problem in result["problems"]}
    assert any("config" in problem["found"] for problem in result["problems"])


@pytest.mark.parametrize(
    ("which", "name"),
    [
        (0, "enc_p.mrte.c_pre.weight"),
        (0, "dec.cond.bias"),
        (0, "flow.flows.4.enc.cond_layer.weight_v"),
        (0, "quantizer.vq.layers.0._codebook.embed"),
        (1, "model.h.layers.1.norm2.weight"),
        (1, "model.ar_text_position.alpha"),
    ],
)
def test_one_missing_tensor_is_one_problem(
    which: int, name: str, make_submission: MakeSubmission, states: States, judge: Judge
) -> None:
    pair = states("v2")
    del pair[which][name]
    result = judge(make_submission(sovits_state=pair[0], gpt_state=pair[1]))
    ((code, _, found),) = problems(result)
    assert code == "MissingTensor"
    assert name.removeprefix("model.").removesuffix("_v") in found


@pytest.mark.parametrize(
    ("which", "name"),
    [(0, "enc_p.proj.weight"), (0, "ref_enc.fc.fc.bias"), (1, "model.bert_proj.bias")],
)
def test_one_wrong_tensor_is_one_problem(
    which: int, name: str, make_submission: MakeSubmission, states: States, judge: Judge
) -> None:
    pair = states("v2")
    pair[which][name] = torch.ones(tuple(2 * size for size in pair[which][name].shape)).half()
    result = judge(make_submission(sovits_state=pair[0], gpt_state=pair[1]))
    assert [code for code, _, _ in problems(result)] == ["WrongShape"]
    assert name.removeprefix("model.") in result["problems"][0]["found"]


@pytest.mark.parametrize(("which", "file"), [(0, "sovits.pth"), (1, "gpt.ckpt")])
def test_values_that_are_not_finite_are_refused_and_nothing_is_written(
    which: int, file: str, make_submission: MakeSubmission, states: States, judge: Judge, tmp_path: Path
) -> None:
    pair = states("v2")
    name = "dec.conv_pre.bias" if which == 0 else "model.bert_proj.bias"
    pair[which][name] = torch.full_like(pair[which][name], float("nan"))
    result = judge(make_submission(sovits_state=pair[0], gpt_state=pair[1]))
    found = f"NaN or infinity in {name.removeprefix('model.')}"
    assert problems(result) == [("BadCheckpoint", file, found)]
    assert (tmp_path / "scratch" / "config_out").read_bytes() == b""


def test_misspelled_and_foreign_tensors_are_told(
    make_submission: MakeSubmission, states: States, judge: Judge
) -> None:
    sovits, gpt = states("v2")
    sovits["enc_p.project.weight"] = sovits.pop("enc_p.proj.weight")
    gpt["model.extra"] = torch.ones(3).half()
    result = judge(make_submission(sovits_state=sovits, gpt_state=gpt))
    remedies = {problem["found"].split()[0]: problem["remedy"] for problem in result["problems"]}
    assert "Is it enc_p.proj.weight?" in remedies["enc_p.project.weight"]
    assert remedies["extra"] == "Leave it out of the file."


def test_every_file_is_judged_though_others_are_missing(
    make_submission: MakeSubmission, judge: Judge
) -> None:
    result = judge(make_submission(sovits=None, gpt=b"PK", config=b"{"))
    assert [(problem["code"], problem["file"]) for problem in result["problems"]] == [
        ("BadCheckpoint", "gpt.ckpt"),
        ("BadConfig", "config.json"),
    ]
    assert (result["variant"], result["reference"]) == (None, None)
