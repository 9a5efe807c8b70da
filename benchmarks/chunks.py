"""The chunks that a stream is heard in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat


def spans(
    num_tokens: int, chunk_tokens: Sequence[int], first_chunk_tokens: int = 1
) -> Iterator[tuple[int, int]]:
    """Chunks of those sizes, the last of them again and again; the first one is long enough to be heard."""
    *sizes, last = chunk_tokens
    start = 0
    for size in chain(sizes, repeat(last)):
        if start >= num_tokens:
            return
        stop = min(num_tokens, start + (size if start else max(size, first_chunk_tokens)))
        yield start, stop
        start = stop
