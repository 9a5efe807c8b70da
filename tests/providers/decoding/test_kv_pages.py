"""Pages belong to one slot at a time, and nobody waits for ever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.decoding.kv_pages import PAGE_TOKENS, SCRATCH_PAGE, PagePool

MOST_PAGES = 5


def test_a_slot_gets_as_many_pages_as_its_tokens_need():
    pool = PagePool(num_pages=20, most_pages=MOST_PAGES)
    for tokens, pages in ((1, 1), (PAGE_TOKENS, 1), (PAGE_TOKENS + 1, 2), (3, 2), (5 * PAGE_TOKENS, 5)):
        assert pool.hold(7, tokens)
        assert len(pool.pages(7)) == pages


def test_growing_keeps_the_pages_that_are_there():
    pool = PagePool(num_pages=20, most_pages=MOST_PAGES)
    pool.hold(0, 1)
    first = list(pool.pages(0))
    pool.hold(1, 1)
    pool.hold(0, 2 * PAGE_TOKENS)
    assert list(pool.pages(0))[:1] == first


def test_a_pool_that_is_smaller_than_one_slot_is_refused():
    with pytest.raises(ValueError, match="found a pool of 4 pages; expected at least one slot's 5"):
        PagePool(num_pages=4, most_pages=MOST_PAGES)


def test_refusing_changes_nothing():
    pool = PagePool(num_pages=6, most_pages=MOST_PAGES)
    assert pool.hold(0, PAGE_TOKENS)
    assert pool.hold(1, PAGE_TOKENS)
    assert not pool.hold(1, 3 * PAGE_TOKENS)  # slot 0 could not grow to five pages any more
    assert len(pool.pages(1)) == 1
    assert not pool.hold(2, PAGE_TOKENS)
    assert list(pool.pages(2)) == []
    assert pool.hold(0, 5 * PAGE_TOKENS)
    pool.release(2)


def test_room_leaves_what_those_running_are_expected_to_need():
    pool = PagePool(num_pages=25, most_pages=MOST_PAGES)
    assert pool.room(2 * PAGE_TOKENS) == 10
    pool.hold(0, PAGE_TOKENS)
    assert pool.room(2 * PAGE_TOKENS) == 9  # 24 free, one to come, five kept for the oldest
    full = PagePool(num_pages=5, most_pages=MOST_PAGES)
    assert full.room(3 * PAGE_TOKENS) == 1
    full.hold(0, 1)
    assert full.room(3 * PAGE_TOKENS) == 0


@given(
    num_pages=st.integers(MOST_PAGES, 30),
    slots=st.integers(1, 8),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_everybody_who_wants_to_grow_ends_at_last(num_pages, slots, data):
    """Slots grow in any order, and whoever is full leaves: no page is shared, somebody can always move."""
    pool = PagePool(num_pages, MOST_PAGES)
    tokens = dict.fromkeys(range(slots), 0)
    while tokens:
        moved = False
        for slot in data.draw(st.permutations(sorted(tokens))):
            more = data.draw(st.integers(1, 2 * PAGE_TOKENS))
            wanted = min(tokens[slot] + more, MOST_PAGES * PAGE_TOKENS)
            if pool.hold(slot, wanted):
                tokens[slot], moved = wanted, True
            held = [page for other in tokens for page in pool.pages(other)]
            assert len(held) == len(set(held)) <= num_pages
            assert SCRATCH_PAGE not in held
            if tokens[slot] == MOST_PAGES * PAGE_TOKENS:
                pool.release(slot)
                del tokens[slot]
        assert moved
