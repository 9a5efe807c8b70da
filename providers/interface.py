"""The seam between the server and the model families. No torch here.

An `Engine` runs one architecture on one device for any number of resident submissions of that
architecture. It is driven by one thread:

    load → condition → prefill({slot: …}) → (decode(slots, n) → vocode({slot: span}))* → release(slots)

A device may decode what comes next while what it has decoded is vocoded: `begin_decode`.

Units are in names; shapes stand beside arrays.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models_store.submission import SubmissionFiles

Samples = NDArray[np.float32]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How speech tokens are drawn. Complete: a request replaces fields of the submission's defaults."""

    temperature: float  # 0 is greedy
    top_k: int  # 0 is off
    top_p: float
    repetition_penalty: float
    max_tokens: int  # per utterance; the model's own limit also holds
    seed: int  # of the whole request; every utterance and step draws from its own counter
    noise_scale: float = 0.0  # of what families with a noisy vocoder add to their latents, in deviations

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 10.0:
            raise ValueError(f"temperature must be in [0, 10], found {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or more, found {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1], found {self.top_p}")
        if not 0.0 < self.repetition_penalty <= 100.0:
            raise ValueError(f"repetition_penalty must be in (0, 100], found {self.repetition_penalty}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, found {self.max_tokens}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), found {self.seed}")
        if not 0.0 <= self.noise_scale <= 2.0:
            raise ValueError(f"noise_scale must be in [0, 2], found {self.noise_scale}")


@dataclass(frozen=True, slots=True)
class CharacterSpan:
    """A run of a prompt's ids that spell characters, for families that add a language model's features.

    The model on the device reads `characters`; character i's features go with its `ids_per_character[i]` ids.
    """

    start: int  # index of the run's first id
    characters: str
    ids_per_character: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One utterance's text, ready for prefill: made without torch by a `TextFrontEnd`."""

    ids: tuple[int, ...]  # text tokens, without start and stop
    text: str  # as normalised, for logs and error messages
    language: str
    spans: tuple[CharacterSpan, ...] = ()  # in order, not overlapping; ids outside them have no features

    @property
    def languages(self) -> frozenset[str]:
        """All that are spoken: a mixed text's characters are Chinese, whatever its main language is."""
        return frozenset((self.language, "zh") if self.spans else (self.language,))


@dataclass(frozen=True, slots=True)
class Utterance:
    """The unit of scheduling: one sentence-sized piece of one request."""

    request_id: str
    index: int  # position in the request
    submission_id: str
    voice_id: str
    prompt: Prompt
    sampling: SamplingParams
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Recording:
    samples: Samples  # [n] mono in [-1, 1]
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class ReferenceVoice:
    """A voice in memory: what a conditioning is derived from."""

    recordings: tuple[Recording, ...]
    language: str | None = None
    transcript: str | None = None


class Conditioning(Protocol):
    """What one submission derives from one voice. Opaque to the server but for its size."""

    @property
    def size_bytes(self) -> int: ...


