"""The two symbol tables: which phone has which row in a checkpoint's phoneme embeddings.

The second keeps the first's ids and adds pitch marks for Japanese, Korean letters and Cantonese syllables.
`symbols.txt` lists both in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final, Literal

TableName = Literal["v1", "v2"]

UNKNOWN: Final = "UNK"
# Marks that every language shares. Whatever else ends or parts a sentence is written as one of these.
PUNCTUATION: Final = ("!", "?", "…", ",", ".", "-")
_SIZES: dict[TableName, int] = {"v1": 322, "v2": 732}


class SymbolTable:
    """Phone names and their ids. Get one from `symbol_table`."""

    def __init__(self, name: TableName, symbols: tuple[str, ...]) -> None:
        self.name = name
        self.symbols = symbols
        self._ids = {symbol: i for i, symbol in enumerate(symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, phone: object) -> bool:
        return phone in self._ids

    def known(self, phones: Iterable[str]) -> tuple[str, ...]:
        """The same phones, those that the table lacks as `UNK`: the model was trained with them so."""
        return tuple(phone if phone in self._ids else UNKNOWN for phone in phones)

    def ids(self, phones: Iterable[str]) -> tuple[int, ...]:
        """Raises KeyError for a phone that the table lacks."""
        return tuple(self._ids[phone] for phone in phones)


@cache
def symbol_table(name: TableName) -> SymbolTable:
    """`v1` for v1 submissions, `v2` for v2, v2Pro and v2ProPlus."""
    return SymbolTable(name, _listed()[: _SIZES[name]])


@cache
def _listed() -> tuple[str, ...]:
    lines = files(__package__).joinpath("symbols.txt").read_text(encoding="utf-8").splitlines()
    return tuple(symbol for line in lines if not line.startswith("#") for symbol in line.split())
