"""What a language makes of a piece of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phones:
    """Phones of a text in one language, all of them in the symbol table they were asked for with.

    `word2ph` says how many phones each character of `text` has; only Chinese and Cantonese can tell. The
    features of RoBERTa, one per character, are repeated by it.
    """

    text: str  # as normalised
    names: tuple[str, ...]
    word2ph: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.word2ph is None:
            return
        if len(self.word2ph) != len(self.text) or sum(self.word2ph) != len(self.names):
            raise ValueError(
                f"expected {len(self.text)} counts and {len(self.names)} phones in word2ph, "
                f"found {len(self.word2ph)} and {sum(self.word2ph)}"
            )
