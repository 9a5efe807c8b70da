"""The HTTP application: what it stands on, what every request passes, and its routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from models_store.errors import StorageError
from models_store.report import GIB, MIB
from models_store.resumable_uploads import ResumableUploads
from models_store.store import ModelsStore
from server.http.auth import BearerAuth
from server.http.errors import install_handlers
from server.http.evaluations import open_evaluations
from server.http.intakes import Intakes
from server.http.listening import open_listening
from server.http.metrics import Metrics
from server.http.middleware import BodyLimit, RequestContext
from server.http.origins import OriginCheck
from server.http.page import install_page
from server.http.preloads import Preloads
from server.http.routes import (
    evaluations,
    gpt_sovits,
    listening,
    models,
    operations,
    speech,
    submissions,
    uploads,
    voice_data,
    voices,
)
from server.http.schemas import Failure
from server.http.services import Services, SpeechClient
from server.http.text_pool import TextPool, TextReader
from server.http.tus import RESPONSE_HEADERS as TUS_HEADERS
from server.http.tus import expire_uploads, largest_bytes
from server.http.uploads import MAX_JSON_BYTES
from server.listening.catalogue import Clock
from server.settings import Settings

log = structlog.get_logger()

# What the multipart form around an upload may add to it.
FORM_BYTES = MIB

FAILURES: dict[int | str, dict[str, Any]] = {"4XX": {"model": Failure}, "5XX": {"model": Failure}}

READABLE_HEADERS = ("x-request-id", "x-seed", "x-sample-rate", "Retry-After", "Location", *TUS_HEADERS)


def create_app(
    settings: Settings,
    store: ModelsStore,
    client: SpeechClient,
    text: TextReader | None = None,
    clock: Clock = time.time,
) -> FastAPI:
    """`text` None: a process pool of our own, started and stopped with the app. `clock` is for votes."""
    metrics = Metrics()
    pool = TextPool(settings.text_processes, metrics) if text is None else None
    resumable = ResumableUploads(store.layout.uploads, settings.upload_expiry_h * 3600)
    intakes = Intakes(settings.home_path / "intakes")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(_collect_garbage, store)
        await client.connect()
        try:
            if pool is not None:
                await pool.start()
            app.state.listening.synthesis.start()
            app.state.evaluations.runner.start()
            expiring = asyncio.create_task(expire_uploads(resumable))
            yield
            expiring.cancel()
        finally:
            await app.state.evaluations.runner.close()
            await app.state.listening.close()
            await intakes.close()
            if pool is not None:
                await pool.close()
            await client.close()

    app = FastAPI(title="Voice Core", lifespan=lifespan, docs_url=None, redoc_url=None, responses=FAILURES)
    reader = pool or text
    assert reader is not None
    app.state.services = Services(
        settings, store, client, reader, resumable, intakes, Preloads(settings.preload, store), metrics
    )
    app.state.listening = open_listening(settings, app.state.services, clock)
    app.state.evaluations = open_evaluations(settings, app.state.services)
    install_handlers(app)
    for routes in (
        speech,
        gpt_sovits,
        models,
        voices,
        uploads,
        submissions,
        voice_data,
        evaluations,
        listening,
        operations,
    ):
        app.include_router(routes.router)
    _install_middleware(app, settings, metrics, install_page(app))
    return app


def _collect_garbage(store: ModelsStore) -> None:
    """What killed processes left, an earlier one of this server's among them."""
    try:
        store.collect_garbage()
    except StorageError as error:
        log.warning("the store keeps its garbage", error=str(error))


def _install_middleware(
    app: FastAPI, settings: Settings, metrics: Metrics, open_folders: frozenset[str]
) -> None:
    """From the innermost to the outermost. `open_folders`: what needs no key below `/`."""

    any_upload = "/v1/uploads/"
    largest = largest_bytes(settings)
    limits = {
        ("POST", "/v1/submissions"): round(settings.max_upload_gib * GIB) + FORM_BYTES,
        ("POST", "/v1/voice-data"): round(settings.max_upload_gib * GIB) + FORM_BYTES,
        ("POST", "/v1/audio/voices"): round(settings.max_voice_upload_mib * MIB) + FORM_BYTES,
        ("POST", "/v1/uploads"): largest,
        ("PATCH", any_upload): largest,
    }

    def limit_bytes(method: str, path: str) -> int:
        return limits.get((method, any_upload if path.startswith(any_upload) else path), MAX_JSON_BYTES)

    app.add_middleware(BodyLimit, limit_bytes=limit_bytes)
    app.add_middleware(OriginCheck, allowed=settings.cors_origins)
    if settings.api_key is not None:
        key = settings.api_key.get_secret_value()
        app.add_middleware(BearerAuth, api_key=key, open_folders=open_folders)
    app.add_middleware(RequestContext, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=READABLE_HEADERS,
        )
