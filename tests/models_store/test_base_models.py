"""Base models: builds that come in, are refused, replaced and found; and what is said of missing ones."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models_store.base_models import BaseModels, require_base_models
from models_store.base_roles import ROLES
from models_store.durable import digest_file, hex_of
from models_store.errors import MissingBaseModels, NotFound, SubmissionError
from models_store.integrity import verify
from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore
from models_store.submission import Submission

LANGUAGES = ("zh", "en", "ja", "ko", "yue")


def hubert_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float16)
    return {name: values for name in ROLES["hubert"].tells} | {"masked_spec_embed": values[0]}


@pytest.fixture
def make_hubert(tmp_path: Path) -> Callable[..., Path]:
    def make(seed: int = 0) -> Path:
        folder = tmp_path / f"hubert-{seed}"
        folder.mkdir()
        (folder / "config.json").write_text('{"model_type": "hubert"}')
        (folder / "preprocessor_config.json").write_text('{"do_normalize": true}')
        save_file(hubert_tensors(seed), folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def save_checkpoint() -> Callable[[Mapping[str, Any], Path], None]:
    def save(state: Mapping[str, Any], path: Path) -> None:
        import torch

        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, path)

    return save


@pytest.fixture
def g2pw(tmp_path: Path) -> Path:
    folder = tmp_path / "G2PWModel"
    folder.mkdir()
    for file in ROLES["g2pw"].files:
        (folder / file.name).write_text(f"what {file.name} says")
    (folder / "config.py").write_text("raise SystemExit('run')")
    return folder


@pytest.fixture
def publish(store: ModelsStore) -> Callable[..., Submission]:
    """A submission of the family in question, without an intake."""

    def publish(family: str, variant: str, languages: tuple[str, ...] = LANGUAGES) -> Submission:
        with store.scratch() as scratch:
            weights, recording = scratch / "weights", scratch / "recording.wav"
            weights.write_bytes(f"{family}{variant}".encode())
            recording.write_bytes(b"sound")
            converted = Converted(family, variant, languages, {"weights": weights}, recording, 3.0)
            checked = Checked(Report(family, variant, languages), converted)
            return store.publish(checked, f"{family}-{variant}").submission

    return publish


def codes(refused: pytest.ExceptionInfo[SubmissionError]) -> list[tuple[str, str]]:
    return [(problem.code, problem.file) for problem in refused.value.problems]


# Coming in


def test_a_folder_comes_in_as_it_is(store: ModelsStore, make_hubert: Callable[..., Path]):
    assert store.base_models.get("hubert") is None
    added = store.add_base_model(make_hubert(), "hubert")
    assert (added.is_new, added.replaced) == (True, False)
    found = store.base_models.get("hubert")
    assert found == added.base_model
    assert not found.is_pinned
    assert found.size_bytes == sum(path.stat().st_size for path in make_hubert(1).iterdir())
    assert {path.name for path in found.folder.iterdir()} == {
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
        "manifest.json",
    }
    for name, values in load_file(found.folder / "model.safetensors").items():
        np.testing.assert_array_equal(values, hubert_tensors()[name])


def test_a_pickled_checkpoint_becomes_safetensors(
    store: ModelsStore, make_hubert: Callable[..., Path], save_checkpoint: Callable[..., None]
):
    folder = make_hubert()
    (folder / "model.safetensors").unlink()
    counted = {"encoder.num_batches_tracked": np.array(7), "position_ids": np.arange(5)}
    save_checkpoint(hubert_tensors() | counted, folder / "pytorch_model.bin")
    build = store.add_base_model(folder, "hubert").base_model
    assert "pytorch_model.bin" in build.given
    assert not (build.folder / "pytorch_model.bin").exists()
    tensors = load_file(build.folder / "model.safetensors")
    assert tensors.keys() == hubert_tensors().keys()
    for name, values in hubert_tensors().items():
        np.testing.assert_array_equal(tensors[name], values)


def test_a_role_of_one_file_takes_that_file(
    store: ModelsStore, tmp_path: Path, save_checkpoint: Callable[..., None]
):
    state = {name: np.ones((2, 2), np.float32) for name in ROLES["eres2netv2"].tells}
    save_checkpoint(state, tmp_path / "mine.ckpt")
    build = store.add_base_model(tmp_path / "mine.ckpt", "eres2netv2").base_model
    assert load_file(build.folder / "model.safetensors").keys() == state.keys()


def test_an_archive_comes_in_without_what_is_not_needed(store: ModelsStore, tmp_path: Path, g2pw: Path):
    with zipfile.ZipFile(tmp_path / "g2pw.zip", "w") as archive:
        for path in g2pw.iterdir():
            archive.write(path, f"G2PWModel/{path.name}")
    build = store.add_base_model(tmp_path / "g2pw.zip", "g2pw").base_model
    kept = {path.name for path in build.folder.iterdir()} - {"manifest.json"}
    assert kept == {file.name for file in ROLES["g2pw"].files}
    assert (build.folder / "g2pW.onnx").read_text() == "what g2pW.onnx says"


def test_a_snapshot_of_links_comes_in(store: ModelsStore, tmp_path: Path, make_hubert: Callable[..., Path]):
    """As the hub's own client keeps them."""
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in make_hubert().iterdir():
        (snapshot / path.name).symlink_to(path)
    build = store.add_base_model(snapshot, "hubert").base_model
    assert not any(path.is_symlink() for path in build.folder.iterdir())


