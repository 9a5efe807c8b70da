"""The XTTS engine: the shared decoder for speech tokens, each submission's own vocoder for their latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.architecture import XttsArchitecture
from providers.decoding.decoder import Decoder, PrefillInput
from providers.decoding.memory import raise_out_of_memory, return_freed_memory
from providers.decoding.step_graph import EagerSteps
from providers.interface import (
    Admission,
    Conditioning,
    EngineSettings,
    EngineSpec,
    HostWeights,
    Progress,
    ReferenceVoice,
    Samples,
    Span,
    Utterance,
)
from providers.vocoder.to_host import to_host
from providers.xtts.conditioning import XttsConditioner, XttsConditioning, conditioning_weights
from providers.xtts.gpt import GptWeights, decoder_spec, prepare_gpt
from providers.xtts.latent_vocoder import LatentVocoder, SpanRequest, prepare_vocoder
from providers.xtts.prefix_cache import PrefixCache
from providers.xtts.weights import XttsHostWeights


@dataclass(frozen=True, slots=True, eq=False)
class _Resident:
    """One submission on the device."""

    gpt: GptWeights
    vocoder: LatentVocoder
    conditioner: XttsConditioner


@dataclass(frozen=True, slots=True, eq=False)
class _Occupant:
    """What vocoding a slot needs to know about its utterance."""

    resident: _Resident
    speaker_embedding: Tensor
    speed: float


class XttsEngine:
    """Implements `Engine`: see providers/interface.py."""

    def __init__(self, architecture: XttsArchitecture, settings: EngineSettings) -> None:
        self._architecture = architecture
        self._device = torch.device(settings.device)
        self._dtype: torch.dtype = getattr(torch, settings.dtype)
        steps = None if settings.use_graphs else EagerSteps
        decoder = decoder_spec(architecture)
        self._decoder = Decoder(decoder, settings.num_slots, self._device, self._dtype, steps=steps)
        self._prefixes = PrefixCache(self._decoder)
        self._residents: dict[str, _Resident] = {}
        self._occupants: dict[int, _Occupant] = {}
        self._spec = EngineSpec(
            num_slots=settings.num_slots,
            sample_rate_hz=architecture.output_sample_rate_hz,
            max_tokens=decoder.max_tokens,
        )

    @property
    def spec(self) -> EngineSpec:
        return self._spec

    def load(self, weights: HostWeights) -> None:
        assert isinstance(weights, XttsHostWeights)
        with raise_out_of_memory(f"submission {weights.submission_id}"), torch.inference_mode():
            resident = self._prepare(weights)
        return_freed_memory()
        self._residents[weights.submission_id] = resident

    def evict(self, submission_id: str) -> None:
        resident = self._residents.pop(submission_id)
        self._prefixes.forget(resident.gpt)
        self._decoder.forget(resident.gpt.decoder)
        del resident
        return_freed_memory()

    def condition(self, submission_id: str, voice: ReferenceVoice) -> XttsConditioning:
        return self._residents[submission_id].conditioner(voice)

    def export_conditioning(self, conditioning: Conditioning) -> dict[str, NDArray[np.float32]]:
        assert isinstance(conditioning, XttsConditioning)
        return conditioning.to_arrays()

    def import_conditioning(self, arrays: Mapping[str, NDArray[np.float32]]) -> XttsConditioning:
        return XttsConditioning.from_arrays(arrays, self._device)

    @torch.inference_mode()
    def prefill(self, admissions: Mapping[int, Admission]) -> None:
        inputs: dict[int, PrefillInput] = {}
        occupants: dict[int, _Occupant] = {}
        for slot, (utterance, conditioning) in admissions.items():
            assert isinstance(conditioning, XttsConditioning)
            resident = self._residents[utterance.submission_id]
            inputs[slot] = self._prefill_input(utterance, resident.gpt, conditioning)
            occupants[slot] = _Occupant(resident, conditioning.speaker_embedding, utterance.speed)
        self._decoder.prefill(inputs)
        self._occupants.update(occupants)

    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        return self._decoder.decode(slots, num_steps)

    @torch.inference_mode()
    def vocode(self, spans: Mapping[int, Span]) -> dict[int, Samples]:
        by_resident: dict[_Resident, list[int]] = {}
        for slot in spans:
            by_resident.setdefault(self._occupants[slot].resident, []).append(slot)
        waves: dict[int, Tensor] = {}
        for resident, slots in by_resident.items():
            requests = [self._span_request(slot, spans[slot]) for slot in slots]
            waves.update(zip(slots, resident.vocoder.vocode(requests), strict=True))
        return to_host(waves)

    def release(self, slots: Sequence[int]) -> None:
        self._decoder.release(slots)
        for slot in slots:
            self._occupants.pop(slot, None)

    def _prepare(self, weights: XttsHostWeights) -> _Resident:
        architecture, config = self._architecture, weights.config
        vocoder = prepare_vocoder(weights.tensors(), architecture, self._dtype)
        conditioning = conditioning_weights(weights.tensors())
        return _Resident(
            gpt=prepare_gpt(weights.tensors(), config, self._device, self._dtype),
            vocoder=LatentVocoder(architecture, self._on_device(vocoder)),
            conditioner=XttsConditioner(config, self._on_device(conditioning)),
        )

    def _prefill_input(
        self, utterance: Utterance, gpt: GptWeights, conditioning: XttsConditioning
    ) -> PrefillInput:
        prefix = self._prefixes.get(gpt, conditioning)
        return gpt.utterance(prefix, utterance.prompt.ids, utterance.sampling, utterance.index)

    def _span_request(self, slot: int, span: Span) -> SpanRequest:
        occupant = self._occupants[slot]
        first = occupant.resident.vocoder.first_latent(span, occupant.speed)
        return SpanRequest(
            span=span,
            latents=self._decoder.latents(slot, first, span.stop),
            speaker_embedding=occupant.speaker_embedding,
            speed=occupant.speed,
            latents_start=first,
        )

    def _on_device(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self._device, non_blocking=True) for name, tensor in tensors.items()}
