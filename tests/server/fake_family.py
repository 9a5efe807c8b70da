"""A model family that is real but tiny: speech token k of an utterance sounds like k.

Every token makes `SAMPLES_PER_TOKEN` samples. The first half of them is the utterance's `timbre`, a number
that only this (submission, voice, text, seed, position) gives; the second half is k / 1024. So a test can
tell from audio alone whose it is, whether it's complete and in order. As in a vocoder, the samples of the
last `HELD_BACK_TOKENS` tokens of a span are held back until the next span.

An utterance has as many tokens as its prompt has ids. Texts that begin with a `!` misbehave: see `Fault`.

The engine checks how it is driven: one thread, free slots, contiguous spans, and of what it decodes ahead
nothing vocoded before the host was told. A breach is an AssertionError.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models_store.recordings import wav_bytes
from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore
from models_store.submission import Submission, SubmissionFiles
from providers.errors import DeviceOutOfMemory, EmptyText, UnsupportedLanguage, UnusableVoice
from providers.interface import (
    Admission,
    EngineSettings,
    EngineSpec,
    Progress,
    Prompt,
    ReferenceVoice,
    Samples,
    SamplingParams,
    Span,
    Utterance,
)

SAMPLE_RATE_HZ = 24_000
SAMPLES_PER_TOKEN = 240  # 10 ms: a token rate of 100 Hz
HELD_BACK_TOKENS = 2
MAX_TOKENS = 1000
LANGUAGES = ("en", "de")
DEFAULT_SAMPLING = SamplingParams(
    temperature=0.75, top_k=50, top_p=0.85, repetition_penalty=5.0, max_tokens=MAX_TOKENS, seed=0
)


class Fault:
    """Beginnings of texts that make the engine fail in a phase."""

    PREFILL = "!prefill"  # raises in prefill: only this request is broken
    DECODE = "!decode"  # raises in decode, after 3 tokens
    VOCODE = "!vocode"
    FATAL = "!fatal"  # raises in decode what a lost CUDA context raises
    UNUSABLE_VOICE = "no-voice"  # as the transcript of a voice: condition raises


def timbre(utterance: Utterance) -> np.float32:
    """What an utterance sounds like, in (0, 1): the same wherever and with whomever it runs."""
    identity = (
        utterance.submission_id,
        utterance.voice_id,
        utterance.prompt.ids,
        utterance.sampling.seed,
        utterance.index,
    )
    digest = hashlib.sha256(repr(identity).encode()).digest()
    return np.float32((int.from_bytes(digest[:3], "big") + 1) / (2**24 + 2))


def expected_samples(utterance: Utterance, max_tokens: int = MAX_TOKENS) -> Samples:
    """The whole of an utterance's audio."""
    count = min(len(utterance.prompt.ids), utterance.sampling.max_tokens, max_tokens)
    return _samples_of_tokens(timbre(utterance), 0, count)


def _samples_of_tokens(voice_timbre: np.float32, start: int, stop: int) -> Samples:
    tokens = np.empty((stop - start, SAMPLES_PER_TOKEN), np.float32)
    half = SAMPLES_PER_TOKEN // 2
    tokens[:, :half] = voice_timbre
    tokens[:, half:] = (np.arange(start, stop, dtype=np.float32) / 1024)[:, None]
    return tokens.reshape(-1)


def publish(
    store: ModelsStore,
    name: str,
    variant: str = "tiny",
    num_bytes: int = 1000,
    voice_level: float = 0.25,
    transcript: str | None = None,
) -> Submission:
    """Put a submission of the fake family into a store. Its `name` makes it differ from others."""
    with store.scratch() as scratch:
        weights, recording = scratch / "weights", scratch / "recording.wav"
        weights.write_bytes(name.encode().ljust(num_bytes, b"."))
        recording.write_bytes(wav_bytes(np.full(SAMPLE_RATE_HZ, voice_level, np.float32), SAMPLE_RATE_HZ))
        converted = Converted("fake", variant, LANGUAGES, {"weights": weights}, recording, 1.0, transcript)
        return store.publish(Checked(Report("fake"), converted), name).submission


@dataclass(frozen=True)
class FakeWeights:
    submission_id: str
    size_bytes: int
    shared: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeConditioning:
    submission_id: str
    voice_timbre: float  # mean of the recording: what the voice sounds like
    size_bytes: int = 1000


@dataclass
class Slot:
    admission: Admission
    num_tokens: int = 0
    told: int = 0  # tokens that the host knows of
    finished: str | None = None
    vocoded: int = 0
    flushed: bool = False