def test_the_published_build_is_told_from_others(
    store: ModelsStore, make_hubert: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    folder = make_hubert()
    digests = {path.name: hex_of(digest_file(path).digest) for path in folder.iterdir()}
    other = store.add_base_model(folder, "hubert")
    named = [file.partition(" ")[0] for file in other.unpinned]
    assert named == ["config.json", "preprocessor_config.json", "model.safetensors"]
    assert all(digests[name] in file for name, file in zip(named, other.unpinned, strict=True))
    role = ROLES["hubert"]
    names = {"pytorch_model.bin": "model.safetensors"}
    files = tuple(replace(file, sha256=digests[names.get(file.name, file.name)]) for file in role.files)
    monkeypatch.setitem(ROLES, "hubert", replace(role, files=files))
    published = store.add_base_model(folder, "hubert")
    assert published.unpinned == ()
    assert published.base_model.is_pinned


# Refused


def test_everything_that_is_missing_is_told_at_once(store: ModelsStore, g2pw: Path):
    (g2pw / "POLYPHONIC_CHARS.txt").unlink()
    (g2pw / "g2pW.onnx").unlink()
    with pytest.raises(SubmissionError) as refused:
        store.add_base_model(g2pw, "g2pw")
    assert codes(refused) == [("MissingFile", "g2pW.onnx"), ("MissingFile", "POLYPHONIC_CHARS.txt")]
    assert store.base_models.get("g2pw") is None


@pytest.mark.parametrize("config", ['{"model_type": "bert"}', "[]", "{", ""])
def test_another_models_config_is_refused(store: ModelsStore, make_hubert: Callable[..., Path], config: str):
    folder = make_hubert()
    (folder / "config.json").write_text(config)
    with pytest.raises(SubmissionError, match="expected 'hubert'") as refused:
        store.add_base_model(folder, "hubert")
    assert codes(refused) == [("BadConfig", "config.json")]


def test_another_models_weights_are_refused(store: ModelsStore, make_hubert: Callable[..., Path]):
    folder = make_hubert()
    save_file({"head.weight": np.ones(3, np.float32)}, folder / "model.safetensors")
    with pytest.raises(SubmissionError, match="feature_projection") as refused:
        store.add_base_model(folder, "hubert")
    assert codes(refused) == [("MissingTensor", "")]


def test_a_damaged_safetensors_file_is_refused(store: ModelsStore, make_hubert: Callable[..., Path]):
    folder = make_hubert()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SubmissionError, match="no safetensors file") as refused:
        store.add_base_model(folder, "hubert")
    assert codes(refused) == [("BadCheckpoint", "model.safetensors")]


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_checkpoint_is_run(store: ModelsStore, tmp_path: Path):
    import torch

    torch.save({"weight": torch.ones(2), "x": Malicious(tmp_path / "run")}, tmp_path / "evil.ckpt")
    with pytest.raises(SubmissionError, match=r"posix\.mkdir; nothing was run") as refused:
        store.add_base_model(tmp_path / "evil.ckpt", "eres2netv2")
    assert codes(refused) == [("UnsafeCheckpoint", "evil.ckpt")]
    assert not (tmp_path / "run").exists()
    assert store.base_models.get("eres2netv2") is None


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 no zip"])
def test_what_is_no_checkpoint_is_refused(store: ModelsStore, tmp_path: Path, content: bytes):
    (tmp_path / "some.ckpt").write_bytes(content)
    with pytest.raises(SubmissionError) as refused:
        store.add_base_model(tmp_path / "some.ckpt", "eres2netv2")
    assert codes(refused) == [("BadCheckpoint", "some.ckpt")]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({}, "BadCheckpoint"),
        ({"a": np.arange(3)}, "BadCheckpoint"),
        ({"a": np.ones(3, np.float64)}, "WrongDtype"),
    ],
)
def test_a_state_dict_that_is_none_is_refused(
    store: ModelsStore, tmp_path: Path, save_checkpoint: Callable[..., None], state: Any, code: str
):
    save_checkpoint(state, tmp_path / "some.ckpt")
    with pytest.raises(SubmissionError) as refused:
        store.add_base_model(tmp_path / "some.ckpt", "eres2netv2")
    assert codes(refused) == [(code, "some.ckpt")]


