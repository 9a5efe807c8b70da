"""What the routes stand on, made once per app and handed to each of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from models_store.resumable_uploads import ResumableUploads
from models_store.store import ModelsStore
from providers.errors import EngineError
from server.errors import WorkerLost
from server.http.audio_stream import Messages
from server.http.intakes import Intakes
from server.http.metrics import Metrics
from server.http.preloads import Preloads
from server.http.text_pool import TextReader
from server.scheduling.messages import Speak, WorkerState
from server.settings import Settings

STATE_TIMEOUT_S = 2.0


class SpeechClient(Protocol):
    """The device process, from here. Every method may raise WorkerLost."""

    async def connect(self) -> None: ...
    async def close(self) -> None: ...

    def speak(self, speak: Speak) -> Messages:
        """Iterate to hear; raises what the request failed with. Closing the iterator cancels the request."""

    async def load(self, submission_id: str) -> WorkerState: ...
    async def evict(self, submission_id: str) -> WorkerState: ...
    async def state(self) -> WorkerState: ...


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    store: ModelsStore
    client: SpeechClient
    text: TextReader
    uploads: ResumableUploads
    intakes: Intakes
    preloads: Preloads
    metrics: Metrics


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def worker_state(client: SpeechClient) -> WorkerState | None:
    """None: the device process is not up, or too busy to say."""
    try:
        return await asyncio.wait_for(client.state(), STATE_TIMEOUT_S)
    except (WorkerLost, EngineError, asyncio.TimeoutError):
        return None


Serving = Annotated[Services, Depends(_services)]
