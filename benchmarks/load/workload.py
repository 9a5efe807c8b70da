"""What is asked for: the n-th request of a run is the same in every process, round and run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from benchmarks.load.texts import Text


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, in no server's words yet."""

    text: Text
    model: str
    voice: str
    format: str
    seed: int
    is_voice_new: bool = False  # nobody has asked for this voice before


@dataclass(frozen=True, slots=True)
class Workload:
    """Texts, models, voices and formats, and how they are mixed.

    Texts come in shuffled cycles, so that no run is lucky with its texts. Models are as popular as their
    rank to the power of -`zipf`; voices and formats are all as popular. Of every `1 / new_voice_share`
    requests one takes a voice of `new_voices`, each of which is taken once.
    """

    texts: tuple[Text, ...]
    models: tuple[str, ...]
    voices: tuple[str, ...] = ("default",)
    formats: tuple[str, ...] = ("pcm",)
    zipf: float = 1.0
    new_voices: tuple[str, ...] = ()
    new_voice_share: float = 0.0
    seed: int = 0

    def ask(self, index: int) -> Ask:
        """The request at `index`. Asked for twice, it is the same twice: its seed is its text's."""
        dice = random.Random(f"{self.seed}/{index}")
        text = self._text(index)
        (model,) = dice.choices(self.models, self._popularity())
        voice = self._new_voice(index)
        return Ask(
            text=text,
            model=model,
            voice=voice or dice.choice(self.voices),
            format=dice.choice(self.formats),
            seed=crc32(text.text.encode()),
            is_voice_new=voice is not None,
        )

    def num_new_voices(self, num_requests: int) -> int:
        """How many of the first so many requests take a new voice."""
        return int(num_requests * self.new_voice_share)

    def _text(self, index: int) -> Text:
        cycle, position = divmod(index, len(self.texts))
        return self.texts[_shuffled(len(self.texts), f"{self.seed}/texts/{cycle}")[position]]

    def _popularity(self) -> list[float]:
        return [rank**-self.zipf for rank in range(1, len(self.models) + 1)]

    def _new_voice(self, index: int) -> str | None:
        before, after = self.num_new_voices(index), self.num_new_voices(index + 1)
        return self.new_voices[before] if before < after <= len(self.new_voices) else None


@lru_cache(maxsize=64)
def _shuffled(count: int, seed: str) -> tuple[int, ...]:
    """Kept, for a client has better things to do when a request is due."""
    return tuple(random.Random(seed).sample(range(count), count))
