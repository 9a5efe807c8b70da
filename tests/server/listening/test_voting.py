"""Raters and their votes: what is asked, what is refused, what stays."""

from __future__ import annotations

import threading

import pytest

from server.listening.ballots import read_ballots
from server.listening.errors import BadVote, TestNotOpen, Unknown, VoteConflict


def test_a_rater_goes_through_a_test(hall):
    test = hall.open(texts=["One.", "Two."])
    progress = hall.voting.join(test.id)
    for voted in range(2):
        assert (progress.voted, progress.total) == (voted, 2)
        assert progress.trial.answers == ("a", "b")
        vote = hall.listen_and_vote(progress, "a")
        assert sorted(vote.names) == ["a", "b"]
        assert sorted(vote.names.values()) == ["anna", "ben"]
        progress = hall.voting.progress(progress.rater_id)
    assert progress.trial is None
    assert (hall.catalogue.get(test.id).raters, hall.catalogue.get(test.id).votes) == (1, 2)


def test_nothing_that_a_rater_sees_before_the_vote_has_a_name(hall):
    progress = hall.voting.join(hall.open().id)
    assert "anna" not in repr(progress)
    assert "sha256" not in repr(progress)


def test_a_rater_resumes_at_the_same_trial(hall):
    test = hall.open()
    progress = hall.voting.join(test.id)
    hall.listen_and_vote(progress, "b")
    now = hall.voting.progress(progress.rater_id)
    hall.clock.now += 86_400
    assert hall.voting.progress(progress.rater_id) == now


def test_sides_lead_to_the_clips_of_the_trial(hall):
    test = hall.open(kind="abx")
    progress = hall.voting.join(test.id)
    digests = {side: hall.voting.digest(progress.rater_id, 0, side) for side in "abx"}
    assert digests["a"] != digests["b"]
    hall.listen_and_vote(progress, "a")
    (ballot,) = read_ballots(hall.database, test.id)
    assert digests["x"] == digests[ballot.x_is]


def test_trials_that_were_not_given_out_have_no_audio(hall):
    progress = hall.voting.join(hall.open().id)
    for position, side in [(1, "a"), (99, "a"), (0, "x")]:
        with pytest.raises(Unknown):
            hall.voting.digest(progress.rater_id, position, side)


@pytest.mark.parametrize("kind", ["preference", "abx", "mos"])
def test_a_vote_waits_until_every_side_was_heard(hall, kind: str):
    progress = hall.voting.join(hall.open(kind=kind).id)
    heard = hall.heard(progress)
    assert set(heard.values()) == {2.0}  # min(3 s, the clip's)
    hall.clock.now += 60
    answer = progress.trial.answers[0]
    for side in heard:
        with pytest.raises(VoteConflict, match=f"1.50 s heard of {side.upper()}; expected 2.00"):
            hall.voting.vote(progress.rater_id, 0, answer, heard | {side: 1.5})
    assert hall.voting.vote(progress.rater_id, 0, answer, heard).is_new


def test_what_a_player_claims_is_held_against_our_clock(hall):
    progress = hall.voting.join(hall.open().id)
    heard = hall.heard(progress)
    hall.clock.now += 3.5
    with pytest.raises(VoteConflict, match=r"3\.50 s after its trial began; expected 3\.80"):
        hall.voting.vote(progress.rater_id, 0, "a", heard)
    hall.clock.now += 1
    with pytest.raises(BadVote, match="no more than has passed"):
        hall.voting.vote(progress.rater_id, 0, "a", heard | {"a": 4.0})
    assert hall.voting.vote(progress.rater_id, 0, "a", heard).is_new


def test_fetching_a_trial_early_gains_no_time(hall):
    test = hall.open()
    progress = hall.voting.join(test.id)
    hall.clock.now += 3600
    hall.voting.vote(progress.rater_id, 0, "a", hall.heard(progress))
    following = hall.voting.progress(progress.rater_id)
    with pytest.raises(VoteConflict, match=r"0\.00 s after"):
        hall.voting.vote(progress.rater_id, 1, "a", hall.heard(following))


def test_a_clock_that_was_set_back_lets_nobody_in_and_breaks_nothing(hall):
    progress = hall.voting.join(hall.open().id)
    hall.clock.now -= 100
    with pytest.raises(VoteConflict, match=r"0\.00 s after"):
        hall.voting.vote(progress.rater_id, 0, "a", hall.heard(progress))


def test_the_same_vote_again_changes_nothing(hall):
    test = hall.open()
    progress = hall.voting.join(test.id)
    first = hall.listen_and_vote(progress, "a")
    before = read_ballots(hall.database, test.id)
    again = hall.voting.vote(progress.rater_id, 0, "a", {"a": 99, "b": 99})
    assert (first.is_new, again.is_new, again.names) == (True, False, first.names)
    with pytest.raises(VoteConflict, match="can't be changed"):
        hall.voting.vote(progress.rater_id, 0, "b", hall.heard(progress))
    assert read_ballots(hall.database, test.id) == before


