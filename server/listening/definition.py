"""A listening test as its maker writes it, in JSON or YAML."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Kind = Literal["preference", "abx", "mos"]
Reveal = Literal["vote", "end"]

MAX_CLIPS = 2000
DEFAULT_TRIALS = 50


def _sayable(text: str) -> str:
    if not text.strip():
        raise ValueError("some text")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Unicode text without NUL and halves of surrogate pairs")
    return text


SomeText = Annotated[str, AfterValidator(_sayable)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SystemDefinition(_Part):
    submission: SomeText = Field(max_length=200, description="A submission's name or id.")
    voice: SomeText = Field(
        default="default",
        max_length=200,
        description="A registered voice's name or id, or the submission's own.",
    )
    name: SomeText | None = Field(
        default=None,
        max_length=200,
        description="What results call it; left out: the submission and its voice.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"submission": data} if isinstance(data, str) else data

    @property
    def shown_name(self) -> str:
        own = self.submission if self.voice == "default" else f"{self.submission} in {self.voice}"
        return self.name or own


class TextDefinition(_Part):
    text: SomeText = Field(max_length=2000)
    language: str | None = Field(
        default=None,
        max_length=35,
        pattern=r"^[A-Za-z0-9-]+$",
        description="BCP-47; left out, it is detected.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return {"text": data} if isinstance(data, str) else data


class TrapDefinition(_Part):
    """A clip that tells the rater what to answer; it shows who doesn't listen."""

    text: SomeText = Field(max_length=2000)
    language: str | None = Field(default=None, max_length=35, pattern=r"^[A-Za-z0-9-]+$")
    expected: int = Field(ge=1, le=5, description="The only right rating.")


Systems = tuple[SystemDefinition, ...]
Texts = tuple[TextDefinition, ...]
Traps = tuple[TrapDefinition, ...]


class TestDefinition(_Part):
    """A set of texts × a set of systems. A system is a submission that speaks in a voice."""

    __test__ = False  # for pytest, which collects by names

    title: SomeText = Field(max_length=200)
    kind: Kind = Field(
        description="preference: which of two is better, names hidden; abx: which of two X is; "
        "mos: how good one is, from 1 (bad) to 5 (excellent)."
    )
    systems: Systems = Field(
        min_length=1, max_length=50, description="A submission's name will do as a system."
    )
    texts: Texts = Field(min_length=1, max_length=500, description="A string will do as a text.")
    traps: Traps = Field(default=(), max_length=20, description="Only in mos; spoken by the first system.")
    allow_ties: bool = Field(
        default=False, description="Only in preference: the answer `tie` is half a win each."
    )
    reveal: Reveal = Field(
        default="vote",
        description="When a rater is told the names: with each vote, or at the end, which keeps later votes "
        "blind where voices are recognised.",
    )
    trials_per_rater: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description=f"Traps come on top; left out: every pairing with every text, {DEFAULT_TRIALS} at most.",
    )
    min_votes: int = Field(default=30, ge=2, description="Votes that a system needs before it has a rank.")
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**53,
        description="Of the speech, the orders and the bootstrap: same seed, same test.",
    )

    @field_validator("systems")
    @classmethod
    def _enough_to_compare(cls, systems: Systems, info: ValidationInfo) -> Systems:
        if info.data.get("kind", "mos") != "mos" and len(systems) < 2:
            raise ValueError(f"two systems or more to compare in a test of the kind {info.data['kind']}")
        return systems

    @field_validator("texts")
    @classmethod
    def _not_too_many_clips(cls, texts: Texts, info: ValidationInfo) -> Texts:
        if len(info.data.get("systems", ())) * len(texts) > MAX_CLIPS:
            raise ValueError(f"at most {MAX_CLIPS} clips, which are systems × texts")
        return texts

    @field_validator("traps")
    @classmethod
    def _traps_of_ratings(cls, traps: Traps, info: ValidationInfo) -> Traps:
        if traps and info.data.get("kind", "mos") != "mos":
            raise ValueError(f"no traps in a test of the kind {info.data['kind']}; only mos has them")
        return traps

    @field_validator("allow_ties")
    @classmethod
    def _ties_of_preferences(cls, allow_ties: bool, info: ValidationInfo) -> bool:
        if allow_ties and info.data.get("kind", "preference") != "preference":
            raise ValueError(f"no ties in a test of the kind {info.data['kind']}; only preference has them")
        return allow_ties

    @field_validator("trials_per_rater")
    @classmethod
    def _not_more_than_questions(cls, trials: int | None, info: ValidationInfo) -> int | None:
        known = info.data
        if trials is not None and {"kind", "systems", "texts"} <= known.keys():
            questions = len(_groups(known["kind"], len(known["systems"]))) * len(known["texts"])
            if trials > questions:
                raise ValueError(f"at most {questions} trials_per_rater, one for each question there is")
        return trials

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the systems that are heard together: each alone, or every pair."""
        return _groups(self.kind, len(self.systems))

    @property
    def num_questions(self) -> int:
        return len(self.groups) * len(self.texts)

    @property
    def num_trials(self) -> int:
        """Of each rater, without traps."""
        return self.trials_per_rater or min(self.num_questions, DEFAULT_TRIALS)


def _groups(kind: Kind, num_systems: int) -> tuple[tuple[int, ...], ...]:
    return tuple(combinations(range(num_systems), 1 if kind == "mos" else 2))
