"""For operators and their tools: alive, ready, metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from server.http.base_models import find_missing
from server.http.schemas import Health, Readiness
from server.http.services import Serving, worker_state

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Health:
    """This process serves. Says nothing about the device process: see /readyz."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(response: Response, services: Serving) -> Readiness:
    """The device process answers, and what is to be preloaded is resident."""
    state = await worker_state(services.client)
    missing = await asyncio.to_thread(services.preloads.missing, state)
    dispensable = services.settings.dispensable_base_models
    missing_base_models = await asyncio.to_thread(find_missing, services.store, dispensable)
    is_ready = state is not None and not missing
    response.status_code = 200 if is_ready else 503
    return Readiness(
        status="ready" if is_ready else "starting",
        worker="down" if state is None else "up",
        missing=missing,
        missing_base_models=missing_base_models,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: Serving) -> Response:
    """For Prometheus."""
    state = await worker_state(services.client)
    text = await asyncio.to_thread(services.metrics.exposition, state)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