def test_an_unknown_role_is_told_with_the_command_that_lists_them(store: ModelsStore, g2pw: Path):
    with pytest.raises(NotFound, match="voicecore base list"):
        store.add_base_model(g2pw, "wav2vec")


# Replacing


def test_a_replaced_build_stays_until_the_next_for_those_who_hold_it(
    store: ModelsStore, make_hubert: Callable[..., Path]
):
    first, second, third = (store.add_base_model(make_hubert(seed), "hubert") for seed in range(3))
    assert [added.replaced for added in (first, second, third)] == [False, True, True]
    assert store.base_models.get("hubert") == third.base_model
    assert not first.base_model.folder.exists()
    assert second.base_model.folder.is_dir()


def test_the_same_build_again_changes_nothing(store: ModelsStore, make_hubert: Callable[..., Path]):
    folder = make_hubert()
    first, again = (store.add_base_model(folder, "hubert") for _ in range(2))
    assert (again.is_new, again.replaced) == (False, False)
    assert again.base_model == first.base_model


def test_what_was_derived_with_another_build_is_forgotten(
    store: ModelsStore, make_hubert: Callable[..., Path], publish: Callable[..., Submission]
):
    needing, other = publish("gpt_sovits", "v2"), publish("xtts", "v2")
    kept = [store.conditioning_dir(submission.id) / "f00d.npz" for submission in (needing, other)]

    def derive() -> None:
        for path in kept:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"latents")

    derive()
    store.add_base_model(folder := make_hubert(), "hubert")
    assert [path.exists() for path in kept] == [False, True]
    derive()
    store.add_base_model(folder, "hubert")
    assert [path.exists() for path in kept] == [True, True]


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "deep"), [("manifest.json", False), ("config.json", False), ("x", True)])
def test_damage_is_found_and_mended_by_the_same_build(
    store: ModelsStore, make_hubert: Callable[..., Path], name: str, deep: bool
):
    build = store.add_base_model(folder := make_hubert(), "hubert").base_model
    assert [*verify(store.layout, deep=True)] == []
    if deep:  # of the same size
        weights = build.folder / "model.safetensors"
        damage(weights, weights.read_bytes()[:-1] + b"?")
    else:
        damage(build.folder / name, b"{")
    (problem,) = verify(store.layout, deep)
    assert problem.code == "DamagedStore"
    assert problem.file.startswith("base_models/hubert")
    assert "voicecore base pull hubert" in problem.remedy
    assert (store.base_models.get("hubert") is None) is not deep, "as good as missing"
    assert store.add_base_model(folder, "hubert").base_model == build
    assert [*verify(store.layout, deep=True)] == []


def test_a_manifest_holds_no_path(store: ModelsStore, make_hubert: Callable[..., Path], tmp_path: Path):
    build = store.add_base_model(make_hubert(), "hubert").base_model
    manifest = (build.folder / "manifest.json").read_text()
    assert str(tmp_path) not in manifest
    assert json.loads(manifest)["role"] == "hubert"


