"""An upload, from untrusted folder or archive to files that can't execute anything.

    take apart (archives) → recognise the family's layout → judge and convert in the sandbox → report

Every stage goes on where the next can still say something, so one report has all there is to mend.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from models_store.archives import read_files
from models_store.errors import Problem
from models_store.report import Checked, Converted, Limits, Progress, ProgressCallback, Report
from models_store.sandbox import Outcome, ResourceLimits, SandboxFailure, run_confined
from models_store.voices import ConvertedRecording, convert_recording

MAX_NAMED = 10  # files quoted in one message
# Said nothing about when they lie beside a submission.
COMPANION_SUFFIXES = frozenset({".md", ".txt", ".png", ".jpg", ""})
LONGEST_HEADER_BYTES = 64 << 20
WAV_MAGICS = (b"RIFF", b"RIFX", b"RF64")


@dataclass(frozen=True, slots=True)
class LayoutFile:
    name: str
    input: str  # what the family's task calls the descriptor
    holds: str  # in words
    tells_family: bool  # other families have no such file


@dataclass(frozen=True, slots=True)
class Layout:
    """How a family's submissions look, and the sandbox task that reads them."""

    family: str
    title: str
    files: tuple[LayoutFile, ...]
    recording: str
    task: str | None  # None: recognised, not served yet
    outputs: Mapping[str, str]  # role of the stored blob → what the task calls the descriptor


LAYOUTS = (
    Layout(
        family="xtts",
        title="XTTS",
        files=(
            LayoutFile("model.pth", "model", "the weights", tells_family=True),
            LayoutFile("config.json", "config", "the sizes and sampling defaults", tells_family=False),
            LayoutFile("vocab.json", "vocabulary", "the text tokenizer", tells_family=True),
        ),
        recording="audio.wav",
        task="models_store.checkpoints.xtts:convert",
        outputs={"weights": "weights", "config": "config_out", "vocabulary": "vocabulary_out"},
    ),
    Layout(
        family="gpt_sovits",
        title="GPT-SoVITS",
        files=(
            LayoutFile("sovits.pth", "sovits", "the synthesizer", tells_family=True),
            LayoutFile("gpt.ckpt", "gpt", "the text-to-semantic model", tells_family=True),
            LayoutFile("config.json", "config", "the reference and its text", tells_family=False),
        ),
        recording="reference.wav",
        task=None,
        outputs={},
    ),
)


class Judgement(msgspec.Struct, frozen=True):
    """What a family's task returns."""

    variant: str
    languages: tuple[str, ...]
    problems: tuple[Problem, ...]
    num_problems: int  # also those beyond the listed ones
    warnings: tuple[Problem, ...]
    facts: dict[str, str]


def read_submission(
    path: Path,
    scratch: Path,
    progress: ProgressCallback | None = None,
    limits: Limits | None = None,
) -> Checked:
    """Unpack, recognise, check and convert an upload: a folder, .zip, .tar or .tar.gz.

    `scratch` is an existing directory of the caller's, on the store's file system, into which archives are
    unpacked and converted files are written; the caller removes it. Nothing that is wrong with the upload
    raises: it is in the report. `progress` is called on this thread; what it raises ends the intake.
    """
    limits = limits or Limits()
    if not path.exists():
        return _refused(
            _problem("MissingFile", "", f"nothing at {path}", "a folder or an archive", "Check the path.")
        )
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    paths, problems = read_files(path, unpacked, progress, limits)
    if problems:
        return _refused(*problems)
    layout = _recognise(paths)
    if layout is None:
        return _refused(_unknown_family(paths))
    if layout.task is None:
        return Checked(Report(layout.family, problems=(_not_served(layout),)), None)
    return _read_layout(layout, layout.task, paths, scratch, progress, limits)


def check(path: Path, progress: ProgressCallback | None = None, limits: Limits | None = None) -> Report:
    """The report that `read_submission` would give, leaving nothing behind."""
    with tempfile.TemporaryDirectory(prefix="voicecore-check-") as scratch:
        return read_submission(path, Path(scratch), progress, limits).report