class HostWeights(Protocol):
    """A submission's weights in host memory, ready to be copied to a device."""

    @property
    def submission_id(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...  # on the device, without what is shared
    @property
    def shared(self) -> Mapping[str, int]: ...  # bytes on the device of what others may share, by its name


class Admission(NamedTuple):
    """What prefill needs to put an utterance into a slot."""

    utterance: Utterance
    conditioning: Conditioning


class Progress(NamedTuple):
    """Where a slot stands. `num_tokens` counts speech tokens whose latents can be vocoded."""

    num_tokens: int
    finished: FinishReason | None = None


class Decoding(Protocol):
    """Speech tokens on their way: see `Engine.begin_decode`."""

    def progress(self) -> dict[int, Progress]:
        """Wait for them. Where each slot stands, without those that were released meanwhile."""


class Span(NamedTuple):
    """A range of speech tokens to vocode: those before `start` were vocoded earlier.

    Samples that depend on tokens at or after `stop` are held back until a later span; the last span of an
    utterance (`is_last`) flushes them.
    """

    start: int
    stop: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """The only audio that crosses into the server."""

    request_id: str
    utterance_index: int
    samples: Samples  # [n] mono in [-1, 1]; may be empty when `is_last`
    sample_rate_hz: int
    is_last: bool  # of its utterance


@dataclass(frozen=True, slots=True)
class EngineSpec:
    num_slots: int
    sample_rate_hz: int  # of the samples that vocode returns
    max_tokens: int  # speech tokens an utterance can have
    first_chunk_tokens: int = 1  # speech tokens without which a span that isn't the last has no samples


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an operator chooses about an engine."""

    device: str  # "cpu", "cuda:0"
    dtype: Literal["float32", "bfloat16"]
    num_slots: int
    use_graphs: bool = True  # capture decode steps as CUDA graphs; no effect on CPU
    kv_bytes: int | None = None  # that keys and values may take; None: what all slots could need
    kv_cache: Literal["auto", "fp8"] = "auto"  # format of cached keys and values; auto: that of the models
    zero_features: bool = False  # where the base model is missing that characters' features come from


class Engine(Protocol):
    """Runs one architecture on one device. One thread drives it, except `condition` (see there)."""

    @property
    def spec(self) -> EngineSpec: ...

    def load(self, weights: HostWeights) -> Future[None] | None:
        """Make a submission resident. Raises DeviceOutOfMemory and leaves everything else as it was.

        A device that copies by itself may still be at it: then what is returned is done when it is. The
        submission may be used or evicted before; whatever the device is to do after its first use then waits.
        """

    def evict(self, submission_id: str) -> None: ...

    def condition(self, submission_id: str, voice: ReferenceVoice) -> Conditioning:
        """Derive a submission's conditioning from a voice.

        May be called from a second thread while the first drives the engine. Raises UnusableVoice.
        """

    def export_conditioning(self, conditioning: Conditioning) -> dict[str, NDArray[np.float32]]:
        """As plain arrays, to be kept on disk."""

    def import_conditioning(self, arrays: Mapping[str, NDArray[np.float32]]) -> Conditioning: ...

    def room(self) -> int:
        """How many utterances could be prefilled now, by the memory that they are expected to take."""

    def prefill(self, admissions: Mapping[int, Admission]) -> None:
        """Start an utterance in each of these free slots. No speech token is made yet."""

    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        """Advance each slot by up to `num_steps` speech tokens.

        A finished slot stays where it is; so does one that has to wait for memory until others have ended.
        """

    def begin_decode(self, slots: Sequence[int], num_steps: int) -> Decoding:
        """The same in two parts, the second of which waits: a device with a queue of its own is busy between.

        Until then these slots may be vocoded up to where they stood, and released. No other may be decoded.
        """

    def vocode(self, spans: Mapping[int, Span]) -> dict[int, Samples]:
        """The samples that these spans add to what was vocoded before, [n] mono in [-1, 1].

        Waits for them, and not for what is being decoded. Spans end where `Progress` was read, or before.
        """

    def release(self, slots: Sequence[int]) -> None:
        """Free slots, finished or not. They can be prefilled again at once."""


class Provider(Protocol):
    """How a family runs: makes host weights and engines from submissions."""

    def architecture(self, files: SubmissionFiles) -> Hashable:
        """The frozen value that submissions must share to share an engine."""

    def read_weights(self, files: SubmissionFiles, settings: EngineSettings) -> HostWeights:
        """Disk to host memory, in the engine's dtype. May run in any thread."""

    def create_engine(self, architecture: Hashable, settings: EngineSettings) -> Engine: ...


class TextFrontEnd(Protocol):
    """Text to prompts for one submission. Imports no torch; runs in a process pool beside HTTP."""

    @staticmethod
    def warm_up() -> None:
        """Load what the first text in a process would otherwise wait for."""

    @property
    def default_sampling(self) -> SamplingParams:
        """The submission's own defaults, with seed 0."""

    def prompts(self, text: str, language: str | None, method: str | None = None) -> list[Prompt]:
        """Normalise, split at the model's limits and tokenise: one prompt per utterance.

        `language` None means: detect. `method` is how to cut, GPT-SoVITS's `cut0` to `cut5`; families with
        a single way ignore it. Raises UnsupportedLanguage, EmptyText, TextTooLong.
        """
