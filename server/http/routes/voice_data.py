"""Contributed recordings: looked at, taken in with their declaration, spoken with, withdrawn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from models_store.catalogue import check_name
from models_store.durable import storage_errors
from models_store.errors import NotFound
from models_store.report import GIB, ProgressCallback
from models_store.voice_data import library as stored
from models_store.voice_data.declaration import LICENCES, STATEMENTS, VERSION, Declaration, declare
from models_store.voice_data.library import VoiceData
from providers.audio.analysis.measurements import MEASUREMENTS
from providers.audio.analysis.rules import RULES
from providers.audio.analysis.verdict import Inspection
from server.http import schemas
from server.http.errors import Refused
from server.http.intakes import INTAKE_ID, Read
from server.http.openapi import multipart_archive_or
from server.http.schemas import Contribution, ContributionList, Declared, DeclaredRecordings, Intake, LookedAt
from server.http.services import Services, Serving
from server.http.uploads import read_fields, read_json, receive_upload
from server.voice_data.intake import limits, look

router = APIRouter(prefix="/v1/voice-data", tags=["voice data"])

PURPOSE = "voice_data"
MAX_REASON_CHARS = 2_000

_BODY = multipart_archive_or(
    DeclaredRecordings,
    file="One wav, several, or zips of them.",
    **{name: field.description or STATEMENTS.get(name, "") for name, field in Declared.model_fields.items()},
)


@router.post("", status_code=202, openapi_extra=_BODY, response_model=Intake)
async def contribute(
    request: Request,
    services: Serving,
    wait: Annotated[bool, Query(description="Answer when the recordings were looked at.")] = False,
) -> Response:
    """Hand in recordings, or have them checked. They are looked at after they were received."""
    services.intakes.check_room()
    library = _library(services)
    async with AsyncExitStack() as held:
        scratch = ExitStack()
        folder = await asyncio.to_thread(scratch.enter_context, library.scratch())
        held.push_async_callback(asyncio.to_thread, scratch.close)
        received = folder / "received"
        received.mkdir()
        with storage_errors(library.root):
            asked, files, remove = await _receive(request, services, received)
        declaration = None if asked.check else _declared(asked)
        read = _reading(services, files, folder, declaration, asked.language)
        intake = services.intakes.start(read, next(iter(files)), held.pop_all(), remove)
    return await _answer(intake.id, services, wait)


@router.get("")
async def list_contributions(services: Serving) -> ContributionList:
    """The newest first; withdrawn ones too, without their audio."""
    found = await asyncio.to_thread(_library(services).contributions)
    return ContributionList(data=[_described(each) for each in reversed(found)])


@router.get("/rules")
async def get_rules() -> schemas.VoiceDataRules:
    """What is measured and where the bounds are, what has to be declared, and under which licences."""
    return schemas.VoiceDataRules(
        version=VERSION,
        statements=STATEMENTS,
        licences=[schemas.Licence(id=name, **asdict(licence)) for name, licence in LICENCES.items()],
        rules=[
            schemas.VoiceDataRule(name=name, unit=MEASUREMENTS[rule.measurement].unit, **asdict(rule))
            for name, rule in RULES.items()
        ],
        measurements={name: schemas.MeasurementText(**asdict(each)) for name, each in MEASUREMENTS.items()},
    )


@router.get(
    "/records",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_records(services: Serving) -> StreamingResponse:
    """The ledger as it stands: a line of JSON per record, each with the digest of the one before it."""
    lines = await asyncio.to_thread(lambda: list(_library(services).ledger.lines()))
    headers = {"Content-Disposition": 'attachment; filename="voice-data-records.jsonl"'}
    return StreamingResponse(iter(lines), media_type="application/x-ndjson", headers=headers)


@router.get("/verification")
async def verify_records(
    services: Serving,
    receipt: Annotated[list[str] | None, Query(description="Digests of records that must be there.")] = None,
) -> schemas.Verification:
    """Whether any record was edited, removed or added behind the ledger's back."""
    verified = await asyncio.to_thread(_library(services).verify, *(receipt or ()))
    return schemas.Verification(
        ok=not verified.problems,
        num_records=verified.num_records,
        head=verified.head,
        problems=list(verified.problems),
    )


@router.get("/{contribution_id}")
async def get_contribution(contribution_id: str, services: Serving) -> Contribution | Intake:
    """A contribution, or an intake by its id."""
    if INTAKE_ID.fullmatch(contribution_id):
        return await asyncio.to_thread(services.intakes.get, contribution_id)
    return _described(await asyncio.to_thread(_library(services).get, contribution_id))


@router.delete("/{contribution_id}")
async def withdraw(
    contribution_id: str,
    services: Serving,
    reason: Annotated[str, Query(max_length=MAX_REASON_CHARS, description="Goes into the record.")] = "",
) -> Contribution:
    """Delete a contribution's audio. The record that it was here and was withdrawn stays."""
    return _described(await asyncio.to_thread(_library(services).withdraw, contribution_id, reason))


