"""An evaluation as it was asked for, and as it is carried out: with ids in place of names.

The same plan made again is the same evaluation: its id is a digest of what is spoken, with which seeds, and
how it is listened to. So an evaluation that was interrupted goes on, and one that exists isn't made twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.evaluation import measures, texts
from server.evaluation.texts import Sentence, TextSet

DEFAULT_SEEDS = (1, 2, 3)
MAX_SUBMISSIONS = 8
MAX_SEEDS = 10

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class SpokenText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    spoken: str = Field(description="The same with every number in words.")


class EvaluationRequest(BaseModel):
    """What to evaluate, and with what."""

    model_config = ConfigDict(extra="forbid")

    submissions: list[str] = Field(
        min_length=1, max_length=MAX_SUBMISSIONS, description="Names or ids; several are compared."
    )
    voice: str = Field("default", description="A registered voice; `default` is each submission's own.")
    language: str | None = Field(None, description="Of the texts; left out, the submissions' first.")
    texts: dict[str, list[str | SpokenText]] | None = Field(
        None, description="Kind → texts of your own; left out, the language's pinned set."
    )
    seeds: list[Seed] = Field(list(DEFAULT_SEEDS), min_length=1, max_length=MAX_SEEDS)
    recogniser: str | None = Field(
        None, description="auto, none, or a recogniser's name; left out, the server's setting."
    )

    @field_validator("seeds", "submissions")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError("each of them once")
        return values


@dataclass(frozen=True, slots=True)
class System:
    """One submission in one voice."""

    name: str  # what it was asked for as
    submission_id: str
    voice_id: str
    voice: str  # as a speech request takes it
    family: str
    variant: str


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance to make: the same wherever it is asked for, so it is made once."""

    system: System
    language: str
    sentence: Sentence
    seed: int

    @property
    def key(self) -> str:
        named = (
            self.system.submission_id,
            self.system.voice_id,
            self.language,
            self.sentence.text,
            self.seed,
        )
        return hashlib.sha256(json.dumps(named, ensure_ascii=False).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Plan:
    systems: tuple[System, ...]
    texts: TextSet
    seeds: tuple[int, ...]
    recogniser: str  # a name of the table and, behind a slash, its model; or "none"
    created_at: str  # ISO 8601, UTC; not part of the id

    @property
    def id(self) -> str:
        heard = {
            "systems": [[system.submission_id, system.voice_id] for system in self.systems],
            "texts": self.texts.digest,
            "seeds": self.seeds,
            "recogniser": self.recogniser,
            "version": measures.VERSION,
        }
        return "eval-" + hashlib.sha256(json.dumps(heard, sort_keys=True).encode()).hexdigest()[:16]

    def items(self) -> Iterator[Item]:
        """Seed by seed, so that an early look shows every sentence."""
        for seed in self.seeds:
            for system in self.systems:
                for sentence in self.texts.sentences:
                    yield Item(system, self.texts.language, sentence, seed)

    @property
    def num_items(self) -> int:
        return len(self.systems) * len(self.texts.sentences) * len(self.seeds)

    def measurement(self, item: Item) -> str:
        """What an item's measurement is filed under."""
        heard = [item.key, item.sentence.spoken, self.recogniser, measures.VERSION]
        return hashlib.sha256(json.dumps(heard, ensure_ascii=False).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        return {
            "systems": [
                {name: getattr(system, name) for name in System.__dataclass_fields__}
                for system in self.systems
            ],
            "texts": texts.to_json(self.texts),
            "seeds": list(self.seeds),
            "recogniser": self.recogniser,
            "created_at": self.created_at,
        }


def plan_from_json(value: Mapping[str, Any]) -> Plan:
    return Plan(
        systems=tuple(System(**system) for system in value["systems"]),
        texts=texts.from_json(value["texts"]),
        seeds=tuple(value["seeds"]),
        recogniser=value["recogniser"],
        created_at=value["created_at"],
    )