# Who needs what

WANTED = {
    ("xtts", "v2", LANGUAGES): [],
    ("gpt_sovits", "v1", ("zh", "en", "ja")): ["hubert", "roberta"],
    ("gpt_sovits", "v2", ("en", "ja", "ko", "yue")): ["hubert"],
    ("gpt_sovits", "v2", ("zh-CN",)): ["hubert", "roberta", "g2pw"],
    ("gpt_sovits", "v2Pro", ("en",)): ["hubert", "eres2netv2"],
    ("gpt_sovits", "v2ProPlus", LANGUAGES): ["hubert", "roberta", "g2pw", "eres2netv2"],
}


@pytest.mark.parametrize(("family", "variant", "languages"), WANTED)
def test_what_is_missing_depends_on_who_speaks_what(
    tmp_path: Path, family: str, variant: str, languages: tuple[str, ...]
):
    missing = BaseModels(tmp_path / "nothing").missing_for(family, variant, languages)
    assert [row.role for row in missing] == WANTED[family, variant, languages]
    assert [row.role for row in missing if row.is_optional] == [r.role for r in missing if r.role == "g2pw"]


def test_looking_makes_nothing(tmp_path: Path):
    assert BaseModels(tmp_path / "nothing").get("hubert") is None
    assert list(tmp_path.iterdir()) == []


def test_a_request_is_refused_for_what_it_needs_and_no_more(
    store: ModelsStore, make_hubert: Callable[..., Path], publish: Callable[..., Submission]
):
    submission = publish("gpt_sovits", "v2Pro")
    with pytest.raises(MissingBaseModels, match="`voicecore base pull hubert eres2netv2`") as refused:
        require_base_models(store.files(submission.id))
    assert refused.value.roles == ("hubert", "eres2netv2")
    v2 = publish("gpt_sovits", "v2")
    store.add_base_model(make_hubert(), "hubert")
    files = store.files(v2.id)
    require_base_models(files)
    require_base_models(files, ["en", "ja"])
    with pytest.raises(MissingBaseModels, match="needs the base model roberta") as refused:
        require_base_models(files, ["zh-CN"])
    assert refused.value.roles == ("roberta",)
    require_base_models(files, ["zh"], dispensable={"roberta"})
    require_base_models(store.files(publish("xtts", "v2").id), ["zh"])


def test_a_submissions_files_bring_the_base_models_it_can_use(
    store: ModelsStore, make_hubert: Callable[..., Path], g2pw: Path, publish: Callable[..., Submission]
):
    v1, v2, xtts = publish("gpt_sovits", "v1"), publish("gpt_sovits", "v2"), publish("xtts", "v2")
    before = store.files(v2.id)
    assert before.base_models == {}
    hubert = store.add_base_model(make_hubert(), "hubert").base_model
    polyphones = store.add_base_model(g2pw, "g2pw").base_model
    assert store.files(v2.id).base_models == {"hubert": hubert.folder, "g2pw": polyphones.folder}
    assert store.files(v1.id).base_models == {"hubert": hubert.folder}
    assert store.files(xtts.id).base_models == {}
    assert store.files(v2.id).identity != before.identity
    assert store.files(xtts.id).identity == xtts.id


def test_an_accepted_upload_is_told_what_is_missing(store: ModelsStore, submitting: ModuleType):
    report = Report("gpt_sovits", "v2", ("en", "zh"))
    warnings = store.base_models.completed(report).warnings
    assert [warning.code for warning in warnings] == ["MissingBaseModel"] * 3
    assert [warning.remedy.rpartition(" ")[2] for warning in warnings] == ["hubert`.", "roberta`.", "g2pw`."]
    assert "nothing can be spoken without it" in warnings[0].found
    with store.scratch() as scratch:
        checked = submitting.checked(scratch, "x")
        assert store.publish(checked, "anna").report == checked.report
    with store.scratch() as scratch:
        needing = replace(submitting.checked(scratch, "y").accepted(), family="gpt_sovits")
        assert store.publish(Checked(report, needing), "berta").report.warnings == warnings
