"""For operators and their tools: alive, ready, metrics, and what this is."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from models_store.errors import ModelsStoreError
from server.http.schemas import About, Health, Readiness
from server.http.services import Services, Serving, worker_state

router = APIRouter(tags=["operations"])


@router.get("/")
async def about() -> About:
    """What answers here; some clients ask to warm up their connection."""
    return About()


@router.get("/healthz")
async def healthz() -> Health:
    """This process serves. Says nothing about the device process: see /readyz."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(response: Response, services: Serving) -> Readiness:
    """The device process answers, and what is to be preloaded is resident."""
    state = await worker_state(services.client)
    if state is None:
        readiness = Readiness(status="starting", worker="down", missing=list(services.settings.preload))
    else:
        resident = {found.submission_id for found in state.residents if found.place == "device"}
        missing = await asyncio.to_thread(_missing, services, resident)
        readiness = Readiness(status="starting" if missing else "ready", worker="up", missing=missing)
    response.status_code = 200 if readiness.status == "ready" else 503
    return readiness


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: Serving) -> Response:
    """For Prometheus."""
    state = await worker_state(services.client)
    text = await asyncio.to_thread(services.metrics.exposition, state)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _missing(services: Services, resident: set[str]) -> list[str]:
    return [name for name in services.settings.preload if not _is_resident(services, name, resident)]


def _is_resident(services: Services, name: str, resident: set[str]) -> bool:
    try:
        return services.store.resolve(name).id in resident
    except ModelsStoreError:
        return False
