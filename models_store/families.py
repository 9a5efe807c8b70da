"""The families' folders: what is in them, which of them a folder is, and what it lacks.

A new family is a new row of `LAYOUTS`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models_store.errors import Problem
from models_store.report import RecordingLength

MAX_NAMED = 10  # files quoted in one message
# Said nothing about when they lie beside a submission.
COMPANION_SUFFIXES = frozenset({".md", ".txt", ".png", ".jpg", ""})


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
    recording: str | None  # None: the task reads its name out of the submission
    recording_length: RecordingLength
    task: str
    outputs: Mapping[str, str]  # role of the stored blob → what the task calls the descriptor

    def names(self, recording: str | None) -> set[str]:
        return {file.name for file in self.files} | ({recording} if recording else set())


XTTS = Layout(
    family="xtts",
    title="XTTS",
    files=(
        LayoutFile("model.pth", "model", "the weights", tells_family=True),
        LayoutFile("config.json", "config", "the sizes and sampling defaults", tells_family=False),
        LayoutFile("vocab.json", "vocabulary", "the text tokenizer", tells_family=True),
    ),
    recording="audio.wav",
    recording_length=RecordingLength(),
    task="models_store.checkpoints.xtts:convert",
    outputs={"weights": "weights", "config": "config_out", "vocabulary": "vocabulary_out"},
)
GPT_SOVITS = Layout(
    family="gpt_sovits",
    title="GPT-SoVITS",
    files=(
        LayoutFile("sovits.pth", "sovits", "the synthesizer", tells_family=True),
        LayoutFile("gpt.ckpt", "gpt", "the text-to-semantic model", tells_family=True),
        LayoutFile("config.json", "config", "the reference and its text", tells_family=False),
    ),
    recording=None,
    # The published programs refuse others: longer ones were not seen in training, and swallow text.
    recording_length=RecordingLength(3.0, 10.0, best="3 to 10 s"),
    task="models_store.checkpoints.gpt_sovits:convert",
    outputs={"sovits_weights": "sovits_weights", "gpt_weights": "gpt_weights", "config": "config_out"},
)
LAYOUTS = (XTTS, GPT_SOVITS)


def recognise(paths: Mapping[str, Path]) -> Layout | None:
    """The layout with the most of its telling files, also under similar names."""
    scores = {layout.family: _resemblance(layout, paths) for layout in LAYOUTS}
    best = max(LAYOUTS, key=lambda layout: scores[layout.family])
    return best if scores[best.family] else None


def _resemblance(layout: Layout, paths: Mapping[str, Path]) -> int:
    names = [file.name for file in layout.files if file.tells_family]
    exact = sum(name in paths for name in names)
    taken = layout.names(layout.recording)
    similar = sum(name not in paths and _similar(name, paths, taken) is not None for name in names)
    return 2 * exact + similar


def _similar(name: str, paths: Mapping[str, Path], taken: set[str]) -> str | None:
    """A file that is probably meant to be `name`."""
    free = [other for other in paths if other not in taken]
    by_lower = {PurePosixPath(other).name.lower(): other for other in free}
    near = difflib.get_close_matches(name, list(by_lower)[:200], n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None


def missing_files(layout: Layout, recording: str | None, paths: Mapping[str, Path]) -> list[Problem]:
    """`recording`: its name, None where the submission doesn't say it."""
    required = [(file.name, file.holds) for file in layout.files]
    if recording is not None:
        required.append((recording, "the voice's reference recording"))
    taken = layout.names(recording)
    problems = []
    for name, holds in required:
        if name in paths:
            continue
        similar = _similar(name, paths, taken) or _only_one_of_its_type(name, paths, taken)
        remedy = f"Rename {similar!a} to {name}." if similar else f"Add {name} to the folder."
        problems.append(Problem("MissingFile", name, "no such file", holds, remedy))
    return problems


def _only_one_of_its_type(name: str, paths: Mapping[str, Path], taken: set[str]) -> str | None:
    suffix = PurePosixPath(name).suffix
    alike = [other for other in paths if other not in taken and other.lower().endswith(suffix)]
    return alike[0] if len(alike) == 1 else None


def ignored_files(layout: Layout, recording: str | None, paths: Mapping[str, Path]) -> list[Problem]:
    """A warning about what lies beside a submission; none while its recording may be among that."""
    if recording is None:
        return []
    used = layout.names(recording)
    ignored = [
        name
        for name in paths
        if name not in used and PurePosixPath(name).suffix.lower() not in COMPANION_SUFFIXES
    ]
    if not ignored:
        return []
    remedy = "They are not part of the submission and were left out."
    return [Problem("UnexpectedFile", "", _named(ignored), f"the files of an {layout.title} folder", remedy)]


def unknown_family(paths: Mapping[str, Path]) -> Problem:
    folders = "; ".join(
        f"{layout.title}: {', '.join([*(file.name for file in layout.files), layout.recording or 'a wav'])}"
        for layout in LAYOUTS
    )
    if any(PurePosixPath(name).name == "data.pkl" for name in paths):
        found, remedy = "a checkpoint alone", "Put it into a folder with the files it was trained with."
    elif any(name.lower().endswith((".zip", ".tar", ".gz", ".tgz")) for name in paths):
        found, remedy = f"an archive inside: {_named([*paths])}", "Pack the files themselves, once."
    else:
        found = _named([*paths]) if paths else "no files"
        remedy = "Submit a folder, or an archive of one, with the files of one family at its top."
    return Problem("UnknownFamily", "", found, folders, remedy)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(ascii(name[:100])[1:-1] for name in names[:MAX_NAMED]) + more