@router.get("/{contribution_id}/recordings/{position}")
async def get_recording(contribution_id: str, position: int, services: Serving) -> LookedAt:
    """What was found when it was looked at."""
    return await asyncio.to_thread(_report, _library(services), contribution_id, position)


@router.get(
    "/{contribution_id}/recordings/{position}/audio",
    response_class=FileResponse,
    responses={200: {"content": {"audio/wav": {}}}, 206: {"description": "The range that was asked for."}},
)
async def get_recording_audio(contribution_id: str, position: int, services: Serving) -> FileResponse:
    """The file as it came; answers Range."""
    library = _library(services)
    recording = await asyncio.to_thread(_recording, library, contribution_id, position)
    path = await asyncio.to_thread(library.path, recording)
    return FileResponse(path, media_type="audio/wav", headers={"ETag": f'"{recording.digest}"'})


@router.post("/{contribution_id}/recordings/{position}/voice", status_code=201)
async def speak_with(
    contribution_id: str, position: int, services: Serving, name: Annotated[str, Body(embed=True)]
) -> schemas.AddedVoice:
    """Register the best stretch of a recording as a voice, for any submission that takes voices."""
    check_name(name)
    added = await asyncio.to_thread(_add_voice, services, contribution_id, position, name)
    return schemas.AddedVoice(
        id=name,
        name=name,
        voice_id=added.voice.id,
        duration_s=added.voice.duration_s,
        language=added.voice.language,
        created_at=int(time.time()),
        warnings=[str(warning) for warning in added.warnings],
    )


def _library(services: Services) -> VoiceData:
    return VoiceData(services.settings.voice_data_path)


async def _receive(
    request: Request, services: Services, folder: Path
) -> tuple[Declared, dict[str, Path], Callable[[], None]]:
    """What was asked, the files by name, and what to call once they are taken in."""
    if request.headers.get("content-type", "").lower().startswith("application/json"):
        asked = await read_json(request, DeclaredRecordings)
        ids = asked.upload_ids
        paths = await asyncio.to_thread(services.uploads.gather, ids, PURPOSE, folder)
        names = {str(path.relative_to(folder)): path for path in paths}
        return asked, names, partial(services.uploads.discard, *ids)
    upload = await receive_upload(request, folder)
    if not upload.files:
        raise Refused(422, "found no file; expected a wav, several, or a zip.", "invalid_value", "file")
    return read_fields(upload.fields, Declared), {path.name: path for path in upload.files}, lambda: None


def _declared(asked: Declared) -> Declaration:
    return declare(**asked.model_dump(include={"version", "licence", "source", "contributor", *STATEMENTS}))


def _reading(
    services: Services,
    files: Mapping[str, Path],
    scratch: Path,
    declaration: Declaration | None,
    language: str | None,
) -> Read:
    allowed = limits(round(services.settings.max_upload_gib * GIB))

    def read(progress: ProgressCallback) -> dict[str, Any]:
        looked = look(files, _library(services), scratch, progress, declaration, language, allowed)
        told = {"recordings": [_looked_at(each) for each in looked.inspections]}
        if looked.contribution is not None:
            return told | {"status": "published", "contribution": _described(looked.contribution)}
        return told | {"status": "checked" if declaration is None else "refused"}

    return read


async def _answer(intake_id: str, services: Services, wait: bool) -> Response:
    location = {"Location": f"/v1/voice-data/{intake_id}"}
    intake = await services.intakes.finished(intake_id) if wait else services.intakes.get(intake_id)
    if intake.error is not None:
        return JSONResponse({"error": intake.error}, intake.error["http_status"], location)
    status = {"published": 201, "checked": 200, "refused": 422}.get(intake.status, 202)
    return JSONResponse(intake.model_dump(), status, location)


def _described(contribution: stored.Contribution) -> Contribution:
    return Contribution.model_validate(asdict(contribution))


def _looked_at(inspection: Inspection) -> LookedAt:
    return _as_looked_at(asdict(inspection))


def _as_looked_at(inspection: Mapping[str, Any]) -> LookedAt:
    analysis = inspection["analysis"]
    shown: Sequence[str] = ("measurements", "speech", "waveform", "not_wav")
    return LookedAt.model_validate({**inspection, **{name: analysis[name] for name in shown}})


def _recording(library: VoiceData, contribution_id: str, position: int) -> stored.Recording:
    recordings = library.get(contribution_id).recordings
    if not 0 <= position < len(recordings):
        raise NotFound("recording", str(position))
    return recordings[position]


def _report(library: VoiceData, contribution_id: str, position: int) -> LookedAt:
    return _as_looked_at(library.report(_recording(library, contribution_id, position)))


def _add_voice(services: Services, contribution_id: str, position: int, name: str) -> Any:
    from server.voice_data.clip import best_stretch, cut

    library = _library(services)
    contribution, recording = library.get(contribution_id), _recording(library, contribution_id, position)
    report = library.report(recording)
    start, end = best_stretch([tuple(each) for each in report["analysis"]["speech"]], recording.duration_s)
    with library.scratch() as scratch:
        clip = scratch / "voice.wav"
        cut(library.path(recording), clip, start, end)
        return services.store.add_voice(name, [clip], contribution.language)
