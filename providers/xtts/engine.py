"""The XTTS engine: the shared decoder for speech tokens, each submission's own vocoder for their latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.architecture import XttsArchitecture
from providers.decoding.blocks import DecoderWeights
from providers.decoding.decoder import PrefillInput
from providers.interface import (
    Admission,
    Conditioning,
    EngineSettings,
    HostWeights,
    ReferenceVoice,
    Span,
    Utterance,
)
from providers.resident_engine import ResidentEngine
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

    @property
    def decoder(self) -> DecoderWeights:
        return self.gpt.decoder


@dataclass(frozen=True, slots=True, eq=False)
class _Occupant:
    """What vocoding a slot needs to know about its utterance."""

    resident: _Resident
    speaker_embedding: Tensor
    speed: float


class XttsEngine(ResidentEngine[_Resident, _Occupant]):
    """Implements `Engine`: see providers/interface.py."""

    def __init__(self, architecture: XttsArchitecture, settings: EngineSettings) -> None:
        super().__init__(decoder_spec(architecture), settings, architecture.output_sample_rate_hz)
        self._architecture = architecture
        self._prefixes = PrefixCache(self._decoder)

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

    def _prepare(self, weights: HostWeights) -> _Resident:
        assert isinstance(weights, XttsHostWeights)
        architecture, config = self._architecture, weights.config
        vocoder = prepare_vocoder(weights.tensors(), architecture, self._dtype)
        conditioning = conditioning_weights(weights.tensors())
        return _Resident(
            gpt=prepare_gpt(weights.tensors(), config, self._device, self._dtype),
            vocoder=LatentVocoder(architecture, self._on_device(vocoder)),
            conditioner=XttsConditioner(config, self._on_device(conditioning)),
        )

    def _forget(self, resident: _Resident) -> None:
        self._prefixes.forget(resident.gpt)

    def _waves(self, spans: Mapping[int, Span]) -> list[Tensor]:
        vocoder = self._occupants[next(iter(spans))].resident.vocoder
        return vocoder.vocode([self._span_request(slot, span) for slot, span in spans.items()])

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
