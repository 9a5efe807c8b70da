"""Deleting, and what stands in its way."""

from __future__ import annotations

from types import ModuleType

import pytest

from models_store.errors import InUse, NotFound
from models_store.store import ModelsStore


def test_delete_takes_the_name_the_files_and_what_was_derived(store: ModelsStore, submitting: ModuleType):
    kept = submitting.publish(store, "kept", "k").submission
    gone = submitting.publish(store, "gone", "g").submission
    weights = store.files(gone.id).paths["weights"]
    derived = store.conditioning_dir(gone.id) / f"{gone.voice.id.removeprefix('sha256:')}.float32.safetensors"
    derived.write_bytes(b"latents")
    assert store.delete("gone") == gone
    assert not weights.exists()
    assert not derived.parent.exists()
    assert store.submissions() == [kept]
    assert store.names() == {"kept": kept.id}
    for path in store.files(kept.id).paths.values():  # config and vocabulary were shared
        assert path.is_file()


@pytest.mark.parametrize("by_name", [pytest.param(True, id="by-name"), pytest.param(False, id="by-id")])
def test_delete_refuses_while_another_name_points_there(
    store: ModelsStore, submitting: ModuleType, by_name: bool
):
    submission = submitting.publish(store, "anna", "a").submission
    store.alias("best", "anna")
    target = "anna" if by_name else submission.id
    with pytest.raises(InUse, match="best"):
        store.delete(target)
    assert store.resolve("anna") == submission
    store.delete(target, force=True)
    assert store.submissions() == []
    assert store.names() == {}


def test_delete_refuses_while_leased(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    with store.lease(submission.id):
        assert store.is_resident(submission.id)
        with pytest.raises(InUse, match="resident"):
            store.delete("anna")
    assert not store.is_resident(submission.id)
    store.delete("anna")


def test_a_forgotten_lease_ends(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    lease = store.lease(submission.id)
    second = store.lease(submission.id)
    lease.release()
    lease.release()  # harmless
    assert store.is_resident(submission.id)
    del second
    assert not store.is_resident(submission.id)


def test_there_is_no_lease_on_what_is_not_there(store: ModelsStore):
    with pytest.raises(NotFound):
        store.lease("sha256:" + "0" * 64)


def test_what_is_unknown_is_not_found(store: ModelsStore):
    unknown = "sha256:" + "0" * 64
    for call in (store.resolve, store.files, store.delete, store.unalias, store.delete_voice):
        with pytest.raises(NotFound):
            call(unknown)
