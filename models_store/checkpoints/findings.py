"""Problems and warnings, gathered while an upload is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from models_store.errors import Problem

MAX_LISTED = 500  # problems; nobody reads more


@dataclass(slots=True)
class Findings:
    """Problems and warnings as they are found."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, code: str, file: str, found: str, expected: str, remedy: str) -> None:
        self.problems.append(Problem(code, file, printable(found), expected, remedy))

    def warn(self, code: str, file: str, found: str, expected: str, remedy: str) -> None:
        self.warnings.append(Problem(code, file, printable(found), expected, remedy))

    def to_dict(self) -> dict[str, Any]:
        """As a task returns them: plain values, the most telling problems first."""
        return {
            "problems": [asdict(problem) for problem in _by_importance(self.problems)[:MAX_LISTED]],
            "num_problems": len(self.problems),
            "warnings": [asdict(warning) for warning in self.warnings],
        }


def printable(text: str) -> str:
    """What was found may quote the file: it must not reach a terminal as control characters."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _by_importance(problems: list[Problem]) -> list[Problem]:
    """What concerns whole files first: it often explains the many that concern single tensors."""
    single = ("MissingTensor", "UnexpectedTensor", "WrongShape", "WrongDtype")
    return sorted(problems, key=lambda problem: problem.code in single)
