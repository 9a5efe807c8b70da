"""Tests: made, listed, and given their audio by one process at a time."""

from __future__ import annotations

import pytest

from server.listening.ballots import read_ballots
from server.listening.catalogue import LEASE_S, StoredClip, System
from server.listening.errors import BadTest, TestNotOpen, Unknown
from server.listening.records import (
    ClipRecord,
    RaterRecord,
    SystemRecord,
    TextRecord,
    TrialRecord,
    VoteRecord,
)

HEARD = StoredClip("sha256:1", 1.5, -23.0)


def test_a_test_is_what_was_asked_for(hall):
    made = hall.make(texts=["One.", {"text": "Zwei.", "language": "de"}], title="Größe 你好")
    assert (made.title, made.kind, made.status) == ("Größe 你好", "preference", "waiting")
    assert made.systems == (
        System("anna", "sha256:anna", "sha256:voice default"),
        System("ben", "sha256:ben", "sha256:voice default"),
    )
    assert (made.clips_done, made.clips_total, made.raters, made.votes) == (0, 4, 0, 0)
    assert [
        (clip.system.name, clip.text, clip.language) for clip in hall.catalogue.wanted_clips(made.id)
    ] == [
        ("anna", "One.", None),
        ("ben", "One.", None),
        ("anna", "Zwei.", "de"),
        ("ben", "Zwei.", "de"),
    ]


def test_the_newest_test_is_listed_first(hall):
    ids = [hall.make().id for _ in range(3)]
    assert [test.id for test in hall.catalogue.all()] == ids[::-1]


def test_the_largest_seed_survives(hall):
    made = hall.make(seed=2**53 - 1)
    assert hall.catalogue.wanted_clips(made.id)[0].seed == made.definition.seed == 2**53 - 1


def test_only_the_first_system_speaks_traps(hall):
    made = hall.make(kind="mos", traps=[{"text": "Press two.", "expected": 2}])
    clips = hall.catalogue.wanted_clips(made.id)
    assert [clip.system.name for clip in clips if clip.text == "Press two."] == ["anna"]
    assert made.clips_total == 7


def test_systems_differ_in_name_and_sound(hall):
    with pytest.raises(BadTest, match="one submission in one voice"):
        hall.make(systems=["anna", {"submission": "anna", "name": "other"}])
    with pytest.raises(BadTest, match="called 'anna'"):
        hall.make(systems=["anna", {"submission": "ben", "name": "anna"}])
    assert hall.catalogue.all() == []


def test_one_process_synthesises_a_test_and_the_oldest_comes_first(hall):
    first, second = hall.make(), hall.make()
    assert hall.catalogue.lease("one") == first.id
    assert hall.catalogue.lease("two") == second.id
    assert hall.catalogue.lease("three") is None
    assert hall.catalogue.get(first.id).status == "synthesising"


def test_a_lease_that_is_not_renewed_runs_out(hall):
    test = hall.make()
    hall.catalogue.lease("dead")
    hall.clock.now += LEASE_S - 1
    assert hall.catalogue.renew_lease(test.id, "dead")
    hall.clock.now += LEASE_S - 1
    assert hall.catalogue.lease("next") is None
    hall.clock.now += 2
    assert hall.catalogue.lease("next") == test.id
    assert not hall.catalogue.renew_lease(test.id, "dead")
    assert not hall.catalogue.open(test.id, "dead")
    assert not hall.catalogue.fail(test.id, "dead", "too late")
    assert hall.catalogue.get(test.id).status == "synthesising"


def test_a_released_test_goes_on_where_it_was(hall):
    test = hall.make()
    hall.catalogue.lease("one")
    first = hall.catalogue.wanted_clips(test.id)[0]
    hall.catalogue.save_clip(first.id, HEARD)
    hall.catalogue.release(test.id, "one")
    assert hall.catalogue.lease("two") == test.id
    assert first.id not in {clip.id for clip in hall.catalogue.wanted_clips(test.id)}
    assert hall.catalogue.get(test.id).clips_done == 1


def test_a_clip_is_stored_once(hall):
    test = hall.make()
    clip = hall.catalogue.wanted_clips(test.id)[0]
    hall.catalogue.save_clip(clip.id, HEARD)
    hall.catalogue.save_clip(clip.id, StoredClip("sha256:2", 9.0, -9.0))
    with hall.database.read() as session:
        assert session.get_one(ClipRecord, clip.id).digest == "sha256:1"


def test_an_opened_or_failed_test_is_not_synthesised_again(hall):
    test = hall.make()
    hall.catalogue.lease("one")
    hall.catalogue.fail(test.id, "one", "no voice.")
    hall.clock.now += 2 * LEASE_S
    assert hall.catalogue.lease("two") is None
    assert (hall.catalogue.get(test.id).status, hall.catalogue.get(test.id).error) == ("failed", "no voice.")


def test_a_test_that_does_not_exist_is_named(hall):
    with pytest.raises(Unknown, match="'test-0'"):
        hall.catalogue.get("test-0")


def test_a_closed_test_opens_again(hall):
    test = hall.open()
    assert hall.catalogue.set_open(test.id, False).status == "closed"
    assert hall.catalogue.set_open(test.id, False).status == "closed"
    assert hall.catalogue.lease("late") is None
    assert hall.catalogue.set_open(test.id, True) == test


def test_a_test_without_audio_is_neither_closed_nor_opened(hall):
    test = hall.make()
    for is_open in (True, False):
        with pytest.raises(TestNotOpen, match="waiting"):
            hall.catalogue.set_open(test.id, is_open)


def test_a_deleted_test_takes_everything_of_its_own_with_it(hall):
    kept, gone = hall.open(), hall.open()
    for test in (kept, gone):
        hall.vote_on_all(test, lambda _: "a")
    rater = hall.voting.join(gone.id).rater_id
    before = hall.catalogue.get(kept.id), read_ballots(hall.database, kept.id)
    hall.catalogue.delete(gone.id)
    assert [test.id for test in hall.catalogue.all()] == [kept.id]
    assert (hall.catalogue.get(kept.id), read_ballots(hall.database, kept.id)) == before
    with pytest.raises(Unknown, match=rater):
        hall.voting.progress(rater)
    with hall.database.read() as session:
        for record in (SystemRecord, TextRecord, ClipRecord, RaterRecord):
            assert session.query(record).filter_by(test_id=gone.id).count() == 0
        assert session.query(TrialRecord).count() == session.query(VoteRecord).count() == 3
    with pytest.raises(Unknown):
        hall.catalogue.delete(gone.id)


def test_the_synthesiser_of_a_deleted_test_notices(hall):
    test = hall.make()
    hall.catalogue.lease("one")
    hall.catalogue.delete(test.id)
    assert not hall.catalogue.renew_lease(test.id, "one")
    assert not hall.catalogue.open(test.id, "one")
