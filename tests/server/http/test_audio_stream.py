"""Reading order is restored whatever order the utterances are decoded in."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import EngineError
from server.http.audio_stream import in_reading_order
from server.scheduling.messages import Audio, UtteranceDone


def utterance(index: int, num_chunks: int) -> list[Audio | UtteranceDone]:
    chunks = [
        Audio("r", index, f"{index}.{position}".encode(), 24_000, position == num_chunks - 1)
        for position in range(num_chunks)
    ]
    return [*chunks, UtteranceDone("r", index, num_chunks, "stop")]


class Source:
    """Sends messages and says how far it was read and whether it was closed."""

    def __init__(self, messages, error=None):
        self.messages, self.error = messages, error
        self.sent = 0
        self.closed = False

    async def __call__(self):
        try:
            for message in self.messages:
                self.sent += 1
                yield message
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


async def collected(source: Source, num_utterances: int, into: list) -> None:
    async for message in in_reading_order(source(), num_utterances):
        into.append(message)


@settings(deadline=None)
@given(st.data())
def test_any_interleaving_comes_out_in_reading_order(data):
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    queues = [utterance(index, length) for index, length in enumerate(lengths)]
    expected = [m.samples for queue in queues for m in queue if isinstance(m, Audio)]
    mixed = []
    while remaining := [queue for queue in queues if queue]:
        mixed.append(data.draw(st.sampled_from(remaining)).pop(0))
    heard: list = []
    source = Source(mixed)
    asyncio.run(collected(source, len(lengths), heard))
    assert [m.samples for m in heard if isinstance(m, Audio)] == expected
    assert sum(m.num_tokens for m in heard if isinstance(m, UtteranceDone)) == sum(lengths)
    assert source.closed


def test_whose_turn_it_is_passes_through_at_once():
    messages = utterance(0, 3)
    source = Source(messages)

    async def run():
        stream = in_reading_order(source(), 1)
        assert await anext(stream) is messages[0]
        assert source.sent == 1, "nothing was read ahead"
        await stream.aclose()

    asyncio.run(run())
    assert source.closed, "closing it closes what it reads from"


def test_an_error_is_not_held_back_behind_audio():
    source = Source(utterance(1, 2), error=EngineError("lost"))
    heard: list = []
    with pytest.raises(EngineError, match="lost"):
        asyncio.run(collected(source, 2, heard))
    assert not any(isinstance(message, Audio) for message in heard)


def test_an_end_without_every_utterance_is_an_error():
    with pytest.raises(EngineError, match="after 1 of 3 utterances"):
        asyncio.run(collected(Source(utterance(0, 1) + utterance(2, 1)), 3, []))