def _read_layout(
    layout: Layout,
    task: str,
    paths: Mapping[str, Path],
    scratch: Path,
    progress: ProgressCallback | None,
    limits: Limits,
) -> Checked:
    problems = _missing_files(layout, paths)
    warnings = _ignored_files(layout, paths)
    recording = scratch / "recording.wav"
    reference = _read_recording(layout, paths, recording)
    problems += reference.problems
    warnings += reference.warnings
    if not reference.problems:
        warnings += _disguised_recording(layout, paths)
    outputs = {role: scratch / role for role in layout.outputs}
    try:
        outcome = _run(layout, task, paths, outputs, progress, limits)
    except SandboxFailure as failure:
        problems.append(_unreadable(layout, failure))
        return Checked(Report(layout.family, problems=tuple(problems), warnings=tuple(warnings)), None)
    judgement = msgspec.convert(outcome.result, Judgement)
    report = Report(
        layout.family,
        judgement.variant,
        judgement.languages,
        (*problems, *judgement.problems, *_beyond_listed(judgement)),
        (*warnings, *judgement.warnings, *_unconfined(outcome)),
        judgement.facts | ({"reference": f"{reference.duration_s:.1f} s"} if reference.duration_s else {}),
    )
    if not report.ok:
        return Checked(report, None)
    converted = Converted(
        layout.family, judgement.variant, judgement.languages, outputs, recording, reference.duration_s
    )
    return Checked(report, converted)


def _run(
    layout: Layout,
    task: str,
    paths: Mapping[str, Path],
    outputs: Mapping[str, Path],
    progress: ProgressCallback | None,
    limits: Limits,
) -> Outcome:
    def report(done: int, total: int) -> None:
        if progress:
            progress(Progress("convert", done, total))

    return run_confined(
        task,
        inputs={file.input: paths[file.name] for file in layout.files if file.name in paths},
        outputs={descriptor: outputs[role] for role, descriptor in layout.outputs.items()},
        arguments={"max_weights_bytes": limits.max_weights_bytes},
        limits=ResourceLimits(
            memory_bytes=limits.max_memory_bytes,
            cpu_s=limits.max_cpu_s,
            file_bytes=limits.max_weights_bytes + LONGEST_HEADER_BYTES,
            timeout_s=limits.timeout_s,
        ),
        progress=report,
    )


def _read_recording(layout: Layout, paths: Mapping[str, Path], target: Path) -> ConvertedRecording:
    if layout.recording not in paths:
        return ConvertedRecording(0.0, (), ())
    return convert_recording(paths[layout.recording], target, layout.recording)


def _disguised_recording(layout: Layout, paths: Mapping[str, Path]) -> list[Problem]:
    """It was decoded by its content; other programs may go by its name."""
    if layout.recording not in paths:
        return []
    with paths[layout.recording].open("rb") as file:
        if file.read(4) in WAV_MAGICS:
            return []
    remedy = "It was read all the same; export it as wav to be safe elsewhere."
    return [_problem("BadReference", layout.recording, "audio in another format", "a wav file", remedy)]


# The layout


def _recognise(paths: Mapping[str, Path]) -> Layout | None:
    """The layout with the most of its telling files, also under similar names."""
    scores = {layout.family: _resemblance(layout, paths) for layout in LAYOUTS}
    best = max(LAYOUTS, key=lambda layout: scores[layout.family])
    return best if scores[best.family] else None


def _resemblance(layout: Layout, paths: Mapping[str, Path]) -> int:
    names = [file.name for file in layout.files if file.tells_family]
    exact = sum(name in paths for name in names)
    similar = sum(name not in paths and _similar(name, paths, layout) is not None for name in names)
    return 2 * exact + similar


