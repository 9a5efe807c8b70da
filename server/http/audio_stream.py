"""One request's audio in reading order.

Utterances decode side by side, so a later one's audio may come before an earlier one has ended; nothing else
in the server restores the order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np

from providers.errors import EngineError
from providers.interface import Samples
from server.scheduling.messages import Audio, UtteranceDone

Messages = AsyncGenerator[Audio | UtteranceDone, None]


async def in_reading_order(messages: Messages, num_utterances: int) -> Messages:
    """The same messages, audio in the order in which it may be played.

    The utterance whose turn it is passes through at once; later ones' audio waits in memory. The first error
    ends it, whatever is still held back. Closing it closes `messages`.
    """
    turn = 0
    held: dict[int, list[Audio]] = defaultdict(list)
    done: set[int] = set()
    async with aclosing(messages):
        async for message in messages:
            if isinstance(message, UtteranceDone):
                done.add(message.utterance_index)
            elif message.utterance_index != turn:
                held[message.utterance_index].append(message)
                continue
            yield message
            while turn in done:
                turn += 1
                for audio in held.pop(turn, ()):
                    yield audio
    if turn != num_utterances:
        raise EngineError(f"the speech ended after {turn} of {num_utterances} utterances.")


def samples_of(audio: Audio) -> Samples:
    """[n] mono float32, without a copy."""
    return np.frombuffer(audio.samples, dtype=np.float32)
