"""`voicecore base` and `voicecore pull` as people use them, against a hub on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from models_store.base_roles import ROLES
from models_store.published import PUBLISHED, HubFile
from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore
from server.cli import app

Run = Callable[..., Result]
LICENCE = "Only the kind may use this."


@pytest.fixture
def run(tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the data folder `tmp_path`, with the stand-in for the hub."""
    monkeypatch.setenv("VOICECORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path, status: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def store(tmp_path: Path) -> ModelsStore:
    return ModelsStore(tmp_path / "home" / "store")


def republish(hub: Any, file: HubFile, content: bytes, pinned: bool = True) -> HubFile:
    """The same file with other content, on the stand-in."""
    hub.publish(file.repository, file.revision, {file.path: content})
    sha256 = hashlib.sha256(content).hexdigest() if pinned else None
    return replace(file, size_bytes=len(content) if pinned else None, sha256=sha256)


@pytest.fixture
def hubert(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A tiny published HuBERT in place of the real one: its files."""
    import torch

    weights = io.BytesIO()
    torch.save({name: torch.ones(30, 40) for name in ROLES["hubert"].tells}, weights)
    contents = {
        "config.json": b'{"model_type": "hubert"}',
        "preprocessor_config.json": b"{}",
        "pytorch_model.bin": weights.getvalue(),
    }
    role = ROLES["hubert"]
    downloads = tuple(republish(hub, file, contents[Path(file.path).name]) for file in role.downloads)
    pins = {Path(file.path).name: file.sha256 for file in downloads}
    files = tuple(replace(file, sha256=pins[file.name]) for file in role.files)
    monkeypatch.setitem(ROLES, "hubert", replace(role, files=files, downloads=downloads))
    return contents


@pytest.fixture
def xtts_v2(hub: Any, golden_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny golden submission in place of the published XTTS-v2."""
    published = PUBLISHED["xtts-v2"]
    files = {
        name: republish(hub, file, (golden_folder / name).read_bytes(), pinned=file.sha256 is not None)
        for name, file in published.files.items()
    }
    licence_file = republish(hub, published.licence_file, LICENCE.encode(), pinned=False)
    changed = replace(published, files=files, licence_file=licence_file)
    monkeypatch.setitem(PUBLISHED, "xtts-v2", changed)


def publish(store: ModelsStore, family: str, languages: tuple[str, ...]) -> None:
    """A submission of that name, without an intake."""
    with store.scratch() as scratch:
        weights, recording = scratch / "weights", scratch / "recording.wav"
        weights.write_bytes(family.encode())
        recording.write_bytes(b"sound")
        converted = Converted(family, "v2", languages, {"weights": weights}, recording, 3.0)
        store.publish(Checked(Report(family, "v2", languages), converted), family)


def assert_one_red_line(result: Result, *parts: str) -> None:
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts), line


# Base models


def test_list_says_what_is_here_and_who_needs_it(run: Run, tmp_path: Path, hubert: dict[str, bytes]):
    header, *rows = run("base", "list").stdout.splitlines()
    assert header.split()[:4] == ["role", "here", "download", "licence"]
    assert [row.split()[0] for row in rows] == list(ROLES)
    assert all(row.split()[1] == "no" for row in rows)
    assert re.search(r"roberta +no +651\.5 MB +Apache-2\.0 +gpt_sovits for zh +no Chinese", rows[1])
    run("base", "pull", "hubert")
    assert run("base", "list").stdout.splitlines()[1].split()[:2] == ["hubert", "yes"]
    told = {row["role"]: row for row in json.loads(run("base", "list", "--json").stdout)}
    assert (told["hubert"]["here"], told["hubert"]["is_pinned"]) == (True, True)
    assert told["hubert"]["files"].keys() == hubert.keys()
    assert told["g2pw"]["needs"][0]["is_optional"] is True
    assert (told["g2pw"]["here"], told["g2pw"]["is_pinned"]) == (False, None)


def test_pull_fetches_checks_and_leaves_nothing_behind(
    run: Run, store: ModelsStore, hub: Any, hubert: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", "secret")
    told = run("base", "pull", "hubert").stdout
    assert {request.authorization for request in hub.seen} == {"Bearer secret"}
    assert "licence MIT" in told
    assert "uses it from the next request on" in told
    assert "hubert is here" in told
    assert "not the published build" not in told
    build = store.base_models.get("hubert")
    assert build is not None
    assert build.is_pinned
    assert list((store.root / "downloads").iterdir()) == []
    assert hub.ranges == [None], "the small files come without a redirect"


def test_pull_goes_on_where_it_was_interrupted(
    run: Run, store: ModelsStore, hub: Any, hubert: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("models_store.hub.ATTEMPTS", 1)
    hub.misbehaviour.cuts = 1
    assert_one_red_line(run("base", "pull", "hubert", status=1), "the same command goes on")
    assert store.base_models.get("hubert") is None
    assert "hubert is here" in run("base", "pull", "hubert").stdout
    assert hub.ranges == [None, "bytes=500-"]
    asked = [request.path for request in hub.seen if request.path.endswith("/config.json")]
    assert len(asked) == 1, "what was complete is not fetched again"


def test_pull_unpacks_a_published_archive(
    run: Run, store: ModelsStore, hub: Any, monkeypatch: pytest.MonkeyPatch
):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in ROLES["g2pw"].files:
            archive.writestr(f"G2PWModel/{file.name}", file.name)
    role = ROLES["g2pw"]
    downloads = tuple(republish(hub, file, packed.getvalue()) for file in role.downloads)
    monkeypatch.setitem(ROLES, "g2pw", replace(role, downloads=downloads))
    told = run("base", "pull", "g2pw").stdout
    assert "g2pW.onnx (sha256:" in told, "what is in it is not the published one's"
    build = store.base_models.get("g2pw")
    assert build is not None
    assert (build.folder / "g2pW.onnx").read_text() == "g2pW.onnx"


def test_pull_without_roles_fetches_what_the_store_lacks(
    run: Run, store: ModelsStore, hubert: dict[str, bytes]
):
    assert "No submission in the store lacks" in run("base", "pull").stdout
    publish(store, "gpt_sovits", ("en", "ja"))
    assert "hubert is here" in run("base", "pull").stdout
    assert "No submission in the store lacks" in run("base", "pull").stdout


def test_add_says_what_is_not_the_published_one(
    run: Run, store: ModelsStore, tmp_path: Path, hubert: dict[str, bytes]
):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes(hubert[name])
    tensors = {name: np.zeros((2, 2), np.float16) for name in ROLES["hubert"].tells}
    save_file(tensors, folder / "model.safetensors")
    told = run("base", "add", folder, "--role", "hubert").stdout
    (line,) = [line for line in told.splitlines() if "not the published build's" in line]
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert line == f"model.safetensors (sha256:{digest}) is not the published build's"
    assert run("base", "list").stdout.splitlines()[1].split()[:3] == ["hubert", "another", "build"]
    assert "It replaces another build" in run("base", "pull", "hubert").stdout


def test_add_refuses_with_every_problem(run: Run, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    told = run("base", "add", tmp_path / "empty", "--role", "g2pw", status=1).stderr
    assert told.count("MissingFile") == len(ROLES["g2pw"].files)


def test_unknown_roles_are_told_before_anything_is_fetched(run: Run, hub: Any, hubert: dict[str, bytes]):
    assert_one_red_line(run("base", "pull", "hubert", "wav2vec", status=1), "'wav2vec'", "base list")
    assert hub.seen == []


def test_a_bad_endpoint_is_told_by_its_variable(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    told = run("base", "pull", "hubert", status=2).stderr
    assert "VOICECORE_HUB_ENDPOINT: found 'hub.example'" in told


def test_check_and_speak_name_what_is_missing(
    run: Run, store: ModelsStore, golden_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """As if XTTS submissions needed HuBERT."""
    role = ROLES["hubert"]
    needs = tuple(replace(need, family="xtts") for need in role.needs)
    monkeypatch.setitem(ROLES, "hubert", replace(role, needs=needs))
    checked = run("check", golden_folder).stdout
    assert "warning the submission MissingBaseModel" in checked
    assert "voicecore base pull hubert" in checked
    assert "It can be submitted." in checked
    publish(store, "xtts", ("en",))
    output = store.root.parent / "hello.wav"
    told = run("speak", "Hello.", "-o", output, "--local", "--model", "xtts", status=1)
    assert_one_red_line(told, "xtts v2 needs the base model hubert", "`voicecore base pull hubert`")


# Published models


def test_pull_shows_the_licence_and_asks(run: Run, store: ModelsStore, hub: Any, xtts_v2: None):
    told = run("pull", "xtts-v2", status=1, input="n\n").stdout
    assert LICENCE in told
    assert "Coqui Public Model License" in told
    assert "Do you accept it?" in told
    assert hub.ranges == [], "nothing else is fetched"
    assert store.names() == {}
    told = run("pull", "xtts-v2", input="y\n").stdout
    assert f"xtts-v2 is {store.resolve('xtts-v2').id}" in told
    assert store.resolve("xtts-v2").family == "xtts"


def test_nobody_to_ask_is_no_acceptance(run: Run, hub: Any, xtts_v2: None):
    run("pull", "xtts-v2", status=1)
    assert hub.ranges == []


def test_pull_of_a_model_goes_on_where_it_was_interrupted(
    run: Run, store: ModelsStore, hub: Any, xtts_v2: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("models_store.hub.ATTEMPTS", 1)
    hub.misbehaviour.cuts = 1
    hub.misbehaviour.cut_bytes = 100_000  # only model.pth and audio.wav are larger
    assert_one_red_line(run("pull", "xtts-v2", "--accept-license", status=1), "the same command goes on")
    assert store.names() == {}
    told = run("pull", "xtts-v2", "--accept-license", "--name", "anna").stdout
    assert "Coqui Public Model License" in told
    assert LICENCE not in told, "whoever says so has read it"
    assert len([asked for asked in hub.ranges if asked]) == 1
    assert store.names().keys() == {"anna"}
    assert list((store.root / "downloads").iterdir()) == []


def test_a_hub_with_other_weights_is_refused(run: Run, store: ModelsStore, hub: Any, xtts_v2: None):
    hub.misbehaviour.corrupted = True
    refused = run("pull", "xtts-v2", "--accept-license", status=1)
    assert_one_red_line(refused, "found content of sha256:", "expected sha256:")
    assert store.names() == {}


def test_pull_says_what_there_is(run: Run, hub: Any):
    assert_one_red_line(run("pull", "xtts-v9", status=1), "called 'xtts-v9'", "pull --help")
    assert_one_red_line(run("pull", "xtts-v2", "--name", "a/b", status=1), "found the name 'a/b'")
    assert hub.seen == []
