"""The XTTS engine: the shared decoder for speech tokens, each submission's own vocoder for their latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from providers.decoding.blocks import DecoderWeights
from providers.decoding.decoder import PrefillInput
from providers.interface import (
    Admission,
    Conditioning,
    EngineSettings,
    HostWeights,
    Span,
    Utterance,
)
from providers.resident_engine import ResidentEngine
from providers.upload import Upload
from providers.weight_arena import HeldTensors
from providers.xtts.conditioning import XttsConditioner, XttsConditioning, conditioning_weights
from providers.xtts.gpt import GptWeights, decoder_spec
from providers.xtts.latent_vocoder import LatentVocoder, SpanRequest
from providers.xtts.prefix_cache import PrefixCache
from providers.xtts.weights import XttsHostWeights, XttsTensors, prepare


@dataclass(frozen=True, slots=True, eq=False)
class _Resident:
    """One submission on the device."""

    gpt: GptWeights
    vocoder: LatentVocoder
    config: XttsConfig
    tensors: Callable[[], Mapping[str, Tensor]]  # in host memory: a conditioner is made of some

    @property
    def decoder(self) -> DecoderWeights:
        return self.gpt.decoder


@dataclass(frozen=True, slots=True, eq=False)
class _Occupant:
    """What vocoding a slot needs to know about its utterance."""

    resident: _Resident
    speaker_embedding: Tensor
    speed: float


class XttsEngine(ResidentEngine[_Resident, _Occupant, XttsConditioning]):
    """Implements `Engine`: see providers/interface.py."""

    def __init__(self, architecture: XttsArchitecture, settings: EngineSettings) -> None:
        super().__init__(decoder_spec(architecture), settings, architecture.output_sample_rate_hz)
        self._architecture = architecture
        self._prefixes = PrefixCache(self._decoder)

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
            resident = self._resident(utterance.submission_id)
            inputs[slot] = self._prefill_input(utterance, resident.gpt, conditioning)
            occupants[slot] = _Occupant(resident, conditioning.speaker_embedding, utterance.speed)
        self._decoder.prefill(inputs)
        self._occupants.update(occupants)

    def _held(self, weights: HostWeights) -> HeldTensors[XttsTensors] | None:
        assert isinstance(weights, XttsHostWeights)
        return weights.held

    def _prepare(self, weights: HostWeights, upload: Upload | None) -> _Resident:
        assert isinstance(weights, XttsHostWeights)
        if weights.held and upload:
            ours = weights.held.at(upload.chunks)
        else:
            ours = prepare(weights.tensors, weights.config, self._device, self._dtype)
        vocoder = LatentVocoder(self._architecture, ours.vocoder)
        return _Resident(ours.gpt, vocoder, weights.config, weights.tensors)

    def _conditioner(self, resident: _Resident) -> XttsConditioner:
        weights = conditioning_weights(resident.tensors())
        return XttsConditioner(resident.config, self._on_device(weights))

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
