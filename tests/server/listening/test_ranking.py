"""Results: the known order comes back, intervals hold what they promise, screening excludes and keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from server.listening.ballots import Ballot
from server.listening.definition import TestDefinition
from server.listening.presentation import questions_of
from server.listening.ranking import compute_results, fit_strengths
from server.listening.results import Question, Results

SYSTEMS = ("best", "good", "fair", "poor", "bad")


def simulate(
    answer: Callable[[np.random.Generator, Ballot], str],
    kind: str = "preference",
    systems: tuple[str, ...] = SYSTEMS,
    raters: int = 20,
    trials: int = 50,
    seed: int = 0,
) -> list[Ballot]:
    """Ballots of raters who decide by `answer`, which sees a ballot without one."""
    definition = TestDefinition(
        title="t",
        kind=kind,
        systems=list(systems),
        texts=[f"text {number}" for number in range(50)],
        trials_per_rater=trials,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    ballots = []
    for rater in range(raters):
        for trial, asked in enumerate(questions_of(definition, rater)):
            a, b = (*asked.systems, None)[:2]
            ballot = Ballot(rater, trial, asked.text, a, b, asked.x_is, None, "", {}, 2.0, 0.0)
            ballots.append(replace(ballot, answer=answer(rng, ballot)))
    return ballots


def by_strength(strengths: np.ndarray) -> Callable[[np.random.Generator, Ballot], str]:
    def answer(rng: np.random.Generator, ballot: Ballot) -> str:
        lead = strengths[ballot.a] - strengths[ballot.b]
        return "a" if rng.random() < 1 / (1 + np.exp(-lead)) else "b"

    return answer


def results(ballots: list[Ballot], kind: str = "preference", replicates: int = 200, **changes) -> Results:
    fields = {"names": SYSTEMS, "min_votes": 30, "seed": 0} | changes
    return compute_results(Question(kind, **fields), ballots, replicates)


STRENGTHS = np.array([1.2, 0.6, 0.0, -0.6, -1.2])


def test_twenty_raters_with_fifty_votes_each_recover_the_known_order():
    found = results(simulate(by_strength(STRENGTHS)))
    assert [row.name for row in found.standings] == list(SYSTEMS)
    assert [row.rank for row in found.standings] == [1, 2, 3, 4, 5]
    assert found.drawn == "raters"
    for row in found.standings:
        assert row.votes == 400
        assert row.low < row.score < row.high
        assert row.score == pytest.approx(STRENGTHS[row.system], abs=0.35)
    lows = [row.low for row in found.standings]
    assert lows == sorted(lows, reverse=True)


def test_the_same_votes_give_the_same_results():
    ballots = simulate(by_strength(STRENGTHS), raters=12, trials=20)
    assert results(ballots) == results(ballots)
    assert results(ballots) != results(ballots, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # eight seconds of a core of its own
def test_intervals_cover_the_truth_as_often_as_they_say():
    truth = np.array([0.8, 0.0, -0.8])
    covered = []
    for seed in range(100):
        ballots = simulate(by_strength(truth), systems=SYSTEMS[:3], seed=seed)
        found = results(ballots, names=SYSTEMS[:3], seed=seed)
        covered += [row.low <= truth[row.system] <= row.high for row in found.standings]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_raters_who_disagree_widen_the_intervals():
    def divided(rng: np.random.Generator, ballot: Ballot) -> str:
        taste = STRENGTHS if hash_of(ballot.rater) else STRENGTHS[::-1]
        return by_strength(3 * taste)(rng, ballot)

    def hash_of(rater: int) -> bool:
        return rater % 2 == 0

    def agreed(rng: np.random.Generator, ballot: Ballot) -> str:
        return by_strength(0 * STRENGTHS)(rng, ballot)

    widths = [
        np.mean([row.high - row.low for row in results(simulate(answer), replicates=100).standings])
        for answer in (divided, agreed)
    ]
    assert widths[0] > 2 * widths[1]


def test_few_raters_have_their_votes_drawn_and_agreement_is_not_certainty():
    found = results(simulate(lambda *_: "a", raters=1, trials=8), min_votes=2)
    assert found.drawn == "votes"
    favourite = simulate(lambda _, b: "a" if b.a < b.b else "b", systems=SYSTEMS[:2], raters=2, trials=4)
    found = results(favourite, names=SYSTEMS[:2], min_votes=2)
    assert [row.name for row in found.standings] == ["best", "good"]
    assert found.standings[0].high - found.standings[0].low > 1


def test_strengths_satisfy_the_likelihood_equations():
    wins = np.random.default_rng(3).integers(1, 30, (6, 6)).astype(float)
    np.fill_diagonal(wins, 0)
    strengths = np.exp(fit_strengths(wins))
    prior = (1 - np.eye(6)) * 0.1  # half a win of each, over five others
    counted = wins + prior
    expected = (counted + counted.T) * strengths[:, None] / (strengths[:, None] + strengths[None, :])
    np.testing.assert_allclose(expected.sum(axis=1), counted.sum(axis=1), rtol=1e-3)


def test_wins_and_ties_are_in_the_vote_matrix():
    ballots = simulate(lambda _, b: "tie" if b.text % 2 else "a", raters=12, trials=30)
    found = results(ballots, replicates=20)
    wins = np.array(found.wins)
    assert wins.sum() == found.votes_counted == 360
    assert np.all(np.diag(wins) == 0)
    pair = [ballot for ballot in ballots if {ballot.a, ballot.b} == {0, 1}]
    assert wins[0, 1] + wins[1, 0] == len(pair)
    assert wins[0, 1] == sum(0.5 if b.answer == "tie" else float(b.a == 0) for b in pair)


def test_no_rank_below_the_fewest_votes():
    found = results(simulate(by_strength(STRENGTHS), raters=2, trials=10), min_votes=30)
    assert {(row.rank, row.score, row.low) for row in found.standings} == {(None, None, None)}
    assert [row.votes for row in found.standings] == [8] * 5
    empty = results([])
    assert (empty.votes, empty.drawn, len(empty.standings)) == (0, None, 5)


def test_mean_opinion_scores_are_means_with_intervals_that_hold_them():
    quality = np.array([4.6, 4.0, 3.2, 2.5, 1.5])

    def rate(rng: np.random.Generator, ballot: Ballot) -> str:
        return str(int(np.clip(round(rng.normal(quality[ballot.a], 0.7)), 1, 5)))

    ballots = simulate(rate, kind="mos")
    found = results(ballots, kind="mos")
    assert [row.name for row in found.standings] == list(SYSTEMS)
    for row in found.standings:
        ratings = [int(ballot.answer) for ballot in ballots if ballot.a == row.system]
        assert row.score == pytest.approx(np.mean(ratings))
        assert row.low < row.score < row.high
        # As wide as Student's interval over raters' means says, within what 200 replicates can tell.
        means = [
            np.mean([int(b.answer) for b in ballots if (b.rater, b.a) == (rater, row.system)])
            for rater in range(20)
        ]
        student = 2 * 2.093 * np.std(means, ddof=1) / np.sqrt(20)
        assert row.high - row.low == pytest.approx(student, rel=0.35)
    assert found.wins is None


def test_abx_tells_who_can_be_told_apart():
    def hear(rng: np.random.Generator, ballot: Ballot) -> str:
        knows = {ballot.a, ballot.b} == {0, 4}
        return ballot.x_is if knows or rng.random() < 0.5 else "ba"["ab".index(ballot.x_is)]

    found = results(simulate(hear, kind="abx"), kind="abx")
    rows = {row.systems: row for row in found.discriminations}
    assert len(rows) == 10
    assert (rows[0, 4].share, rows[0, 4].votes) == (1.0, 100)
    assert rows[0, 4].p_value < 1e-20
    assert rows[0, 4].low > 0.9
    assert rows[0, 1].low < 0.5 < rows[0, 1].high
    assert found.standings == ()


def excluded(found: Results) -> dict[int, tuple[str, ...]]:
    return {rater.number: rater.excluded_for for rater in found.raters if rater.excluded_for}


def test_raters_who_do_not_listen_are_shown_and_do_not_count():
    honest = simulate(by_strength(STRENGTHS))
    ballots = [
        replace(b, decision_s=0.1) if b.rater == 3 else replace(b, answer="a") if b.rater == 7 else b
        for b in honest
    ]
    found = results(ballots)
    assert excluded(found) == {3: ("too_fast",), 7: ("all_one_side",)}
    assert (found.votes, found.votes_counted, len(found.raters)) == (1000, 900, 20)
    without = results([ballot for ballot in honest if ballot.rater not in (3, 7)])
    assert found.standings == without.standings


def test_a_rater_with_few_votes_is_not_judged():
    few = simulate(lambda *_: "b", raters=1, trials=9)
    assert excluded(results([replace(ballot, decision_s=0.0) for ballot in few])) == {}


def test_traps_exclude_who_fails_one_and_are_no_ratings():
    ballots = simulate(lambda rng, _: str(rng.integers(1, 6)), kind="mos", raters=12, trials=20)
    traps = [
        Ballot(rater, 99, 50, 0, None, None, "2", "5" if rater == 4 else "2", {}, 2.0, 0.0)
        for rater in range(12)
    ]
    both = sorted([*ballots, *traps], key=lambda ballot: (ballot.rater, ballot.trial))
    found = results(both, kind="mos", replicates=50, min_votes=10)
    assert excluded(found) == {4: ("failed_traps",)}
    assert (found.votes, found.votes_counted) == (252, 220)
    assert (
        found.standings
        == results(
            [ballot for ballot in ballots if ballot.rater != 4], kind="mos", replicates=50, min_votes=10
        ).standings
    )
