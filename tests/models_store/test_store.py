"""Publishing: content, ids, files; what is refused and what is left over."""

from __future__ import annotations

import pickle
import stat
from types import ModuleType

import pytest

from models_store import durable
from models_store.errors import Problem, StorageError, SubmissionError
from models_store.report import Checked, Report
from models_store.store import ModelsStore
from models_store.submission import Blob


def test_what_is_published_is_found_by_name_id_and_digits(store: ModelsStore, submitting: ModuleType):
    published = submitting.publish(store, "anna", "a")
    submission = published.submission
    assert published.is_new
    assert published.replaced_id is None
    digits = submission.id.removeprefix("sha256:")
    for name_or_id in ("anna", submission.id, digits, digits[:8], f"sha256:{digits[:12]}"):
        assert store.resolve(name_or_id) == submission
    assert store.submissions() == [submission]
    assert store.names() == {"anna": submission.id}


def test_files_lie_where_their_digests_say_and_cannot_be_written(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    files = store.files(submission.id)
    assert set(files.paths) == {"weights", "config", "vocabulary"}
    for role, path in files.paths.items():
        assert durable.digest_file(path) == submission.blobs[role]
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    (reference,) = files.recordings
    assert reference.read_bytes() == b"sound"


def test_files_travel_between_processes(store: ModelsStore, submitting: ModuleType):
    files = store.files(submitting.publish(store, "anna", "a").submission.id)
    assert pickle.loads(pickle.dumps(files)) == files


def test_the_same_content_twice_is_one_submission_with_two_names(store: ModelsStore, submitting: ModuleType):
    first = submitting.publish(store, "anna", "a")
    again = submitting.publish(store, "berta", "a")
    assert not again.is_new
    assert again.submission == first.submission  # also the time of its first submission
    assert store.submissions() == [first.submission]
    assert set(store.names().values()) == {first.submission.id}


def test_submitting_again_mends_a_damaged_blob(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    weights = store.files(submission.id).paths["weights"]
    content = weights.read_bytes()
    weights.chmod(0o644)
    weights.write_bytes(b"?" * len(content))
    submitting.publish(store, "anna", "a")
    assert weights.read_bytes() == content


def test_a_refused_upload_leaves_nothing(store: ModelsStore):
    problem = Problem("MissingFile", "config.json", "no such file", "config.json", "Add it.")
    with pytest.raises(SubmissionError) as refused:
        store.publish(Checked(Report("xtts", problems=(problem,)), None), "anna")
    assert refused.value.problems == (problem,)
    assert store.submissions() == []


def test_scratch_is_gone_afterwards_even_if_the_writer_fails(store: ModelsStore):
    def write_half() -> None:
        with store.scratch() as scratch:
            (scratch / "half").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(store.layout.scratch.iterdir()) == []


def test_blobs_are_equal_by_content(store: ModelsStore, submitting: ModuleType):
    one = submitting.publish(store, "one", "a").submission
    two = submitting.publish(store, "two", "b").submission
    assert one.blobs["config"] == two.blobs["config"] == Blob("sha256:" + EMPTY_OBJECT, 2)


EMPTY_OBJECT = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_garbage_is_what_nothing_points_to(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    conditionings = store.conditioning_dir(submission.id)
    own = conditionings / f"{submission.voice.id.removeprefix('sha256:')}.float32.safetensors"
    own.write_bytes(b"latents")
    wanted = sorted(path for path in store.root.rglob("*") if path.is_file())

    (store.layout.blobs / ("0" * 64)).write_bytes(b"1234567")
    (conditionings / f"{'1' * 64}.float32.safetensors").write_bytes(b"123")
    stranger = store.layout.conditionings / ("2" * 64)
    stranger.mkdir()
    (stranger / "file").write_bytes(b"12")
    orphan = store.layout.scratch / "orphan"
    (orphan / "deep").mkdir(parents=True)
    (orphan / "deep" / "weights").write_bytes(b"1")

    with store.scratch() as busy:
        (busy / "half").write_bytes(b"half")
        assert store.collect_garbage() == 7 + 3 + 2 + 1
        assert (busy / "half").exists()
    assert sorted(path for path in store.root.rglob("*") if path.is_file()) == wanted
    assert not stranger.exists()
    assert not orphan.exists()


def test_no_blob_is_collected_while_a_manifest_is_unreadable(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    weights = store.files(submission.id).paths["weights"]
    manifest = store.layout.submissions.manifest_path(submission.id)
    manifest.write_bytes(manifest.read_bytes()[:-10])
    other = submitting.publish(store, "berta", "b").submission
    assert weights.exists()
    assert store.submissions() == [other]
    with pytest.raises(StorageError, match="damaged"):
        store.resolve("anna")
    with pytest.raises(StorageError, match="damaged"):
        store.collect_garbage()
