"""Who has which pages of the KV pool: the host's side of it, without a tensor.

An utterance gets pages as it grows, so the pool holds as many utterances as their real lengths allow. Of
XTTS (120 KiB per token in bfloat16, 64 tokens per page) 1,000 utterances that have said five of their ten
seconds take 4 pages each, 31 GB; at the longest that each could become they would take 17, 134 GB.

Growing can find the pool empty. Then an utterance waits where it is, and whoever ends makes room. That
never ends in everybody waiting for everybody: the oldest utterance may take any page, the others only as
long as it could still grow to the longest with what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

PAGE_TOKENS = 64
SCRATCH_PAGE = 0  # where rows that belong to nobody write; no utterance gets it


class PagePool:
    """Pages 1 to `num_pages`, of `PAGE_TOKENS` tokens each, and the slots that hold them."""

    def __init__(self, num_pages: int, most_pages: int) -> None:
        """`most_pages`: of one slot. Raises ValueError where not even one slot could grow so far."""
        if num_pages < most_pages:
            raise ValueError(f"found a pool of {num_pages} pages; expected at least one slot's {most_pages}")
        self.num_pages = num_pages
        self.most_pages = most_pages
        self._free = list(range(num_pages, SCRATCH_PAGE, -1))
        self._held: dict[int, list[int]] = {}  # by slot, oldest first

    def hold(self, slot: int, tokens: int) -> bool:
        """Whether a slot, new or not, has pages for so many tokens now. If not, it has what it had."""
        held = self._held.get(slot, [])
        more = -(-tokens // PAGE_TOKENS) - len(held)
        if more > 0 and not self._may_take(slot, more):
            return False
        self._held[slot] = held
        for _ in range(more):
            held.append(self._free.pop())
        return True

    def pages(self, slot: int) -> Sequence[int]:
        """A slot's pages in the order of their tokens; none of one that holds nothing."""
        return self._held.get(slot, ())

    def release(self, slot: int) -> None:
        """Free a slot's pages; a slot without any is nothing."""
        self._free.extend(reversed(self._held.pop(slot, [])))

    def room(self, expected_tokens: int) -> int:
        """How many utterances of so many tokens could start now and, if all others also get as long, end
        without waiting for a page.
        """
        expected = -(-expected_tokens // PAGE_TOKENS)
        to_come = sum(max(0, expected - len(held)) for held in self._held.values())
        room = max(0, len(self._free) - to_come - self.most_pages) // expected
        return room if self._held else max(1, room)

    def _may_take(self, slot: int, more: int) -> bool:
        left = len(self._free) - more
        oldest = next(iter(self._held), slot)
        if slot == oldest:
            return left >= 0
        return left + len(self._held[oldest]) >= self.most_pages
