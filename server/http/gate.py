"""The gate: what is handed in over HTTP gets its name when its evaluation keeps the operator's bounds.

intake → in the store, on trial → evaluation → name. What is refused leaves the store again, and so does what
the server was deciding about when it was killed; the evaluation stays, so that whoever handed it in can hear
why, or need not wait for what was done already. The operator's own commands pass no gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models_store.report import Limits, Progress, ProgressCallback
from server.evaluation.errors import EvaluationFailed, GateRefused
from server.evaluation.gate import missed_bounds
from server.evaluation.plan import EvaluationRequest, Plan
from server.http.errors import Refused
from server.http.evaluations import Evaluations, make_plan

POLL_S = 0.25


def reading_gated(
    evaluations: Evaluations, path: Path, name: str, max_upload_bytes: int
) -> Callable[[ProgressCallback], dict[str, Any]]:
    """To check, convert, evaluate and publish an upload under a name; for a thread of its own."""
    store = evaluations.store

    def read(progress: ProgressCallback) -> dict[str, Any]:
        with store.on_trial(path, progress, Limits(max_upload_bytes=max_upload_bytes)) as published:
            submission_id = published.submission.id
            _admit(evaluations, submission_id, progress)
            store.alias(name, submission_id)
        return {
            "status": "published",
            "submission_id": submission_id,
            "is_new": published.is_new,
            "report": published.report.to_dict(),
        }

    return read


def require_admitted(evaluations: Evaluations, name_or_id: str) -> None:
    """Raises Refused without a finished evaluation, GateRefused with one that misses a bound, NotFound."""
    submission = evaluations.store.resolve(name_or_id)
    plan = make_plan(EvaluationRequest(submissions=[submission.id]), evaluations.settings, evaluations.store)
    if not evaluations.archive.is_finished(plan.id):
        raise Refused(
            409,
            f"found no finished evaluation of {submission.id}; expected one that keeps the operator's bounds "
            f'(VOICECORE_GATE). Start it: POST /v1/evaluations {{"submissions": ["{submission.id}"]}}.',
            "not_evaluated",
        )
    _require_within(evaluations, plan)


def _admit(evaluations: Evaluations, submission_id: str, progress: ProgressCallback) -> None:
    """Evaluate it, and wait. Raises GateRefused, EvaluationFailed, and what `progress` raises."""
    plan = evaluations.add(EvaluationRequest(submissions=[submission_id]))
    while (state := evaluations.archive.state(plan.id)).status in ("waiting", "running"):
        done = state.progress.done if state.progress else 0
        phase = state.progress.phase if state.progress else "speaking"
        progress(Progress(phase, done, plan.num_items))
        time.sleep(POLL_S)
    if state.status == "failed":
        raise EvaluationFailed(f"the submission could not be evaluated: {state.error}")
    _require_within(evaluations, plan)


def _require_within(evaluations: Evaluations, plan: Plan) -> None:
    if missed := missed_bounds(evaluations.settings.gate, evaluations.archive.result(plan.id)):
        raise GateRefused(plan.id, missed)
