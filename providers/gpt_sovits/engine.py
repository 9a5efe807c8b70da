"""The GPT-SoVITS engine: the shared decoder for semantic tokens, each submission's SoVITS for their sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from providers.decoding.blocks import DecoderWeights
from providers.decoding.decoder import PrefillInput
from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.conditioning import (
    GptSovitsConditioner,
    GptSovitsConditioning,
    PromptFeatures,
    ReadTranscript,
)
from providers.gpt_sovits.noise import FrameNoise
from providers.gpt_sovits.reference import reference_weights
from providers.gpt_sovits.sovits import Sovits, Speech, SpeechSpan, SpeechStart
from providers.gpt_sovits.streaming import STREAMED, BlockSchedule
from providers.gpt_sovits.t2s import TextToSemanticWeights, decoder_spec
from providers.gpt_sovits.weights import GptSovitsHostWeights, GptSovitsTensors, Tensors, prepare
from providers.interface import (
    Admission,
    Conditioning,
    EngineSettings,
    HostWeights,
    Span,
)
from providers.resident_engine import ResidentEngine
from providers.upload import Upload
from providers.weight_arena import HeldTensors


@dataclass(frozen=True, slots=True, eq=False)
class _Resident:
    """One submission on the device."""

    text_to_semantic: TextToSemanticWeights
    sovits: Sovits
    features: PromptFeatures
    encoders: BaseEncoders
    tensors: Tensors  # of its SoVITS, in host memory: a conditioner is made of some
    read_transcript: ReadTranscript

    @property
    def decoder(self) -> DecoderWeights:
        return self.text_to_semantic.decoder


@dataclass(frozen=True, slots=True, eq=False)
class _Occupant:
    """What a slot says, and with whose SoVITS."""

    resident: _Resident
    speech: Speech


class GptSovitsEngine(ResidentEngine[_Resident, _Occupant, GptSovitsConditioning]):
    """Implements `Engine`: see providers/interface.py."""

    def __init__(
        self,
        architecture: GptSovitsArchitecture,
        settings: EngineSettings,
        schedule: BlockSchedule = STREAMED,
    ) -> None:
        super().__init__(
            decoder_spec(architecture.text_to_semantic),
            settings,
            architecture.sample_rate_hz,
            first_chunk_tokens=schedule.tokens_to_first_block,
        )
        self._architecture = architecture
        self._schedule = schedule
        self._settings = settings

    def export_conditioning(self, conditioning: Conditioning) -> dict[str, NDArray[np.float32]]:
        assert isinstance(conditioning, GptSovitsConditioning)
        return conditioning.to_arrays()

    def import_conditioning(self, arrays: Mapping[str, NDArray[np.float32]]) -> GptSovitsConditioning:
        return GptSovitsConditioning.from_arrays(arrays, self._device)

    @torch.inference_mode()
    def prefill(self, admissions: Mapping[int, Admission]) -> None:
        inputs = {slot: self._prefill_input(admission) for slot, admission in admissions.items()}
        occupants: dict[int, _Occupant] = {}
        for resident, slots in self._by_resident(admissions).items():
            starts = [self._speech_start(admissions[slot]) for slot in slots]
            for slot, speech in zip(slots, resident.sovits.begin(starts), strict=True):
                occupants[slot] = _Occupant(resident, speech)
        self._decoder.prefill(inputs)
        self._occupants.update(occupants)

    def _held(self, weights: HostWeights) -> HeldTensors[GptSovitsTensors] | None:
        assert isinstance(weights, GptSovitsHostWeights)
        return weights.held

    def _prepare(self, weights: HostWeights, upload: Upload | None) -> _Resident:
        assert isinstance(weights, GptSovitsHostWeights)
        architecture = self._architecture
        if weights.held and upload:
            ours = weights.held.at(upload.chunks)
        else:
            ours = prepare(weights.gpt, weights.sovits, architecture, self._device, self._dtype)
        encoders = weights.encoders.to(self._device)
        channels = architecture.text_to_semantic.bert_channels
        return _Resident(
            text_to_semantic=ours.text_to_semantic,
            sovits=Sovits(architecture, ours.sovits, ours.generator, self._schedule),
            features=PromptFeatures(encoders, channels, self._settings.zero_features),
            encoders=encoders,
            tensors=weights.sovits,
            read_transcript=weights.reader.read_reference,
        )

    def _conditioner(self, resident: _Resident) -> GptSovitsConditioner:
        return GptSovitsConditioner(
            self._architecture,
            self._on_device(reference_weights(resident.tensors())),
            resident.encoders,
            resident.read_transcript,
            resident.features,
        )

    def _prefill_input(self, admission: Admission) -> PrefillInput:
        utterance, conditioning = admission
        assert isinstance(conditioning, GptSovitsConditioning)
        resident = self._resident(utterance.submission_id)
        prompt = utterance.prompt
        lengths = (len(conditioning.phones), len(prompt.ids))
        return resident.text_to_semantic.utterance(
            (*conditioning.phones, *prompt.ids),
            _join_features((conditioning.features, resident.features(prompt)), lengths),
            conditioning.tokens,
            utterance.sampling,
            utterance.index,
        )

    def _speech_start(self, admission: Admission) -> SpeechStart:
        utterance, conditioning = admission
        assert isinstance(conditioning, GptSovitsConditioning)
        sampling = utterance.sampling
        return SpeechStart(
            phones=torch.tensor(utterance.prompt.ids, device=self._device),
            style=conditioning.style,
            noise=FrameNoise.of(sampling.seed, utterance.index, sampling.noise_scale, self._device),
            speed=utterance.speed,
        )

    def _waves(self, spans: Mapping[int, Span]) -> list[Tensor]:
        sovits = self._occupants[next(iter(spans))].resident.sovits
        return sovits.vocode([self._speech_span(slot, span) for slot, span in spans.items()])

    def _speech_span(self, slot: int, span: Span) -> SpeechSpan:
        tokens = self._decoder.tokens(slot, 0, span.stop)
        return SpeechSpan(self._occupants[slot].speech, tokens, span.is_last)

    def _by_resident(self, admissions: Mapping[int, Admission]) -> dict[_Resident, list[int]]:
        slots: dict[_Resident, list[int]] = {}
        for slot, admission in admissions.items():
            slots.setdefault(self._resident(admission.utterance.submission_id), []).append(slot)
        return slots


def _join_features(parts: Iterable[Tensor | None], lengths: Iterable[int]) -> Tensor | None:
    """Those of the reference and of the text: [phones, channels] or None for zeros."""
    pairs = list(zip(parts, lengths, strict=True))
    known = [part for part, _ in pairs if part is not None]
    if not known:
        return None
    channels = known[0].shape[1]
    return torch.cat([known[0].new_zeros(n, channels) if part is None else part for part, n in pairs])
