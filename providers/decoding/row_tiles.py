"""Rows of several submissions, brought into tiles that each belong to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SMALL_TILE, LARGE_TILE = 16, 64
# More rows than this of one owner are cheaper in large tiles: each reads its weights once.
MOST_IN_SMALL_TILES = 32


class Tiles(NamedTuple):
    rows: list[int]  # per row, the number of the row that it is, or -1 where the tile isn't full
    owners: list[int]  # per tile
    tile_rows: int


def tile_rows(sizes: Sequence[int]) -> int:
    """Rows per tile for owners with so many rows each; one launch has tiles of one shape."""
    return LARGE_TILE if max(sizes) > MOST_IN_SMALL_TILES else SMALL_TILE


def bring_into_tiles(sizes: Mapping[int, int]) -> Tiles:
    """Owner → how many rows, which are numbered through in the mapping's order.

    The number of tiles is rounded up to a power of two; those too many belong to the first owner.
    """
    size = tile_rows([*sizes.values()])
    rows: list[int] = []
    owners: list[int] = []
    first = 0
    for owner, count in sizes.items():
        tiles = -(-count // size)
        rows += [*range(first, first + count), *[-1] * (tiles * size - count)]
        owners += [owner] * tiles
        first += count
    missing = (1 << (len(owners) - 1).bit_length()) - len(owners)
    return Tiles(rows + [-1] * (missing * size), owners + owners[:1] * missing, size)
