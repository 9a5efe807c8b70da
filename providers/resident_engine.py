"""What the engines of all families have in common: submissions that come and go, slots that speak with one
each, a decoder that all of them share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from providers.decoding.blocks import DecoderWeights
from providers.decoding.decoder import Decoder, DecoderSpec
from providers.decoding.kv_cache import KV_DTYPES
from providers.decoding.memory import raise_out_of_memory, return_freed_memory
from providers.interface import (
    Decoding,
    EngineSettings,
    EngineSpec,
    HostWeights,
    Progress,
    ReferenceVoice,
    Samples,
    Span,
)
from providers.upload import Upload, Uploader
from providers.vocoder.own_stream import own_stream
from providers.vocoder.to_host import to_host
from providers.weight_arena import HeldTensors, WeightArena


class Resident(Protocol):
    """One submission on the device. Compared by identity."""

    @property
    def decoder(self) -> DecoderWeights: ...


class Occupant(Protocol):
    """What vocoding a slot needs to know about its utterance."""

    @property
    def resident(self) -> Resident: ...


R = TypeVar("R", bound=Resident)
O = TypeVar("O", bound=Occupant)  # noqa: E741
C = TypeVar("C")  # a conditioning
Conditioner = Callable[[ReferenceVoice], C]


class ResidentEngine(ABC, Generic[R, O, C]):
    """The part of `Engine` that doesn't depend on the family: see providers/interface.py."""

    def __init__(
        self, decoder: DecoderSpec, settings: EngineSettings, sample_rate_hz: int, first_chunk_tokens: int = 1
    ) -> None:
        self._device = torch.device(settings.device)
        self._dtype: torch.dtype = getattr(torch, settings.dtype)
        self._decoder = Decoder(
            replace(decoder, kv_dtype=KV_DTYPES[settings.kv_cache]),
            settings.num_slots,
            self._device,
            self._dtype,
            kv_bytes=_affordable(settings.kv_bytes, self._device),
            use_graphs=settings.use_graphs,
        )
        self._vocoder_stream = own_stream(self._device)
        self._uploader = None if self._device.type == "cpu" else Uploader(self._device)
        self._is_warm = False
        self._residents: dict[str, R] = {}
        self._arriving: dict[str, Upload] = {}  # of residents that nobody has used yet
        self._latest: tuple[R, Conditioner[C]] | None = None
        self._occupants: dict[int, O] = {}
        self._spec = EngineSpec(
            num_slots=self._decoder.num_slots,
            sample_rate_hz=sample_rate_hz,
            max_tokens=decoder.max_tokens,
            first_chunk_tokens=first_chunk_tokens,
        )

    @property
    def spec(self) -> EngineSpec:
        return self._spec

    def room(self) -> int:
        return self._decoder.room()

    def load(self, weights: HostWeights) -> Future[None] | None:
        upload: Upload | None = None
        with raise_out_of_memory(f"submission {weights.submission_id}"), torch.inference_mode():
            if self._uploader and (held := self._held(weights)):
                upload = self._uploader.start(held.chunks)
            resident = self._prepare(weights, upload)
            self._warm_up(resident, upload)
        self._residents[weights.submission_id] = resident
        if upload is None:
            return_freed_memory()
            return None
        self._arriving[weights.submission_id] = upload
        return upload.arrival

    def evict(self, submission_id: str) -> None:
        resident = self._residents.pop(submission_id)
        self._arriving.pop(submission_id, None)
        if self._latest and self._latest[0] is resident:
            self._latest = None
        self._forget(resident)
        self._decoder.forget(resident.decoder)
        del resident
        if self._uploader is None:
            return_freed_memory()

    def condition(self, submission_id: str, voice: ReferenceVoice) -> C:
        resident = self._resident(submission_id)
        if self._latest is None or self._latest[0] is not resident:
            self._latest = None  # so that two are never there at once
            with raise_out_of_memory(f"what submission {submission_id} hears voices with"):
                self._latest = resident, self._conditioner(resident)
        return self._latest[1](voice)

    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        return self._decoder.decode(slots, num_steps)

    def begin_decode(self, slots: Sequence[int], num_steps: int) -> Decoding:
        return self._decoder.begin_decode(slots, num_steps)

    @torch.inference_mode()
    def vocode(self, spans: Mapping[int, Span]) -> dict[int, Samples]:
        groups: dict[Resident, dict[int, Span]] = {}
        for slot, span in spans.items():
            groups.setdefault(self._occupants[slot].resident, {})[slot] = span
        waves: dict[int, Tensor] = {}
        with torch.cuda.stream(self._vocoder_stream):
            for group in groups.values():
                waves.update(zip(group, self._waves(group), strict=True))
            return to_host(waves)

    def release(self, slots: Sequence[int]) -> None:
        self._decoder.release(slots)
        for slot in slots:
            self._occupants.pop(slot, None)

    def _resident(self, submission_id: str) -> R:
        """For use: what the device does from now on finds all of it there."""
        if upload := self._arriving.pop(submission_id, None):
            upload.join()
        return self._residents[submission_id]

    def _warm_up(self, resident: R, upload: Upload | None) -> None:
        """With the first submission: steps that run in order to be captured must find numbers there."""
        if self._is_warm:
            return
        if upload:
            upload.join()
        self._decoder.warm_up(resident.decoder)
        self._is_warm = True

    @abstractmethod
    def _held(self, weights: HostWeights) -> HeldTensors[Any] | None:
        """A submission's tensors as the device will hold them, if host memory has them like that."""

    @abstractmethod
    def _prepare(self, weights: HostWeights, upload: Upload | None) -> R:
        """A submission as the device has it: of what is being uploaded, or else copied there now."""

    @abstractmethod
    def _conditioner(self, resident: R) -> Conditioner[C]:
        """A submission's way from voices to conditionings."""

    @abstractmethod
    def _waves(self, spans: Mapping[int, Span]) -> list[Tensor]:
        """The samples that each span adds, on the device; their slots speak with one submission."""

    def _forget(self, resident: R) -> None:
        """Drop what else was kept of a submission that leaves the device."""

    def _on_device(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """On a CPU as they are; else copied beside what the device is doing, and waited for."""
        if self._uploader is None:
            return tensors
        arena = WeightArena()
        held = arena.hold(arena.copy_all(tensors))
        upload = self._uploader.start(held.chunks)
        upload.arrival.result()
        return held.at(upload.chunks)


def _affordable(kv_bytes: int | None, device: torch.device) -> int | None:
    """Half of what is free goes to keys and values at most: submissions are still to come."""
    if kv_bytes is None or device.type != "cuda":
        return kv_bytes
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return min(kv_bytes, free_bytes // 2)
