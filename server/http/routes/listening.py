"""Listening tests: made, voted in, ranked, exported."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from server.http.listening import Listened, Listening, resolve_systems
from server.http.schemas import Deleted
from server.http.services import Serving
from server.listening.audio import MEDIA_TYPE
from server.listening.ballots import read_ballots
from server.listening.catalogue import Test
from server.listening.definition import TestDefinition
from server.listening.export import VoteRow, to_csv, vote_rows
from server.listening.results import Question, Results
from server.listening.voting import Progress, Side, Vote

router = APIRouter(prefix="/v1/listening", tags=["listening tests"])

Position = Annotated[int, Path(ge=0, le=100_000)]


class VoteBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer: str = Field(max_length=8, description="One of the trial's `answers`.")
    heard: dict[Side, float] = Field(
        description="Side → seconds of it that were played, as the client counted them."
    )


class TestChange(BaseModel):
    __test__ = False
    model_config = ConfigDict(extra="forbid")

    status: Literal["open", "closed"]


class TestList(BaseModel):
    __test__ = False

    object: Literal["list"] = "list"
    data: list[Test]


class VoteRows(BaseModel):
    test: Test
    votes: list[VoteRow]


@router.post("/tests", status_code=201)
async def create_test(body: TestDefinition, services: Serving, listening: Listened) -> Test:
    """Make a test. Its audio is synthesised in the background, once, and stored; then it is `open`."""
    systems = await asyncio.to_thread(resolve_systems, body, services.settings, services.store)
    test = await asyncio.to_thread(listening.catalogue.create, body, systems)
    listening.synthesis.wake()
    return test


@router.get("/tests")
async def list_tests(listening: Listened) -> TestList:
    """All of them, the newest first."""
    return TestList(data=await asyncio.to_thread(listening.catalogue.all))


@router.get("/tests/{test_id}")
async def get_test(test_id: str, listening: Listened) -> Test:
    """A test, and how far its audio and its votes are."""
    return await asyncio.to_thread(listening.catalogue.get, test_id)


@router.patch("/tests/{test_id}")
async def change_test(test_id: str, body: TestChange, listening: Listened) -> Test:
    """Close a test to votes and raters, or open it again. Its votes stay, and so do its results."""
    return await asyncio.to_thread(listening.catalogue.set_open, test_id, body.status == "open")


@router.delete("/tests/{test_id}")
async def delete_test(test_id: str, listening: Listened) -> Deleted:
    """Take a test away with all of its votes. Export them first: nothing brings them back."""
    await asyncio.to_thread(_delete, listening, test_id)
    return Deleted(id=test_id, object="listening.test.deleted")


@router.get("/tests/{test_id}/results")
async def get_results(test_id: str, listening: Listened) -> Results:
    """Standings with 95 % intervals by their lower bounds, the vote matrix, and how raters were screened.

    Computed from the stored votes: asked for again, they are the same.
    """
    return await asyncio.to_thread(_results, listening, test_id)


@router.get(
    "/tests/{test_id}/votes",
    response_model=VoteRows,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def export_votes(
    test_id: str,
    listening: Listened,
    format: Annotated[Literal["json", "csv"], Query(description="Of the export.")] = "json",
) -> Response | VoteRows:
    """Every vote, also those that don't count."""
    exported = await asyncio.to_thread(_exported, listening, test_id)
    if format == "json":
        return exported
    disposition = {"Content-Disposition": f'attachment; filename="{exported.test.id}.csv"'}
    text = await asyncio.to_thread(to_csv, exported.votes)
    return Response(text, media_type="text/csv", headers=disposition)


@router.post("/tests/{test_id}/raters", status_code=201)
async def join_test(test_id: str, listening: Listened) -> Progress:
    """A new rater, with an order of their own. Whoever has the id votes in their place: keep it."""
    return await asyncio.to_thread(listening.voting.join, test_id)


@router.get("/raters/{rater_id}")
async def get_rater(rater_id: str, response: Response, listening: Listened) -> Progress:
    """Where a rater is, and the next trial, whose clock begins when it is first given out."""
    response.headers["Cache-Control"] = "no-store"
    return await asyncio.to_thread(listening.voting.progress, rater_id)


@router.get(
    "/raters/{rater_id}/trials/{position}/audio/{side}",
    response_class=FileResponse,
    responses={200: {"content": {MEDIA_TYPE: {}}}, 206: {"description": "The range that was asked for."}},
)
async def get_audio(rater_id: str, position: Position, side: Side, listening: Listened) -> FileResponse:
    """One side of a trial, as FLAC; answers Range. Its address tells nothing of who speaks."""
    digest = await asyncio.to_thread(listening.voting.digest, rater_id, position, side)
    # Of its own, not the file's: X must not be recognised by it.
    headers = {"ETag": f'"{position}-{side}"', "Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(listening.clips.path(digest), media_type=MEDIA_TYPE, headers=headers)


@router.put("/raters/{rater_id}/trials/{position}/vote")
async def vote(rater_id: str, position: Position, body: VoteBody, listening: Listened) -> Vote:
    """Vote, and learn the names. It is on the disk when this answers; the same vote again changes nothing.

    409 before min(3 s, clip) of each side was heard, by the client's count and by the server's clock.
    """
    heard = {str(side): seconds for side, seconds in body.heard.items()}
    return await asyncio.to_thread(listening.voting.vote, rater_id, position, body.answer, heard)


def _results(listening: Listening, test_id: str) -> Results:
    # SciPy takes a second to import, and most servers speak only.
    from server.listening.ranking import compute_results

    test = listening.catalogue.get(test_id)
    names = tuple(system.name for system in test.systems)
    question = Question(test.kind, names, test.definition.min_votes, test.definition.seed)
    return compute_results(question, read_ballots(listening.database, test_id))


def _delete(listening: Listening, test_id: str) -> None:
    listening.catalogue.delete(test_id)
    listening.clips.sweep(listening.catalogue.digests())


def _exported(listening: Listening, test_id: str) -> VoteRows:
    test = listening.catalogue.get(test_id)
    return VoteRows(test=test, votes=vote_rows(test, read_ballots(listening.database, test_id)))
