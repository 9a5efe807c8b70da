"""Submissions: hand one in, see what became of it, move its names, take it away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from models_store import submission as stored
from models_store.catalogue import check_name
from models_store.durable import storage_errors
from models_store.errors import InUse, NotFound
from models_store.report import GIB
from server.errors import WorkerLost
from server.http.errors import Refused
from server.http.evaluations import Evaluating, evaluations_of
from server.http.gate import reading_gated, require_admitted
from server.http.intakes import INTAKE_ID, Read, reading_submission
from server.http.openapi import multipart_archive_or
from server.http.schemas import Deleted, Intake, Submission, SubmissionList, SubmissionName, UploadedFiles
from server.http.services import Services, Serving
from server.http.uploads import read_json, receive_upload

router = APIRouter(prefix="/v1/submissions", tags=["submissions"])

_BODY = multipart_archive_or(
    UploadedFiles,
    name="What to call the submission; also as a query parameter.",
    file="One archive (.zip, .tar, .tar.gz), or each file of the folder.",
)


@router.post("", status_code=202, openapi_extra=_BODY, response_model=Intake)
async def submit(
    request: Request,
    services: Serving,
    name: str | None = None,
    wait: Annotated[bool, Query(description="Answer when the upload was read, not before.")] = False,
) -> Response:
    """Hand in a model. The upload is checked and converted after it was received; ask for the intake's id."""
    services.intakes.check_room()
    if name is not None:
        check_name(name)  # before gigabytes are sent
    async with AsyncExitStack() as held:
        scratch = ExitStack()
        folder = await asyncio.to_thread(scratch.enter_context, services.store.scratch())
        held.push_async_callback(asyncio.to_thread, scratch.close)
        if request.headers.get("content-type", "").lower().startswith("application/json"):
            intake = await _take_uploads(request, services, folder, held)
        else:
            intake = await _receive(request, services, folder, name, held)
    return await _answer(intake.id, services, wait)


async def _receive(
    request: Request, services: Services, folder: Path, name: str | None, held: AsyncExitStack
) -> Intake:
    """From the body. Raises Refused, BadName."""
    with storage_errors(services.store.root):
        upload = await receive_upload(request, folder)
    name = name or upload.fields.get("name")
    if name is None:
        message = "found no `name`; expected what to call the submission."
        raise Refused(422, message, "invalid_value", "name")
    check_name(name)
    read = _reading(request, services, _submitted(upload.files, folder), name)
    return services.intakes.start(read, name, held.pop_all())


async def _take_uploads(request: Request, services: Services, folder: Path, held: AsyncExitStack) -> Intake:
    """From resumable uploads, which stay until they are published: what is refused is mended file by file.

    Raises Refused, BadName, and what `ResumableUploads.gather` raises.
    """
    asked = await read_json(request, UploadedFiles)
    check_name(asked.name)
    ids = asked.upload_ids
    with storage_errors(services.store.root):
        files = await asyncio.to_thread(services.uploads.gather, ids, "submission", folder)
    discard = partial(services.uploads.discard, *ids)
    read = _reading(request, services, _submitted(files, folder), asked.name)
    return services.intakes.start(read, asked.name, held.pop_all(), discard)


@router.get("")
async def list_submissions(services: Serving) -> SubmissionList:
    return SubmissionList(data=await asyncio.to_thread(_all_submissions, services))


@router.get("/{name}")
async def get_submission(name: str, services: Serving) -> Submission | Intake:
    """A submission by name or id, or an intake by its id."""
    if INTAKE_ID.fullmatch(name):
        return await asyncio.to_thread(services.intakes.get, name)
    return await asyncio.to_thread(_one_submission, services, name)


@router.put("/{name}")
async def set_name(name: str, body: SubmissionName, services: Serving, evaluations: Evaluating) -> Submission:
    """Let a name mean another submission, or give a submission one more name."""
    if services.settings.gate:
        await asyncio.to_thread(require_admitted, evaluations, body.submission)
    await asyncio.to_thread(services.store.alias, name, body.submission)
    return await asyncio.to_thread(_one_submission, services, name)


@router.delete("/{name}")
async def delete_submission(
    name: str,
    services: Serving,
    force: Annotated[bool, Query(description="Evict it first, and forget all of its names.")] = False,
) -> Deleted:
    """Take a submission away: 409 while it is resident or has another name, unless forced."""
    submission = await asyncio.to_thread(services.store.resolve, name)
    if force:
        await _evict(services, submission.id)
    await asyncio.to_thread(services.store.delete, name, force)
    return Deleted(id=submission.id, object="submission.deleted")


async def _answer(intake_id: str, services: Services, wait: bool) -> Response:
    location = {"Location": f"/v1/submissions/{intake_id}"}
    intake = await services.intakes.finished(intake_id) if wait else services.intakes.get(intake_id)
    if intake.error is not None:
        return JSONResponse({"error": intake.error}, intake.error["http_status"], location)
    return JSONResponse(intake.model_dump(), 201 if intake.status == "published" else 202, location)


def _reading(request: Request, services: Services, path: Path, name: str) -> Read:
    max_upload_bytes = round(services.settings.max_upload_gib * GIB)
    if services.settings.gate:
        return reading_gated(evaluations_of(request), path, name, max_upload_bytes)
    return reading_submission(services.store, path, name, max_upload_bytes)


async def _evict(services: Services, submission_id: str) -> None:
    # What is being spoken is spoken to its end: the weights are in memory, their files may go.
    with suppress(InUse, NotFound, WorkerLost):
        await services.client.evict(submission_id)


def _submitted(files: Sequence[Path], folder: Path) -> Path:
    """One file is an archive, several are the submission's own files."""
    if not files:
        message = "found no file; expected an archive, or each file of the submission."
        raise Refused(422, message, "invalid_value", "file")
    return files[0] if len(files) == 1 else folder


def _all_submissions(services: Services) -> list[Submission]:
    names = services.store.names()
    return [_described(submission, names) for submission in services.store.submissions()]


def _one_submission(services: Services, name: str) -> Submission:
    return _described(services.store.resolve(name), services.store.names())


def _described(submission: stored.Submission, names: Mapping[str, str]) -> Submission:
    return Submission(
        id=submission.id,
        names=[name for name, named in names.items() if named == submission.id],
        family=submission.family,
        variant=submission.variant,
        languages=list(submission.languages),
        size_bytes=submission.size_bytes,
        submitted_at=submission.submitted_at,
    )
