"""Files that arrive in pieces: what is said to be there is there, and nothing gets in that shouldn't."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from models_store import resumable_uploads
from models_store.errors import BadUpload, NotFound, StorageError, UploadConflict, UploadTooLarge
from models_store.resumable_uploads import Announced, ResumableUpload, ResumableUploads

PLENTY = 10**6


@pytest.fixture
def uploads(tmp_path: Path) -> ResumableUploads:
    return ResumableUploads(tmp_path / "uploads", expiry_s=3600)


@pytest.fixture
def send(uploads: ResumableUploads) -> Callable[..., ResumableUpload]:
    """Creates an upload and appends to it."""

    def send(name: str, content: bytes, length: int | None = None, group: str = "") -> ResumableUpload:
        announced = Announced(name, len(content) if length is None else length, "submission", group)
        upload = uploads.create(announced, PLENTY)
        uploads.append(upload, 0, content)
        return uploads.get(upload.id)

    return send


def test_pieces_add_up(uploads, send, tmp_path):
    upload = send("model.pth", b"first", length=11)
    assert (upload.offset_bytes, upload.is_complete) == (5, False)
    assert uploads.append(upload, 5, b"second") == 11
    # Somebody who knows nothing but the folder sees the same: nothing is kept in memory.
    upload = ResumableUploads(tmp_path / "uploads", 3600).get(upload.id)
    assert (upload.offset_bytes, upload.is_complete, upload.announced.file_name) == (11, True, "model.pth")
    (tmp_path / "taken").mkdir()
    (path,) = uploads.gather([upload.id], "submission", tmp_path / "taken")
    assert path.read_bytes() == b"firstsecond"


@pytest.mark.parametrize("offset", [0, 4, 6, 11, 10**18])
def test_a_piece_for_another_place_is_refused_and_changes_nothing(uploads, send, offset):
    upload = send("model.pth", b"first", length=11)
    with pytest.raises(UploadConflict, match="expected 5"):
        uploads.append(upload, offset, b"x")
    assert uploads.get(upload.id).offset_bytes == 5


def test_bytes_beyond_the_announced_length_are_refused(uploads, send):
    upload = send("model.pth", b"first", length=6)
    with pytest.raises(UploadTooLarge, match="6 bytes"):
        uploads.append(upload, 5, b"xy")
    assert uploads.get(upload.id).offset_bytes == 5


def test_of_many_senders_at_one_place_exactly_one_wins(uploads, send):
    upload = send("model.pth", b"", length=800)
    won = []

    def race(sender: int) -> None:
        for offset in range(0, 800, 100):
            while uploads.get(upload.id).offset_bytes < offset:
                time.sleep(0)
            try:
                uploads.append(upload, offset, bytes([sender]) * 100)
            except UploadConflict:
                continue
            won.append((offset, sender))

    threads = [threading.Thread(target=race, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (uploads._folder / upload.id / "content").read_bytes()
    assert sorted(offset for offset, _ in won) == [*range(0, 800, 100)]
    assert content == b"".join(bytes([sender]) * 100 for _, sender in sorted(won))


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/etc/passwd", "../model.pth", "a/../../b", "a//b", "a/", "a/./b", "C:model.pth"),
        *("a\\b", "..\\model.pth", "a\nb", "a\0b", "a\u202eb", "x" * 201, "/".join("123456789")),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(BadUpload, match="expected a plain name"):
        Announced(name, 1, "submission")


@pytest.mark.parametrize(
    "name", ["model.pth", "목소리.wav", "a b (1).wav", "reference/voice.wav", "..hidden.wav"]
)
def test_an_honest_name_is_taken_as_it_is(send, uploads, tmp_path, name):
    upload = send(name, b"x")
    (path,) = uploads.gather([upload.id], "submission", tmp_path)
    assert path == tmp_path / name
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("group", ["a/b", "x" * 65, "a b", "é"])
def test_a_group_is_a_plain_token(group):
    with pytest.raises(BadUpload, match="group"):
        Announced("model.pth", 1, "submission", group)


@pytest.mark.parametrize("upload_id", ["", "..", "0" * 31, "0" * 33, "G" * 32, "../" + "0" * 29, "0" * 32])
def test_nobody_gets_at_what_is_no_upload(uploads, upload_id):
    for use in (uploads.get, uploads.remove):
        with pytest.raises(NotFound, match="no upload"):
            use(upload_id)


def test_a_group_is_limited_as_a_whole_and_before_it_is_sent(uploads):
    first = uploads.create(Announced("a", 60, "submission", "g"), max_bytes=100)
    with pytest.raises(UploadTooLarge, match="120 bytes together"):
        uploads.create(Announced("b", 60, "submission", "g"), max_bytes=100)
    uploads.create(Announced("b", 60, "submission", "another"), max_bytes=100)
    uploads.create(Announced("b", 60, "submission"), max_bytes=100)
    uploads.create(Announced("b", 60, "submission"), max_bytes=100)  # alone, not in a group called ""
    with pytest.raises(UploadTooLarge):
        uploads.create(Announced("b", 101, "submission"), max_bytes=100)
    uploads.remove(first.id)
    uploads.create(Announced("b", 60, "submission", "g"), max_bytes=100)


def test_what_one_was_promised_the_next_is_not(uploads, send, monkeypatch):
    monkeypatch.setattr(resumable_uploads.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    send("a", b"x" * 100, length=400)  # 300 are to come
    with pytest.raises(StorageError, match="found 700 bytes free; expected 702"):
        send("b", b"", length=351)
    send("b", b"", length=350)


def test_a_full_disk_leaves_what_arrived(uploads, send, monkeypatch):
    upload = send("model.pth", b"first", length=11)
    opened = Path.open

    def full(path, *arguments, **keywords):
        file = opened(path, *arguments, **keywords)
        if path.name == "content":
            file.close()
            file = Full(path, "r+b")
        return file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="no space left"):
        uploads.append(upload, 5, b"second")
    monkeypatch.undo()
    assert uploads.get(upload.id).offset_bytes == 8, "as much as there was room for"
    assert uploads.append(upload, 8, b"ond") == 11


class Full(FileIO):
    """Takes three bytes, then has no room."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._room = 3

    def write(self, data):
        if not self._room:
            raise OSError(28, "No space left on device")
        written = super().write(bytes(data[: self._room]))
        self._room -= written
        return written


