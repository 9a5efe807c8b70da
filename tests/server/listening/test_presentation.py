"""Orders: balanced within a rater and over all of them, and always the same from the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.listening.definition import TestDefinition
from server.listening.presentation import questions_of


@st.composite
def definitions(draw: st.DrawFn) -> TestDefinition:
    kind = draw(st.sampled_from(["preference", "abx", "mos"]))
    systems = draw(st.integers(1 if kind == "mos" else 2, 7))
    texts = draw(st.integers(1, 9))
    questions = (systems if kind == "mos" else systems * (systems - 1) // 2) * texts
    return TestDefinition(
        title="t",
        kind=kind,
        systems=[f"s{number}" for number in range(systems)],
        texts=[f"text {number}" for number in range(texts)],
        traps=[{"text": "three", "expected": 3}] * draw(st.integers(0, 3)) if kind == "mos" else [],
        trials_per_rater=draw(st.none() | st.integers(1, questions)),
        seed=draw(st.integers(0, 2**53 - 1)),
    )


def spread(counts: Counter, keys) -> int:
    found = [counts[key] for key in keys]
    return max(found) - min(found)


@settings(max_examples=60, deadline=None)
@given(test=definitions(), raters=st.integers(1, 12))
def test_orders_are_balanced(test: TestDefinition, raters: int):
    over_all: Counter = Counter()
    for rater in range(raters):
        asked = questions_of(test, rater)
        assert asked == questions_of(test, rater)
        questions = [question for question in asked if not question.is_trap]
        assert len(questions) == test.num_trials
        groups = Counter(tuple(sorted(question.systems)) for question in questions)
        assert spread(groups, test.groups) <= 1
        assert len({(tuple(sorted(q.systems)), q.text) for q in questions}) == len(questions)
        over_all += groups
        for one, other in combinations(range(len(test.systems)), 2) if test.kind != "mos" else ():
            sides = Counter(q.systems for q in questions)
            assert abs(sides[one, other] - sides[other, one]) <= 1
    assert spread(over_all, test.groups) <= 1


@settings(max_examples=30, deadline=None)
@given(test=definitions())
def test_traps_are_all_asked_and_never_first(test: TestDefinition):
    asked = questions_of(test, 0)
    assert sorted(q.text for q in asked if q.is_trap) == list(range(len(test.traps)))
    assert not asked[0].is_trap


def test_x_is_each_of_them_equally_often():
    test = TestDefinition(title="t", kind="abx", systems=["a", "b"], texts=[f"{n}" for n in range(40)])
    asked = questions_of(test, 3)
    combined = Counter((q.systems, q.x_is) for q in asked)
    assert combined == {(order, x): 10 for order in [(0, 1), (1, 0)] for x in "ab"}


def test_raters_hear_different_orders_and_another_seed_gives_others():
    fields = {"title": "t", "kind": "mos", "systems": ["a", "b", "c"], "texts": [f"{n}" for n in range(10)]}
    first, second = (TestDefinition(**fields, seed=seed) for seed in (1, 2))
    orders = [tuple(questions_of(first, rater)) for rater in range(10)]
    assert len(set(orders)) == 10
    assert tuple(questions_of(second, 0)) != orders[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"systems": ["a"]}, "two systems"),
        ({"systems": []}, "at least 1"),
        ({"texts": []}, "at least 1"),
        ({"texts": ["  "]}, "some text"),
        ({"texts": ["a\0b"]}, "without NUL"),
        ({"texts": ["\ud800"]}, "surrogate|unicode"),
        ({"kind": "contest"}, "preference"),
        ({"traps": [{"text": "two", "expected": 2}]}, "no traps"),
        ({"kind": "mos", "traps": [{"text": "six", "expected": 6}]}, "less than or equal to 5"),
        ({"kind": "abx", "allow_ties": True}, "no ties"),
        ({"trials_per_rater": 3}, "at most 2 trials"),
        ({"texts": ["x"] * 500, "systems": [f"{n}" for n in range(5)]}, "at most 2000 clips"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_what_no_test_can_be_is_refused(changes: dict, expected: str):
    fields = {"title": "t", "kind": "preference", "systems": ["a", "b"], "texts": ["one", "two"]}
    TestDefinition(**fields)
    with pytest.raises(ValueError, match=expected):
        TestDefinition(**fields | changes)