@dataclass
class FakeDecoding:
    """A call of decode. Errors come up when it's waited for, as those of a device do."""

    engine: FakeEngine
    slots: dict[int, Slot]
    num_steps: int
    has_run: bool = False
    error: Exception | None = None

    def run(self) -> None:
        self.has_run = True
        try:
            for slot in self._present().values():
                self.engine.advance(slot, self.num_steps)
        except RuntimeError as error:
            self.error = error

    def progress(self) -> dict[int, Progress]:
        assert self.engine.decoding is self, "waited twice"
        self.engine.decoding = None
        self.engine.calls.append(("progress", tuple(self._present())))
        if self.engine.seconds_per_step:
            time.sleep(self.engine.seconds_per_step * self.num_steps)
        if not self.has_run:
            self.run()
        if self.error is not None:
            raise self.error
        for slot in self._present().values():
            slot.told = slot.num_tokens
        return {number: Progress(slot.told, slot.finished) for number, slot in self._present().items()}

    def _present(self) -> dict[int, Slot]:
        return {number: slot for number, slot in self.slots.items() if self.engine.slots.get(number) is slot}


@dataclass
class FakeEngine:
    """Latency-free unless told otherwise. `steps` and `calls` record what it was asked to do."""

    num_slots: int = 4
    max_tokens: int = MAX_TOKENS
    seconds_per_step: float = 0.0
    seconds_per_conditioning: float = 0.0
    memory_bytes: float = float("inf")
    first_chunk_tokens: int = 1
    runs_ahead: bool = True  # decodes by itself, as a CUDA device does; or when it's waited for, as a CPU
    room_for: int | None = None  # utterances, by their memory; None: as many as there are slots
    resident: dict[str, FakeWeights] = field(default_factory=dict)
    slots: dict[int, Slot] = field(default_factory=dict)
    calls: list[tuple[str, object]] = field(default_factory=list)
    conditioned: list[str] = field(default_factory=list)
    thread: int | None = None
    decoding: FakeDecoding | None = None  # not waited for yet

    @property
    def spec(self) -> EngineSpec:
        return EngineSpec(
            num_slots=self.num_slots,
            sample_rate_hz=SAMPLE_RATE_HZ,
            max_tokens=self.max_tokens,
            first_chunk_tokens=self.first_chunk_tokens,
        )

    def load(self, weights: FakeWeights) -> None:
        self._check_thread()
        in_use = sum(other.size_bytes for other in self.resident.values())
        if in_use + weights.size_bytes > self.memory_bytes:
            raise DeviceOutOfMemory("the fake device is full")
        self.calls.append(("load", weights.submission_id))
        self.resident[weights.submission_id] = weights

    def evict(self, submission_id: str) -> None:
        self._check_thread()
        in_use = [*self.slots.values(), *(self.decoding.slots.values() if self.decoding else ())]
        users = {slot.admission.utterance.submission_id for slot in in_use}
        assert submission_id not in users, "evicted while an utterance runs on it"
        self.calls.append(("evict", submission_id))
        del self.resident[submission_id]

    def condition(self, submission_id: str, voice: ReferenceVoice) -> FakeConditioning:
        assert submission_id in self.resident
        self.conditioned.append(submission_id)
        time.sleep(self.seconds_per_conditioning)
        if voice.transcript == Fault.UNUSABLE_VOICE:
            raise UnusableVoice("found a recording that the fake family can't use; expected another one.")
        mean = float(np.mean([recording.samples.mean() for recording in voice.recordings]))
        return FakeConditioning(submission_id, mean)

    def export_conditioning(self, conditioning: FakeConditioning) -> dict[str, NDArray[np.float32]]:
        identity = np.frombuffer(conditioning.submission_id.encode(), np.uint8).astype(np.float32)
        return {"voice_timbre": np.float32([conditioning.voice_timbre]), "submission": identity}

    def import_conditioning(self, arrays: Mapping[str, NDArray[np.float32]]) -> FakeConditioning:
        submission_id = arrays["submission"].astype(np.uint8).tobytes().decode()
        return FakeConditioning(submission_id, float(arrays["voice_timbre"][0]))

    def room(self) -> int:
        return (self.num_slots if self.room_for is None else self.room_for) - len(self.slots)

    def prefill(self, admissions: Mapping[int, Admission]) -> None:
        self._check_thread()
        assert self.decoding is None, "prefilled while slots are decoded"
        self.calls.append(("prefill", tuple(admissions)))
        for slot, admission in admissions.items():
            assert 0 <= slot < self.num_slots
            assert slot not in self.slots, f"slot {slot} is taken"
            utterance = admission.utterance
            assert utterance.submission_id in self.resident, "prefilled a submission that is not resident"
            assert admission.conditioning.submission_id == utterance.submission_id, "someone else's voice"
            if utterance.prompt.text.startswith(Fault.PREFILL):
                raise RuntimeError("the fake prefill broke")
            self.slots[slot] = Slot(admission)

    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        return self.begin_decode(slots, num_steps).progress()

    def begin_decode(self, slots: Sequence[int], num_steps: int) -> FakeDecoding:
        self._check_thread()
        assert num_steps >= 1
        assert len(set(slots)) == len(slots)
        assert self.decoding is None, "began to decode before the last call was waited for"
        self.calls.append(("decode", (tuple(slots), num_steps)))
        self.decoding = FakeDecoding(self, {slot: self.slots[slot] for slot in slots}, num_steps)
        if self.runs_ahead:
            self.decoding.run()
        return self.decoding

    def advance(self, slot: Slot, num_steps: int) -> None:
        utterance = slot.admission.utterance
        assert slot.finished is None, "decoded after its end"
        length = len(utterance.prompt.ids)
        limit = min(utterance.sampling.max_tokens, self.max_tokens)
        slot.num_tokens = min(slot.num_tokens + num_steps, length, limit)
        if slot.num_tokens == length:
            slot.finished = "stop"
        elif slot.num_tokens == limit:
            slot.finished = "length"
        if slot.num_tokens > 3 and utterance.prompt.text.startswith(Fault.DECODE):
            raise RuntimeError("the fake decode broke")
        if slot.num_tokens > 3 and utterance.prompt.text.startswith(Fault.FATAL):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def vocode(self, spans: Mapping[int, Span]) -> dict[int, Samples]:
        self._check_thread()
        self.calls.append(("vocode", dict(spans)))
        return {slot: self._vocode(self.slots[slot], span) for slot, span in spans.items()}

    def _vocode(self, slot: Slot, span: Span) -> Samples:
        utterance = slot.admission.utterance
        if utterance.prompt.text.startswith(Fault.VOCODE):
            raise RuntimeError("the fake vocoder broke")
        assert not slot.flushed, "vocoded after its last span"
        assert span.start == slot.vocoded, f"expected a span from {slot.vocoded}, found {span}"
        assert span.start <= span.stop <= slot.told, "vocoded what nobody knows to be there"
        assert span.is_last == (slot.finished is not None and span.stop == slot.num_tokens)
        slot.vocoded, slot.flushed = span.stop, span.is_last
        start = max(0, span.start - HELD_BACK_TOKENS)
        stop = span.stop if span.is_last else max(0, span.stop - HELD_BACK_TOKENS)
        return _samples_of_tokens(timbre(utterance), start, max(start, stop))

    def release(self, slots: Sequence[int]) -> None:
        self._check_thread()
        self.calls.append(("release", tuple(slots)))
        for slot in slots:
            assert 0 <= slot < self.num_slots
            self.slots.pop(slot, None)

    def _check_thread(self) -> None:
        if self.thread is None:
            self.thread = threading.get_ident()
        assert self.thread == threading.get_ident(), "an engine is driven by one thread"


