"""Evaluations: started, followed, read, listened to, taken away."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from models_store.errors import NotFound
from server.evaluation import texts
from server.evaluation.archive import Archive, Phase, Status
from server.evaluation.errors import BadEvaluation
from server.evaluation.extra import complaint
from server.evaluation.plan import EvaluationRequest, Plan
from server.evaluation.recognition.table import NOBODY, ROWS, choose
from server.http.errors import Refused
from server.http.evaluations import Evaluating, Evaluations
from server.http.schemas import Deleted
from server.settings import Settings

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"])

# The report brings all that it shows and runs no script; nothing else may be loaded or run by it.
REPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "media-src data:; base-uri 'none'; form-action 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}


class EvaluationProgress(BaseModel):
    phase: Phase
    done: int = Field(description="Utterances of this phase.")
    total: int


class EvaluatedSystem(BaseModel):
    name: str = Field(description="What it was asked for as; `submission_id` is what was evaluated.")
    submission_id: str
    voice: str
    scores: dict[str, float] | None = Field(description="Measure → mean, once it is finished.")


class Evaluation(BaseModel):
    id: str
    object: Literal["evaluation"] = "evaluation"
    status: Status
    progress: EvaluationProgress | None
    error: str | None
    created_at: str
    language: str
    num_texts: int
    seeds: list[int]
    recogniser: str
    systems: list[EvaluatedSystem]


class EvaluationList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Evaluation]


class RecogniserOption(BaseModel):
    name: str
    languages: list[str]
    sends_audio: bool = Field(description="To somebody else's computer.")
    missing: str | None = Field(description="What it lacks, and the remedy; null: it can be used.")


class EvaluationOptions(BaseModel):
    missing: str | None = Field(description="Why nothing can be evaluated, and the remedy.")
    languages: list[str] = Field(description="With pinned texts.")
    recognisers: list[RecogniserOption]
    chosen: dict[str, str] = Field(description="Language → the recogniser that is taken if none is named.")


@router.post("", status_code=202, response_model=Evaluation)
async def start_evaluation(
    body: EvaluationRequest, response: Response, evaluations: Evaluating
) -> Evaluation:
    """Evaluate submissions, in the background. The same again is the same: it goes on, or is there."""
    plan = await asyncio.to_thread(evaluations.add, body)
    evaluations.runner.wake()
    response.headers["Location"] = f"/v1/evaluations/{plan.id}"
    return await asyncio.to_thread(_described, plan, evaluations.archive)


@router.get("")
async def list_evaluations(evaluations: Evaluating) -> EvaluationList:
    """All of them, the newest first."""
    return EvaluationList(data=await asyncio.to_thread(_all, evaluations.archive))


@router.get("/options")
async def get_options(evaluations: Evaluating) -> EvaluationOptions:
    """What evaluations can be made with here."""
    return await asyncio.to_thread(_options, evaluations)


@router.get("/{evaluation_id}")
async def get_evaluation(evaluation_id: str, evaluations: Evaluating) -> Evaluation:
    """One of them, and how far it is."""
    return await asyncio.to_thread(_one, evaluation_id, evaluations.archive)


@router.get("/{evaluation_id}/result")
async def get_result(evaluation_id: str, evaluations: Evaluating) -> dict[str, Any]:
    """Everything that was measured: estimates with intervals, differences, every utterance."""
    await asyncio.to_thread(_require_finished, evaluation_id, evaluations.archive)
    return await asyncio.to_thread(evaluations.archive.result, evaluation_id)


@router.get(
    "/{evaluation_id}/report",
    response_class=FileResponse,
    responses={200: {"content": {"text/html": {}}}},
)
async def get_report(evaluation_id: str, evaluations: Evaluating) -> FileResponse:
    """The report: one HTML page with everything in it."""
    await asyncio.to_thread(_require_finished, evaluation_id, evaluations.archive)
    path = evaluations.archive.report_path(evaluation_id)
    return FileResponse(path, media_type="text/html; charset=utf-8", headers=REPORT_HEADERS)


@router.get(
    "/{evaluation_id}/utterances/{key}/audio",
    response_class=FileResponse,
    responses={200: {"content": {"audio/flac": {}}}, 206: {"description": "The range that was asked for."}},
)
async def get_audio(
    evaluation_id: str, evaluations: Evaluating, key: str = Path(pattern="^[0-9a-f]{32}$")
) -> FileResponse:
    """One utterance as FLAC, as it was spoken; answers Range. Its key is in the result."""
    path = await asyncio.to_thread(_audio_path, evaluation_id, key, evaluations.archive)
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "private, max-age=31536000"})


@router.delete("/{evaluation_id}")
async def delete_evaluation(evaluation_id: str, evaluations: Evaluating) -> Deleted:
    """Take one away, with the audio that no other evaluation has. One that is being made stops."""
    await asyncio.to_thread(evaluations.archive.delete, evaluation_id)
    return Deleted(id=evaluation_id, object="evaluation.deleted")


def _all(archive: Archive) -> list[Evaluation]:
    found = []
    for plan in archive.plans():
        try:
            found.append(_described(plan, archive))
        except NotFound:
            continue  # deleted in between
    return found


def _one(evaluation_id: str, archive: Archive) -> Evaluation:
    return _described(archive.plan(evaluation_id), archive)


def _described(plan: Plan, archive: Archive) -> Evaluation:
    state = archive.state(plan.id)
    progress = state.progress and EvaluationProgress(
        phase=state.progress.phase, done=state.progress.done, total=state.progress.total
    )
    scores = archive.means(plan.id) if state.status == "finished" else [None] * len(plan.systems)
    return Evaluation(
        id=plan.id,
        status=state.status,
        progress=progress,
        error=state.error,
        created_at=plan.created_at,
        language=plan.texts.language,
        num_texts=len(plan.texts.sentences),
        seeds=list(plan.seeds),
        recogniser=plan.recogniser,
        systems=[
            EvaluatedSystem(
                name=system.name, submission_id=system.submission_id, voice=system.voice, scores=found
            )
            for system, found in zip(plan.systems, scores, strict=True)
        ],
    )


def _options(evaluations: Evaluations) -> EvaluationOptions:
    settings = evaluations.settings
    return EvaluationOptions(
        missing=complaint(),
        languages=list(texts.languages()),
        recognisers=[
            RecogniserOption(
                name=row.name,
                languages=list(row.languages),
                sends_audio=row.sends_audio,
                missing=row.missing(settings),
            )
            for row in ROWS.values()
        ],
        chosen={language: _chosen(language, settings) for language in texts.languages()},
    )


def _chosen(language: str, settings: Settings) -> str:
    """The setting's recogniser may not know every language."""
    try:
        return choose(settings.recogniser, language, settings)
    except BadEvaluation:
        return NOBODY


def _require_finished(evaluation_id: str, archive: Archive) -> None:
    state = archive.state(evaluation_id)
    if state.status != "finished":
        why = f": {state.error}" if state.error else ""
        message = (
            f"found an evaluation that is {state.status}{why}; expected a finished one. Ask again later."
        )
        raise Refused(409, message, "evaluation_not_finished")


def _audio_path(evaluation_id: str, key: str, archive: Archive) -> Any:
    if all(item.key != key for item in archive.plan(evaluation_id).items()):
        raise NotFound("utterance", key)
    if not (path := archive.audio_path(key)).exists():
        raise NotFound("utterance", key)
    return path
