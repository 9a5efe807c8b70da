"""Tests get their audio: in the background, a clip at a time, through the path that serves listeners.

Each HTTP process looks for tests that nobody works on, so it doesn't matter which of them was asked to make
one, or whether it still lives.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from server.background_work import BackgroundWork
from server.listening.audio import ClipStore, Samples
from server.listening.catalogue import LEASE_S, Catalogue, WantedClip
from server.listening.errors import DatabaseUnavailable

log = structlog.get_logger()

POLL_S = 5.0

Speak = Callable[[WantedClip], Awaitable[tuple[Samples, int]]]


class Later(Exception):
    """Speech isn't possible now, but may be in a moment. What it was is the cause."""


class Synthesis(BackgroundWork):
    """`speak` gives a clip's samples and their rate. It raises Later, or what `describe` tells the maker."""

    def __init__(
        self,
        catalogue: Catalogue,
        clips: ClipStore,
        speak: Speak,
        describe: Callable[[Exception], str],
        poll_s: float = POLL_S,
    ) -> None:
        super().__init__(poll_s)
        self._catalogue = catalogue
        self._clips = clips
        self._speak = speak
        self._describe = describe
        self._name = secrets.token_hex(8)

    async def _work(self) -> None:
        try:
            while (test_id := await asyncio.to_thread(self._catalogue.lease, self._name)) is not None:
                await self._synthesise(test_id)
        except (Later, DatabaseUnavailable) as error:
            log.warning("listening tests wait for their audio", reason=str(error.__cause__ or error))
        except Exception:
            log.exception("the synthesis of listening tests failed")

    async def _synthesise(self, test_id: str) -> None:
        """Raises Later and DatabaseUnavailable; every other failure is the test's own, and its end."""
        renewing = asyncio.create_task(self._renew(test_id))
        try:
            for clip in await asyncio.to_thread(self._catalogue.wanted_clips, test_id):
                if not await asyncio.to_thread(self._catalogue.renew_lease, test_id, self._name):
                    return
                samples, sample_rate_hz = await self._speak(clip)
                stored = await asyncio.to_thread(self._clips.put, samples, sample_rate_hz)
                await asyncio.to_thread(self._catalogue.save_clip, clip.id, stored)
            await asyncio.to_thread(self._catalogue.open, test_id, self._name)
        except (Later, asyncio.CancelledError):
            with suppress(DatabaseUnavailable):
                self._catalogue.release(test_id, self._name)
            raise
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.warning("a listening test gets no audio", test=test_id, exc_info=error)
            await asyncio.to_thread(self._catalogue.fail, test_id, self._name, self._describe(error))
        finally:
            renewing.cancel()

    async def _renew(self, test_id: str) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            with suppress(DatabaseUnavailable):
                await asyncio.to_thread(self._catalogue.renew_lease, test_id, self._name)
