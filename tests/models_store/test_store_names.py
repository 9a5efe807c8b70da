"""Names, aliases, and what else means a submission."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from models_store.errors import BadName, NotFound
from models_store.store import ModelsStore


def test_a_name_that_exists_moves_and_says_from_where(store: ModelsStore, submitting: ModuleType):
    first = submitting.publish(store, "anna", "a").submission
    second = submitting.publish(store, "anna", "b")
    assert second.replaced_id == first.id
    assert store.resolve("anna") == second.submission
    assert store.resolve(first.id) == first  # still there, without a name


def test_an_alias_moves(store: ModelsStore, submitting: ModuleType):
    first = submitting.publish(store, "first", "a").submission
    second = submitting.publish(store, "second", "b").submission
    assert store.alias("best", "first") is None
    assert store.alias("best", second.id[7:17]) == first.id
    assert store.alias("best", "second") is None  # where it was already
    assert store.resolve("best") == second
    store.unalias("best")
    with pytest.raises(NotFound, match="best"):
        store.resolve("best")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("../../etc/passwd", id="path"),
        pytest.param("a/b", id="slash"),
        pytest.param(".hidden", id="dot"),
        pytest.param("-rf", id="flag"),
        pytest.param("a b", id="space"),
        pytest.param("a\n", id="newline"),
        pytest.param("ä", id="not-ascii"),
        pytest.param("a" * 65, id="long"),
        pytest.param("deadbeef", id="digits-of-an-id"),
        pytest.param("0" * 64, id="id"),
        pytest.param("sha256:" + "0" * 64, id="full-id"),
        pytest.param("default", id="reserved"),
    ],
)
def test_bad_names_are_refused_before_anything_is_written(
    store: ModelsStore, submitting: ModuleType, name: str
):
    submitting.publish(store, "anna", "a")
    before = sorted(store.root.rglob("*"))
    with pytest.raises(BadName, match=r"expected|means"):
        submitting.publish(store, name, "b")
    with pytest.raises(BadName):
        store.alias(name, "anna")
    with pytest.raises(BadName):
        store.submit(Path("does not matter"), name)
    assert sorted(store.root.rglob("*")) == before


@pytest.mark.parametrize("name", ["../submissions/names/anna", "anna/", "/etc/passwd", "0" * 64, "", "\0"])
def test_what_is_no_name_is_not_found(store: ModelsStore, submitting: ModuleType, name: str):
    submitting.publish(store, "anna", "a")
    for look in (store.resolve, store.resolve_voice):
        with pytest.raises(NotFound):
            look(name)


def test_digits_that_begin_several_ids_are_refused(store: ModelsStore, submitting: ModuleType):
    submission = submitting.publish(store, "anna", "a").submission
    manifest = store.layout.submissions.manifest_path(submission.id)
    other = manifest.with_name(manifest.stem[:10] + "0" * 54 + ".json")
    shutil.copyfile(manifest, other)
    with pytest.raises(BadName, match="begins 2 submission ids"):
        store.resolve(manifest.stem[:9])
    assert store.resolve(submission.id) == submission