def test_only_complete_files_of_the_purpose_are_handed_on(uploads, send, tmp_path):
    whole, part = send("model.pth", b"whole"), send("config.json", b"pa", length=4)
    with pytest.raises(UploadConflict, match=r"config\.json: found 2 of 4 bytes"):
        uploads.gather([whole.id, part.id], "submission", tmp_path / "a")
    with pytest.raises(BadUpload, match="found an upload for submission; expected one for parade"):
        uploads.gather([whole.id], "parade", tmp_path / "b")
    with pytest.raises(NotFound):
        uploads.gather(["0" * 32], "submission", tmp_path / "c")


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_two_files_of_one_name_are_refused(uploads, send, tmp_path, names):
    ids = [send(name, b"x").id for name in names]
    with pytest.raises(BadUpload, match="two files"):
        uploads.gather(ids, "submission", tmp_path / "taken")


def test_what_nobody_goes_on_with_expires(uploads, send, tmp_path):
    old, new = send("old", b"x", length=2), send("new", b"x", length=2)
    leaving = uploads._folder / ("0" * 32)  # of a `create` that was killed
    leaving.mkdir()
    long_ago = time.time() - 3601
    os.utime(uploads._folder / old.id / "content", (long_ago, long_ago))
    os.utime(leaving, (long_ago, long_ago))
    assert uploads.get(old.id).expires_at < time.time() < uploads.get(new.id).expires_at
    uploads.expire()
    with pytest.raises(NotFound):
        uploads.get(old.id)
    assert [path.name for path in uploads._folder.iterdir()] == [new.id]


def test_every_piece_starts_the_wait_anew(uploads, send):
    upload = send("a", b"x", length=2)
    long_ago = time.time() - 3601
    os.utime(uploads._folder / upload.id / "content", (long_ago, long_ago))
    uploads.append(upload, 1, b"y")
    uploads.expire()
    assert uploads.get(upload.id).is_complete


def test_a_removed_upload_takes_no_more(uploads, send):
    upload = send("a", b"x", length=2)
    uploads.remove(upload.id)
    for use in (lambda: uploads.append(upload, 1, b"y"), lambda: uploads.remove(upload.id)):
        with pytest.raises(NotFound):
            use()


def test_what_is_discarded_may_be_gone_already(uploads, send):
    first, second = send("a", b"x"), send("b", b"x")
    uploads.remove(first.id)
    uploads.discard(first.id, second.id)
    assert not list(uploads._folder.iterdir())


def test_what_was_handed_on_outlives_its_upload(uploads, send, tmp_path):
    upload = send("a", b"x")
    (path,) = uploads.gather([upload.id], "submission", tmp_path)
    uploads.remove(upload.id)
    assert path.read_bytes() == b"x"


def test_there_is_an_end_to_how_many(uploads, send, monkeypatch):
    monkeypatch.setattr(resumable_uploads, "MAX_UPLOADS", 2)
    send("a", b""), send("b", b"")
    with pytest.raises(StorageError, match="found 2 unfinished uploads"):
        send("c", b"")
