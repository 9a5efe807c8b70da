"""From votes to results: Bradley–Terry strengths, mean opinion scores, ABX discrimination.

All of it follows from the stored votes and the test's seed: computed again it is the same to the last digit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import choix
import numpy as np
from scipy import stats

from server.listening.ballots import Ballot
from server.listening.bootstrap import (
    CONFIDENCE,
    FEWEST_RATERS,
    NUM_REPLICATES,
    Array,
    Sample,
    draw_raters,
    draw_votes,
)
from server.listening.results import Discrimination, Question, Results, Standing, Unit
from server.listening.screening import summarise_raters
from server.listening.voting import TIE

# Half a win and half a defeat are given to every system beforehand, spread over the others. Without them one
# that never lost would have no finite strength.
PRIOR_VOTES = 0.5
TOLERANCE = 1e-5  # of strengths; no interval is that narrow


def compute_results(
    test: Question, ballots: Sequence[Ballot], num_replicates: int = NUM_REPLICATES
) -> Results:
    """`ballots` by rater, as they are read."""
    raters = summarise_raters(ballots)
    counting = {rater.number for rater in raters if rater.counts}
    counted = [ballot for ballot in ballots if ballot.rater in counting and not ballot.is_trap]
    drawn: Unit | None = None
    standings = _without_rank(test, Counter(), ())
    if test.kind != "abx" and counted:
        drawn, standings = _standings(test, counted, num_replicates)
    return Results(
        votes=len(ballots),
        votes_counted=len(counted),
        drawn=drawn,
        standings=tuple(standings) if test.kind != "abx" else (),
        wins=_wins(test, counted) if test.kind == "preference" else None,
        discriminations=tuple(_discriminations(test, counted)) if test.kind == "abx" else (),
        raters=tuple(raters),
    )


def fit_strengths(wins: Array, start: Array | None = None) -> Array:
    """[n] natural logarithms of Bradley–Terry strengths, their mean 0, of [n, n] wins of i over j."""
    n = len(wins)
    prior = np.full((n, n), PRIOR_VOTES / (n - 1))
    np.fill_diagonal(prior, 0.0)
    strengths: Array = choix.ilsr_pairwise_dense(
        wins + prior, initial_params=start, max_iter=10_000, tol=TOLERANCE
    )
    return strengths - strengths.mean()


def _sample(test: Question, ballots: Sequence[Ballot]) -> Sample:
    numbers = sorted({ballot.rater for ballot in ballots})
    if len(numbers) >= FEWEST_RATERS:
        rows = {number: row for row, number in enumerate(numbers)}
        tallies = np.zeros((len(numbers), _num_cells(test)))
        for ballot in ballots:
            tallies[rows[ballot.rater]] += _tally(test, ballot)
        return draw_raters(tallies)
    kinds: dict[tuple[float, ...], float] = defaultdict(float)
    for ballot in ballots:
        kinds[tuple(_tally(test, ballot))] += 1.0
    for tally in _prior_tallies(test):
        kinds[tuple(tally)] += PRIOR_VOTES / (len(test.names) - 1)
    return draw_votes(np.array(list(kinds)), np.array(list(kinds.values())))


def _num_cells(test: Question) -> int:
    n = len(test.names)
    return n * n if test.kind == "preference" else 2 * n


def _tally(test: Question, ballot: Ballot) -> Array:
    """[cells] what one vote adds: wins of row over column, or to the sums of ratings and to their counts."""
    n = len(test.names)
    tally = np.zeros(_num_cells(test))
    if test.kind == "mos":
        tally[[ballot.a, n + ballot.a]] = int(ballot.answer), 1.0
        return tally
    assert ballot.b is not None
    share_of_a = {"a": 1.0, "b": 0.0, TIE: 0.5}[ballot.answer]
    tally[[ballot.a * n + ballot.b, ballot.b * n + ballot.a]] = share_of_a, 1.0 - share_of_a
    return tally


def _prior_tallies(test: Question) -> Array:
    """Of votes that might have been: without them a few votes that all agree would look like certainty."""
    n = len(test.names)
    return (
        np.eye(n * n)[~np.eye(n, dtype=bool).ravel()] if test.kind == "preference" else np.empty((0, 2 * n))
    )


def _scores(test: Question, cells: Array, start: Array | None = None) -> Array:
    """[n] scores of [cells]; nan where nothing was measured."""
    n = len(test.names)
    if test.kind == "preference":
        return fit_strengths(cells.reshape(n, n), start)
    counts = cells[n:]
    return np.divide(cells[:n], counts, out=np.full(n, np.nan), where=counts > 0)


def _standings(test: Question, ballots: Sequence[Ballot], num_replicates: int) -> tuple[Unit, list[Standing]]:
    """From the one whose lower bound is highest; those without a rank come last."""
    scores = _scores(test, np.sum([_tally(test, ballot) for ballot in ballots], axis=0))
    sample = _sample(test, ballots)
    drawn = sample.replicates(num_replicates, test.seed)
    low, high = sample.interval(np.array([_scores(test, cells, scores) for cells in drawn]))
    votes = Counter(system for ballot in ballots for system in _heard(ballot))
    ranked = [system for system in range(len(test.names)) if votes[system] >= test.min_votes]
    ranked.sort(key=lambda system: (-low[system], -scores[system]))
    standings = [
        Standing(
            system,
            test.names[system],
            votes[system],
            rank,
            float(scores[system]),
            float(low[system]),
            float(high[system]),
        )
        for rank, system in enumerate(ranked, start=1)
    ]
    return sample.unit, standings + _without_rank(test, votes, ranked)


def _without_rank(test: Question, votes: Counter[int], ranked: Sequence[int]) -> list[Standing]:
    return [
        Standing(system, name, votes[system], None, None, None, None)
        for system, name in enumerate(test.names)
        if system not in ranked
    ]


def _discriminations(test: Question, ballots: Sequence[Ballot]) -> list[Discrimination]:
    """Of every pair that was asked about, with Wilson's interval and the exact binomial test of guessing."""
    answers: dict[tuple[int, int], list[bool]] = defaultdict(list)
    for ballot in ballots:
        first, second = sorted(_heard(ballot))
        answers[first, second].append(ballot.answer == ballot.x_is)
    found = []
    for pair, right in sorted(answers.items()):
        tested = stats.binomtest(sum(right), len(right), 0.5)
        interval = tested.proportion_ci(CONFIDENCE, method="wilson")
        found.append(
            Discrimination(
                systems=pair,
                names=(test.names[pair[0]], test.names[pair[1]]),
                votes=len(right),
                correct=sum(right),
                share=sum(right) / len(right),
                low=float(interval.low),
                high=float(interval.high),
                p_value=float(tested.pvalue),
            )
        )
    return found


def _heard(ballot: Ballot) -> tuple[int, ...]:
    return (ballot.a,) if ballot.b is None else (ballot.a, ballot.b)


def _wins(test: Question, ballots: Sequence[Ballot]) -> tuple[tuple[float, ...], ...]:
    n = len(test.names)
    cells = np.zeros(n * n)
    for ballot in ballots:
        cells += _tally(test, ballot)
    return tuple(tuple(row) for row in cells.reshape(n, n).tolist())
