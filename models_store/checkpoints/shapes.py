"""What the shapes of a checkpoint's tensors say about its sizes, and whether they are those expected.

A size that several tensors carry is decided by vote, so that one wrong tensor is reported as one wrong
tensor.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from models_store.checkpoints.checkpoint_file import RESAVE, CheckpointFile, shown
from models_store.checkpoints.findings import Findings

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Entries = Iterator[tuple[str, Shape]]

MAX_REPEATS = 256  # layers, blocks, stages: bounds what names alone can make us compute
MAX_SUGGESTED = 20  # looking for a similar name takes milliseconds


def sizes(shapes: Shapes, pattern: str, dimension: int) -> list[int]:
    """The size of that dimension in every tensor whose name matches, where it has it."""
    matches = re.compile(pattern).fullmatch
    return [shape[dimension] for name, shape in shapes.items() if len(shape) > dimension and matches(name)]


def vote(sizes: Iterable[int], *fallbacks: int | None) -> int:
    """The most frequent size, the earliest of equals; without any, the first fallback there is."""
    counted = Counter(sizes)
    for size, _ in counted.most_common(1):
        return size
    return next(fallback for fallback in fallbacks if fallback is not None)


def repeats(shapes: Shapes, pattern: str) -> int:
    """How many numbered modules there are: gaps are missing modules, unless most would be."""
    matches = re.compile(pattern).match
    found = {int(match.group(1)) for name in shapes if (match := matches(name)) and len(match.group(1)) < 6}
    numbers = {number for number in found if number < MAX_REPEATS}
    count = max(numbers, default=-1) + 1
    if 2 * len(numbers) > count:
        return count
    return next(n for n in range(count + 1) if n not in numbers)


def layer(name: str, weight: Shape, bias: int) -> Entries:
    """A weight and a bias of that many elements."""
    yield f"{name}.weight", weight
    yield f"{name}.bias", (bias,)


def compare_shapes(
    file: CheckpointFile, shapes: Shapes, expected: Shapes, reported: set[str], findings: Findings
) -> None:
    """Every tensor that is missing, too many or of another shape; `reported` have had their problem."""
    missing = [name for name in expected if name not in shapes and name not in reported]
    unexpected = [name for name in shapes if name not in expected]
    for name in missing:
        it = f"it, of shape {shown_shape(expected[name])}"
        findings.refuse("MissingTensor", file.name, f"no {name}", it, RESAVE)
    for name, remedy in _suggestions(unexpected, missing):
        found = f"{shown(name)} of shape {shown_shape(shapes[name])}"
        findings.refuse("UnexpectedTensor", file.name, found, f"only {file.title}'s tensors", remedy)
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape and name not in reported:
            found = f"{name} of shape {shown_shape(shapes[name])}"
            findings.refuse("WrongShape", file.name, found, f"shape {shown_shape(shape)}", RESAVE)


def _suggestions(unexpected: list[str], missing: list[str]) -> Iterator[tuple[str, str]]:
    """For every unexpected tensor what to do: perhaps it is a missing one, misspelled."""
    for i, name in enumerate(unexpected):
        searched = missing[:1_000] if i < MAX_SUGGESTED and len(name) < 200 else []
        near = difflib.get_close_matches(name, searched, n=1, cutoff=0.8)
        yield name, f"Is it {near[0]}? Then rename it." if near else "Leave it out of the file."


def shown_shape(shape: Shape) -> str:
    return "×".join(map(str, shape)) if shape else "a single value"