@dataclass
class FakeProvider:
    """Makes fake engines. A submission's `variant` is its architecture, its blobs' size is its weights'."""

    num_slots: int | None = None  # None: as the engine settings say
    seconds_per_step: float = 0.0
    seconds_per_read: float = 0.0
    seconds_per_conditioning: float = 0.0
    memory_bytes: float = float("inf")
    engines: list[FakeEngine] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)

    def architecture(self, files: SubmissionFiles) -> Hashable:
        return files.submission.variant

    def read_weights(self, files: SubmissionFiles, settings: EngineSettings) -> FakeWeights:
        for path in files.paths.values():
            assert Path(path).is_file(), f"{path} is gone while its submission is read"
        self.reads.append(files.submission.id)
        time.sleep(self.seconds_per_read)
        return FakeWeights(
            files.submission.id, sum(blob.size_bytes for blob in files.submission.blobs.values())
        )

    def create_engine(self, architecture: Hashable, settings: EngineSettings) -> FakeEngine:
        engine = FakeEngine(
            num_slots=self.num_slots or settings.num_slots,
            seconds_per_step=self.seconds_per_step,
            memory_bytes=self.memory_bytes,
            seconds_per_conditioning=self.seconds_per_conditioning,
        )
        self.engines.append(engine)
        return engine


class FakeTextFrontEnd:
    """One utterance per sentence (`cut0`: per text), one id per character. Imports no torch."""

    def __init__(self, files: SubmissionFiles) -> None:
        self._languages = files.submission.languages

    @staticmethod
    def warm_up() -> None:
        """There is nothing to load."""

    @property
    def default_sampling(self) -> SamplingParams:
        return DEFAULT_SAMPLING

    def prompts(self, text: str, language: str | None, method: str | None = None) -> list[Prompt]:
        language = language or self._languages[0]
        if language not in self._languages:
            raise UnsupportedLanguage(language, self._languages)
        pieces = [text] if method == "cut0" else text.split(".")
        sentences = [piece.strip() for piece in pieces if piece.strip()]
        if not sentences:
            raise EmptyText(f"found {text!r}; expected something to say.")
        return [prompt(sentence, language) for sentence in sentences]


def prompt(text: str, language: str = "en") -> Prompt:
    return Prompt(ids=tuple(map(ord, text)), text=text, language=language)
