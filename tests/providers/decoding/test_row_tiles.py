from __future__ import annotations

from providers.decoding.row_tiles import LARGE_TILE, MOST_IN_SMALL_TILES, SMALL_TILE, bring_into_tiles


def test_every_tile_has_one_owner_and_their_number_is_a_power_of_two():
    tiles = bring_into_tiles({4: 3, 9: SMALL_TILE + 1})
    assert tiles.tile_rows == SMALL_TILE
    assert tiles.owners == [4, 9, 9, 4]
    assert tiles.rows[:3] == [0, 1, 2]
    assert tiles.rows[SMALL_TILE : 2 * SMALL_TILE + 1] == [*range(3, 3 + SMALL_TILE + 1)]
    assert len(tiles.rows) == 4 * SMALL_TILE
    assert sorted(row for row in tiles.rows if row >= 0) == [*range(3 + SMALL_TILE + 1)]


def test_many_rows_of_one_owner_make_large_tiles():
    assert bring_into_tiles({0: MOST_IN_SMALL_TILES, 1: 1}).tile_rows == SMALL_TILE
    assert bring_into_tiles({0: MOST_IN_SMALL_TILES + 1, 1: 1}).tile_rows == LARGE_TILE
