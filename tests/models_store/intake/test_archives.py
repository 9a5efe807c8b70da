"""Folders and archives as people pack them are all the same submission."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from models_store.archives import Files, read_files
from models_store.report import Limits, Progress

FILES = {"model.pth": b"weights", "config.json": b"{}", "audio.wav": b"RIFF"}


def read(
    path: Path, scratch: Path, progress: list[Progress] | None = None, limits: Limits | None = None
) -> Files:
    scratch.mkdir(exist_ok=True)
    return read_files(path, scratch, progress.append if progress is not None else None, limits or Limits())


def contents(files: Files) -> dict[str, bytes]:
    assert files.problems == ()
    return {name: path.read_bytes() for name, path in files.paths.items()}


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(content))
    return path


def write_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        if name.endswith("/"):
            (path / name).mkdir(parents=True, exist_ok=True)
        else:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


PACKERS = {
    "folder": lambda path, members: write_folder(path / "folder", members),
    "zip": lambda path, members: write_zip(path / "a.zip", members),
    "zip without compression": lambda path, members: write_zip(path / "a.zip", members, zipfile.ZIP_STORED),
    "tar": lambda path, members: write_tar(path / "a.tar", members),
    "tar.gz": lambda path, members: write_tar(path / "a.tar.gz", members, "w:gz"),
    "GNU tar": lambda path, members: write_tar(path / "a.tar", members, form=tarfile.GNU_FORMAT),
    "no suffix": lambda path, members: write_zip(path / "upload", members),
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize(
    "members",
    [
        pytest.param(FILES, id="flat"),
        pytest.param({f"my model/{name}": content for name, content in FILES.items()}, id="in a folder"),
        pytest.param({"m/": b"", **{f"m/{name}": c for name, c in FILES.items()}}, id="with folder entries"),
        pytest.param({"./": b"", **{f"./{name}": c for name, c in FILES.items()}}, id="from inside"),
        pytest.param(
            {
                **{f"m/{name}": content for name, content in FILES.items()},
                "__MACOSX/m/._model.pth": b"junk",
                "m/.DS_Store": b"junk",
                "m/._audio.wav": b"junk",
                "m/.git/config": b"junk",
                "Thumbs.db": b"junk",
            },
            id="with junk",
        ),
    ],
)
def test_every_packing_is_the_same_submission(packer: str, members: dict[str, bytes], tmp_path: Path) -> None:
    assert contents(read(PACKERS[packer](tmp_path, members), tmp_path / "scratch")) == FILES


def test_only_one_folder_is_looked_through(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"a/b/{name}": content for name, content in FILES.items()})
    assert contents(read(path, tmp_path / "scratch")) == {f"b/{name}": c for name, c in FILES.items()}


def test_two_folders_are_not_one_submission(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a/model.pth": b"1", "b/model.pth": b"2"})
    assert contents(read(path, tmp_path / "scratch")) == {"a/model.pth": b"1", "b/model.pth": b"2"}


def test_files_of_an_archive_lie_under_numbers(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"ünï/mödel.pth": b"1", "ünï/sub/x": b"2"})
    files = read(path, tmp_path / "scratch")
    assert contents(files) == {"mödel.pth": b"1", "sub/x": b"2"}
    assert {found.parent for found in files.paths.values()} == {tmp_path / "scratch"}
    assert sorted(found.name for found in files.paths.values()) == ["00000", "00001"]


def test_sparse_members_of_a_tar_come_out_whole(tmp_path: Path) -> None:
    folder = tmp_path / "sparse"
    folder.mkdir()
    with (folder / "model.pth").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    archive = tmp_path / "a.tar"
    import subprocess

    subprocess.run(["tar", "-S", "-cf", archive, "-C", folder, "model.pth"], check=True)
    assert archive.stat().st_size < 1 << 19
    assert contents(read(archive, tmp_path / "scratch"))["model.pth"] == bytes(1 << 20) + b"end"


@pytest.mark.parametrize("packer", ["zip", "tar", "tar.gz"])
def test_progress_ends_at_the_archive_s_size(packer: str, tmp_path: Path) -> None:
    path = PACKERS[packer](tmp_path, {"model.pth": bytes(range(256)) * 20_000})
    heard: list[Progress] = []
    read(path, tmp_path / "scratch", heard)
    assert {progress.phase for progress in heard} == {"unpack"}
    assert [progress.done_bytes for progress in heard] == sorted(progress.done_bytes for progress in heard)
    assert 0 < heard[-1].done_bytes <= heard[-1].total_bytes == path.stat().st_size


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, EOFError])
def test_what_progress_raises_is_not_taken_for_damage(error: type[Exception], tmp_path: Path) -> None:
    def cancel(progress: Progress) -> None:
        raise error("the client has gone")

    path = write_zip(tmp_path / "a.zip", FILES)
    with pytest.raises(error, match="the client has gone"):
        read_files(path, tmp_path, cancel, Limits())


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in {
            "../x": tarfile.REGTYPE,
            "../y": tarfile.REGTYPE,
            "/z": tarfile.REGTYPE,
            "link": tarfile.SYMTYPE,
            "pipe": tarfile.FIFOTYPE,
        }.items():
            info = tarfile.TarInfo(name)
            info.type = kind
            archive.addfile(info)
    problems = read(path, tmp_path / "scratch").problems
    assert [problem.found for problem in problems] == [
        "a path that leaves the folder: '../x', '../y'",
        "an absolute path: '/z'",
        "symbolic link: 'link'",
        "named pipe: 'pipe'",
    ]


def test_well_compressed_small_archives_are_no_bombs(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"silence.wav": bytes(10 << 20)})
    assert path.stat().st_size * 100 < 10 << 20
    assert len(contents(read(path, tmp_path / "scratch"))["silence.wav"]) == 10 << 20


def test_links_outside_the_archive_are_never_followed(tmp_path: Path) -> None:
    """A link and then a file through it: the classic escape of tar."""
    path = tmp_path / "a.tar"
    outside = tmp_path / "outside"
    outside.mkdir()
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("model")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        through = tarfile.TarInfo("model/evil")
        through.size = 4
        archive.addfile(through, io.BytesIO(b"evil"))
    assert "symbolic link" in read(path, tmp_path / "scratch").problems[0].found
    assert list(outside.iterdir()) == []