def _similar(name: str, paths: Mapping[str, Path], layout: Layout) -> str | None:
    """A file that is probably meant to be `name`."""
    taken = {file.name for file in layout.files} | {layout.recording}
    free = [other for other in paths if other not in taken]
    by_lower = {PurePosixPath(other).name.lower(): other for other in free}
    near = difflib.get_close_matches(name, list(by_lower)[:200], n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None


def _missing_files(layout: Layout, paths: Mapping[str, Path]) -> list[Problem]:
    required = [(file.name, file.holds) for file in layout.files]
    required.append((layout.recording, "the voice's reference recording"))
    problems = []
    for name, holds in required:
        if name in paths:
            continue
        similar = _similar(name, paths, layout) or _only_one_of_its_type(name, paths, layout)
        remedy = f"Rename {similar!a} to {name}." if similar else f"Add {name} to the folder."
        problems.append(_problem("MissingFile", name, "no such file", holds, remedy))
    return problems


def _only_one_of_its_type(name: str, paths: Mapping[str, Path], layout: Layout) -> str | None:
    taken = {file.name for file in layout.files} | {layout.recording}
    suffix = PurePosixPath(name).suffix
    alike = [other for other in paths if other not in taken and other.lower().endswith(suffix)]
    return alike[0] if len(alike) == 1 else None


def _ignored_files(layout: Layout, paths: Mapping[str, Path]) -> list[Problem]:
    used = {file.name for file in layout.files} | {layout.recording}
    ignored = [
        name
        for name in paths
        if name not in used and PurePosixPath(name).suffix.lower() not in COMPANION_SUFFIXES
    ]
    if not ignored:
        return []
    remedy = "They are not part of the submission and were left out."
    return [_problem("UnexpectedFile", "", _named(ignored), f"the files of an {layout.title} folder", remedy)]


def _unknown_family(paths: Mapping[str, Path]) -> Problem:
    folders = "; ".join(
        f"{layout.title}: {', '.join([*(file.name for file in layout.files), layout.recording])}"
        for layout in LAYOUTS
    )
    if any(PurePosixPath(name).name == "data.pkl" for name in paths):
        found, remedy = "a checkpoint alone", "Put it into a folder with the files it was trained with."
    elif any(name.lower().endswith((".zip", ".tar", ".gz", ".tgz")) for name in paths):
        found, remedy = f"an archive inside: {_named([*paths])}", "Pack the files themselves, once."
    else:
        found = _named([*paths]) if paths else "no files"
        remedy = "Submit a folder, or an archive of one, with the files of one family at its top."
    return _problem("UnknownFamily", "", found, folders, remedy)


def _not_served(layout: Layout) -> Problem:
    names = ", ".join(file.name for file in layout.files if file.tells_family)
    found = f"a {layout.title} submission ({names})"
    served = ", ".join(layout.title for layout in LAYOUTS if layout.task)
    remedy = f"This server does not run {layout.title} yet; submit a {served} folder."
    return _problem("UnknownFamily", "", found, f"a family that is served: {served}", remedy)


# What the stages say


def _unreadable(layout: Layout, failure: SandboxFailure) -> Problem:
    file = layout.files[0].name
    remedy = "Save the checkpoint again from the trained model, without optimizer and trainer state."
    return _problem(
        "BadCheckpoint", file, f"a submission whose reader {failure.found}", "readable files", remedy
    )


def _beyond_listed(judgement: Judgement) -> list[Problem]:
    more = judgement.num_problems - len(judgement.problems)
    if not more:
        return []
    return [_problem("BadCheckpoint", "", f"{more} more problems", "none", "Mend the ones above first.")]


def _unconfined(outcome: Outcome) -> list[Problem]:
    remedy = "The upload was read as data all the same. Allow it in the container's or the system's settings."
    return [
        _problem("Sandbox", "", f"a kernel that grants {missing}", "both, to read uploads behind", remedy)
        for missing in outcome.missing
    ]


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(ascii(name[:100])[1:-1] for name in names[:MAX_NAMED]) + more


def _problem(code: str, file: str, found: str, expected: str, remedy: str) -> Problem:
    return Problem(code, file, found, expected, remedy)


def _refused(*problems: Problem) -> Checked:
    return Checked(Report(None, problems=problems), None)