def test_one_vote_sent_by_many_at_once_is_one_vote(hall):
    test = hall.open()
    progress = hall.voting.join(test.id)
    heard = hall.heard(progress)
    hall.clock.now += 10
    votes = []

    def send() -> None:
        votes.append(hall.voting.vote(progress.rater_id, 0, "a", heard))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(vote.is_new for vote in votes) == [False] * 7 + [True]
    assert len(read_ballots(hall.database, test.id)) == 1


def test_raters_who_come_at_once_get_numbers_without_gaps(hall):
    test = hall.open()
    numbers = []
    threads = [
        threading.Thread(target=lambda: numbers.append(hall.voting.join(test.id).number)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(8))


@pytest.mark.parametrize(
    ("answer", "heard", "expected"),
    [
        ("c", {"a": 2, "b": 2}, "one of: a, b"),
        ("tie", {"a": 2, "b": 2}, "one of: a, b"),
        ("a", {"a": 2}, "of each side: a, b"),
        ("a", {"a": 2, "b": 2, "x": 2}, "of each side: a, b"),
        ("a", {"a": 2, "b": -1}, "of each side"),
        ("a", {"a": 2, "b": float("nan")}, "of each side"),
        ("a", {"a": 2, "b": float("inf")}, "of each side"),
    ],
)
def test_what_no_vote_can_be_is_refused(sqlite_hall, answer: str, heard: dict, expected: str):
    progress = sqlite_hall.voting.join(sqlite_hall.open().id)
    sqlite_hall.clock.now += 60
    with pytest.raises(BadVote, match=expected):
        sqlite_hall.voting.vote(progress.rater_id, 0, answer, heard)


def test_ties_are_an_answer_where_they_are_allowed(sqlite_hall):
    progress = sqlite_hall.voting.join(sqlite_hall.open(allow_ties=True).id)
    assert progress.trial.answers == ("a", "b", "tie")
    assert sqlite_hall.listen_and_vote(progress, "tie").is_new


def test_votes_for_trials_to_come_are_refused(sqlite_hall):
    progress = sqlite_hall.voting.join(sqlite_hall.open().id)
    with pytest.raises(VoteConflict, match="wasn't given out"):
        sqlite_hall.voting.vote(progress.rater_id, 1, "a", sqlite_hall.heard(progress))


def test_nobody_joins_a_test_without_audio(sqlite_hall):
    test = sqlite_hall.make()
    with pytest.raises(TestNotOpen, match="still being made"):
        sqlite_hall.voting.join(test.id)
    sqlite_hall.catalogue.lease("one")
    sqlite_hall.catalogue.fail(test.id, "one", "the voice is gone.")
    with pytest.raises(TestNotOpen, match="the voice is gone"):
        sqlite_hall.voting.join(test.id)


def test_those_who_do_not_exist_are_named(sqlite_hall):
    with pytest.raises(Unknown, match="'test-0'"):
        sqlite_hall.voting.join("test-0")
    for call in (sqlite_hall.voting.progress, lambda rater: sqlite_hall.voting.vote(rater, 0, "a", {})):
        with pytest.raises(Unknown, match="'rater-0'"):
            call("rater-0")


def test_a_closed_test_takes_neither_raters_nor_votes(hall):
    test = hall.open()
    progress = hall.voting.join(test.id)
    first = hall.listen_and_vote(progress, "a")
    following = hall.voting.progress(progress.rater_id)
    hall.catalogue.set_open(test.id, False)
    assert hall.voting.progress(progress.rater_id).status == "closed"
    with pytest.raises(TestNotOpen, match="was closed"):
        hall.listen_and_vote(following, "a")
    with pytest.raises(TestNotOpen, match="was closed"):
        hall.voting.join(test.id)
    # Whoever never got the answer to a vote may still ask for it.
    assert hall.voting.vote(progress.rater_id, 0, "a", {}).names == first.names
    hall.catalogue.set_open(test.id, True)
    assert hall.listen_and_vote(following, "a").is_new


def test_names_come_at_the_end_where_the_test_says_so(sqlite_hall):
    test = sqlite_hall.open(reveal="end", texts=["One.", "Two."])
    progress = sqlite_hall.voting.join(test.id)
    assert sqlite_hall.listen_and_vote(progress, "a").names is None
    progress = sqlite_hall.voting.progress(progress.rater_id)
    assert progress.votes == ()
    last = sqlite_hall.listen_and_vote(progress, "b")
    progress = sqlite_hall.voting.progress(progress.rater_id)
    assert [sorted(vote.names.values()) for vote in progress.votes] == [["anna", "ben"]] * 2
    assert [vote.answer for vote in progress.votes] == ["a", "b"]
    assert progress.votes[1].names == last.names


def test_a_trap_is_not_passed_by_reading(sqlite_hall):
    fields = {"kind": "mos", "texts": ["One.", "Two."], "traps": [{"text": "Press two.", "expected": 2}]}
    progress = sqlite_hall.voting.join(sqlite_hall.open(**fields).id)
    texts = []
    while progress.trial is not None:
        assert progress.trial.text is None
        vote = sqlite_hall.listen_and_vote(progress, "2")
        texts.append(vote.text)
        assert (vote.names == {}) == (vote.text == "Press two.")
        progress = sqlite_hall.voting.progress(progress.rater_id)
    assert sorted(set(texts)) == ["One.", "Press two.", "Two."]
