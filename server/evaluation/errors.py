"""What can go wrong with an evaluation.

BadEvaluation          the caller acts: HTTP 422; it can't be made as it was asked for
EvaluationUnavailable  the operator acts: HTTP 503; its packages aren't installed
GateRefused            the contributor acts: HTTP 422; the evaluation falls under the operator's bounds
EvaluationFailed       we act: HTTP 500; the process that measures has ended with an error
UnknownEvaluation      the caller acts: HTTP 404, a NotFound
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from models_store.errors import NotFound


class BadEvaluation(Exception):
    """What was asked for can't be evaluated: an unknown language, no texts, a recogniser that isn't there."""


class EvaluationUnavailable(Exception):
    """What evaluation needs isn't installed. The message has the command."""

    retry_after_s = 3600.0


class EvaluationFailed(Exception):
    """Speech or measurement broke off. What is finished stays on the disk."""


class GateRefused(Exception):
    """A submission that was measured and found wanting."""

    def __init__(self, evaluation_id: str, missed: Sequence[str]) -> None:
        super().__init__(
            f"found {'; '.join(missed)}. The operator lets a submission have a name only within these bounds "
            f"(VOICECORE_GATE). Its report says which sentences failed: GET /v1/evaluations/{evaluation_id}"
            "/report. Train on, or hand in another checkpoint."
        )
        self.evaluation_id = evaluation_id
        self.missed = tuple(missed)


class UnknownEvaluation(NotFound):
    """No evaluation has this id."""

    REMEDIES: ClassVar = NotFound.REMEDIES | {"evaluation": "list them with `voicecore evaluate --list`"}

    def __init__(self, evaluation_id: str) -> None:
        super().__init__("evaluation", evaluation_id)
