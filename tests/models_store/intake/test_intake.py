"""The report: everything at once, in words that say what to do; and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models_store import intake
from models_store.errors import SubmissionError, UploadTooLarge
from models_store.intake import check, read_submission
from models_store.report import Limits, Progress
from models_store.sandbox import Outcome, SandboxFailure

State = dict[str, torch.Tensor]
MakeFolder = Callable[..., Path]


def test_accepted_submission_is_reported_with_what_it_is(golden_folder: Path) -> None:
    report = check(golden_folder)
    assert report.ok
    assert (report.family, report.variant, report.problems, report.warnings) == ("xtts", "v2", (), ())
    assert report.languages[:3] == ("en", "es", "fr")
    assert report.facts["layers"] == "4"
    assert report.facts["number format"] == "F32"
    assert report.facts["reference"] == "7.0 s"
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_every_problem_of_every_file_is_in_one_report(
    make_folder: MakeFolder, tiny_state: State, tiny_config: dict[str, Any]
) -> None:
    state = dict(tiny_state)
    del state["gpt.final_norm.weight"]
    state["gpt.mel_head.bias"] = torch.zeros(7)
    state["gpt.gpt.ln_f.weight"] = torch.full((32,), float("nan"))
    state["gpt.extra"] = torch.zeros(1)
    state["mel_stats"] = torch.zeros(80, dtype=torch.int64)
    tiny_config["top_p"] = 2
    del tiny_config["languages"]
    folder = make_folder(state=state, config=tiny_config, vocabulary=b"{}", audio=b"not a recording")
    report = check(folder)
    assert not report.ok
    assert {(problem.code, problem.file) for problem in report.problems} == {
        ("BadReference", "audio.wav"),
        ("BadConfig", "config.json"),
        ("BadVocabulary", "vocab.json"),
        ("MissingTensor", "model.pth"),
        ("WrongShape", "model.pth"),
        ("WrongDtype", "model.pth"),
        ("BadCheckpoint", "model.pth"),
        ("UnexpectedTensor", "model.pth"),
    }
    assert all(problem.found and problem.expected and problem.remedy for problem in report.problems)
    found = "\n".join(map(str, report.problems))
    for word in (
        "final_norm.weight",
        "mel_head.bias",
        "ln_f.weight",
        "gpt.extra",
        "mel_stats",
        "top_p",
        "languages",
    ):
        assert word in found
    assert "found no mel_stats" not in found  # it is there, of a wrong type


def test_one_wrong_tensor_is_one_problem(make_folder: MakeFolder, tiny_state: State) -> None:
    """Sizes are decided by vote, so that none of the others is called wrong."""
    for name in ("gpt.final_norm.weight", "gpt.mel_head.weight", "gpt.gpt.h.0.ln_1.weight"):
        shape = tuple(2 * size for size in tiny_state[name].shape)
        report = check(make_folder(name=name, state=tiny_state | {name: torch.ones(shape)}))
        assert [(problem.code, problem.found.split()[0]) for problem in report.problems] == [
            ("WrongShape", name)
        ]


def test_missing_layer_in_the_middle_is_said_to_be_missing(
    make_folder: MakeFolder, tiny_state: State
) -> None:
    state = {n: t for n, t in tiny_state.items() if not n.startswith("gpt.gpt.h.0.")}
    report = check(make_folder(state=state))
    assert {problem.code for problem in report.problems} == {"MissingTensor"}
    assert len(report.problems) == 12


def test_misspelled_tensor_is_recognised(make_folder: MakeFolder, tiny_state: State) -> None:
    tiny_state["gpt.mel_heads.weight"] = tiny_state.pop("gpt.mel_head.weight")
    report = check(make_folder(state=tiny_state))
    remedies = {problem.code: problem.remedy for problem in report.problems}
    assert remedies.keys() == {"MissingTensor", "UnexpectedTensor"}
    assert "gpt.mel_head.weight?" in remedies["UnexpectedTensor"]


def test_long_reports_are_cut_and_say_so(make_folder: MakeFolder, tiny_state: State) -> None:
    extra = {f"gpt.unknown.{i}": torch.ones(1) for i in range(600)}
    report = check(make_folder(state=tiny_state | extra))
    assert len(report.problems) == 501
    assert "100 more problems" in report.problems[-1].found


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Model.pth", "model.pth"),
        ("model.pt", "model.pth"),
        ("best_model.pth", "model.pth"),
        ("vocab.json.json", "vocab.json"),
        ("vocabulary.json", "vocab.json"),
        ("Config.JSON", "config.json"),
        ("conf.json", "config.json"),
        ("speaker.wav", "audio.wav"),
        ("audio.WAV", "audio.wav"),
    ],
)
def test_misnamed_file_is_recognised(wrong: str, right: str, make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / right).rename(folder / wrong)
    report = check(folder)
    (problem,) = [problem for problem in report.problems if problem.code == "MissingFile"]
    assert report.family == "xtts"
    assert problem.file == right
    assert problem.remedy == f"Rename '{wrong}' to {right}."


def test_missing_files_are_all_named(make_folder: MakeFolder) -> None:
    report = check(make_folder(config=None, vocabulary=None, audio=None))
    assert [problem.file for problem in report.problems] == ["config.json", "vocab.json", "audio.wav"]


def test_files_beside_a_submission_are_left_out_with_a_warning(make_folder: MakeFolder) -> None:
    folder = make_folder()
    for name in ("speakers_xtts.pth", "README.md", "train.py"):
        (folder / name).write_bytes(b"x")
    report = check(folder)
    assert report.ok
    (warning,) = report.warnings
    assert "speakers_xtts.pth" in warning.found
    assert "train.py" in warning.found
    assert "README" not in warning.found


def test_mp3_that_is_called_wav_is_read_with_a_warning(make_folder: MakeFolder, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    path = tmp_path / "speech.mp3"
    soundfile.write(path, 0.3 * np.sin(np.arange(48_000) * 0.05), 24_000, format="MP3")
    report = check(make_folder(audio=path.read_bytes()))
    assert report.problems == ()
    assert [warning.found for warning in report.warnings] == ["audio in another format"]


def test_a_family_is_told_by_its_files_whatever_is_in_them(tmp_path: Path) -> None:
    for name in ("sovits.pth", "gpt.ckpt", "config.json", "reference.wav"):
        (tmp_path / name).write_bytes(b"x")
    report = check(tmp_path)
    assert report.family == "gpt_sovits"
    assert {problem.file for problem in report.problems} == {"sovits.pth", "gpt.ckpt", "config.json"}


def test_other_folders_are_of_no_family(tmp_path: Path) -> None:
    (tmp_path / "weights.onnx").write_bytes(b"x")
    (tmp_path / "config.json").write_bytes(b"{}")
    report = check(tmp_path)
    assert report.family is None
    assert "weights.onnx" in report.problems[0].found
    assert "model.pth, config.json, vocab.json, audio.wav" in report.problems[0].expected


def test_checkpoint_alone_is_told_from_an_archive(make_folder: MakeFolder) -> None:
    (problem,) = check(make_folder() / "model.pth").problems
    assert problem.found == "a checkpoint alone"


def test_path_to_nothing_is_a_problem(tmp_path: Path) -> None:
    (problem,) = check(tmp_path / "nowhere").problems
    assert problem.code == "MissingFile"


def test_progress_goes_from_nothing_to_all(make_folder: MakeFolder) -> None:
    heard: list[Progress] = []
    check(make_folder(), heard.append)
    assert {progress.phase for progress in heard} == {"convert"}
    assert heard[0].done_bytes == 0
    assert heard[-1].done_bytes == heard[-1].total_bytes > 1_000_000


def test_what_progress_raises_ends_the_intake(make_folder: MakeFolder, tmp_path: Path) -> None:
    def cancel(progress: Progress) -> None:
        raise InterruptedError("the client has gone")

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(InterruptedError):
        read_submission(make_folder(), scratch, cancel)


def test_refused_upload_raises_all_its_problems(make_folder: MakeFolder, tmp_path: Path) -> None:
    checked = read_submission(make_folder(audio=None, vocabulary=None), tmp_path)
    assert checked.converted is None
    with pytest.raises(SubmissionError) as refused:
        checked.accepted()
    assert refused.value.problems == checked.report.problems
    scratch = tmp_path / "other"
    scratch.mkdir()
    with pytest.raises(UploadTooLarge):
        read_submission(make_folder(name="big"), scratch, limits=Limits(max_upload_bytes=10)).accepted()


def test_too_little_memory_is_a_problem_of_the_report(make_folder: MakeFolder) -> None:
    report = check(make_folder(), limits=Limits(max_memory_bytes=1 << 20))
    assert any("more memory than allowed" in problem.found for problem in report.problems)


def test_kernel_without_confinement_is_a_warning(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = intake.run_confined

    def on_an_old_kernel(*arguments: Any, **options: Any) -> Outcome:
        outcome = run(*arguments, **options)
        return Outcome(outcome.result, ("no system call filter (Function not implemented)",), 0)

    monkeypatch.setattr(intake, "run_confined", on_an_old_kernel)
    report = check(make_folder())
    assert report.ok
    assert "no system call filter (Function not implemented)" in report.warnings[0].found


def test_reader_that_dies_is_a_problem(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*arguments: Any, **options: Any) -> Outcome:
        raise SandboxFailure("crashed (SIGSEGV)")

    monkeypatch.setattr(intake, "run_confined", dies)
    (problem,) = check(make_folder(audio=None)).problems[1:]
    assert problem.code == "BadCheckpoint"
    assert "crashed (SIGSEGV)" in problem.found


def test_submission_itself_is_never_written_to(golden_folder: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in golden_folder.iterdir()}

    before = state()
    check(golden_folder)
    assert state() == before
