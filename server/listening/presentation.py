"""What one rater is asked, in what order, and what is on which side.

Questions (a group of systems × a text) are laid out once per test in rounds: each round has every group
once, and no question comes twice. Each rater gets the next stretch of them. So within one rater, and over all
of them, no group is asked about more than once oftener than another; and it all follows from the seed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from server.listening.definition import TestDefinition

Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Question:
    systems: tuple[int, ...]  # positions: one, or a and b
    text: int
    x_is: Side | None = None
    is_trap: bool = False


def questions_of(test: TestDefinition, rater: int) -> list[Question]:
    """The questions of the rater with that number, counted from 0. Traps' texts count from 0, too."""
    layout = _rounds(test)
    first = rater * test.num_trials
    stretch = [layout[(first + index) % len(layout)] for index in range(test.num_trials)]
    rng = random.Random(f"{test.seed} rater {rater}")
    questions = _with_sides(stretch, test, rng)
    rng.shuffle(questions)
    return _with_traps(questions, len(test.traps), rng)


def _rounds(test: TestDefinition) -> list[tuple[tuple[int, ...], int]]:
    rng = random.Random(f"{test.seed} rounds")
    num_texts = len(test.texts)
    texts = {group: rng.sample(range(num_texts), num_texts) for group in test.groups}
    order = rng.sample(test.groups, len(test.groups))
    # The same order in each round: any stretch then has every group equally often, or once more.
    return [(group, texts[group][number]) for number in range(num_texts) for group in order]


def _with_sides(
    stretch: list[tuple[tuple[int, ...], int]], test: TestDefinition, rng: random.Random
) -> list[Question]:
    """A group's members change sides from one question to the next, and so does X."""
    turns: dict[tuple[int, ...], int] = defaultdict(lambda: rng.randrange(4))
    questions = []
    for group, text in stretch:
        turn = turns[group]
        turns[group] += 1
        x_is: Side | None = None
        if test.kind == "abx":
            x_is = "a" if turn // 2 % 2 else "b"
        questions.append(Question(group if turn % 2 else group[::-1], text, x_is))
    return questions


def _with_traps(questions: list[Question], num_traps: int, rng: random.Random) -> list[Question]:
    """Anywhere but first: nobody has learnt what to do yet."""
    for trap in range(num_traps):
        place = rng.randint(min(1, len(questions)), len(questions))
        questions.insert(place, Question((0,), trap, is_trap=True))
    return questions
