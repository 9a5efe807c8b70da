"""The GPT-SoVITS engine: the shared decoder for semantic tokens, each submission's SoVITS for their sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from providers.decoding.decoder import Decoder, PrefillInput
from providers.decoding.memory import raise_out_of_memory, return_freed_memory
from providers.decoding.step_graph import EagerSteps
from providers.gpt_sovits.conditioning import (
    GptSovitsConditioner,
    GptSovitsConditioning,
    PromptFeatures,
)
from providers.gpt_sovits.noise import FrameNoise
from providers.gpt_sovits.sovits import (
    GENERATOR_PREFIX,
    Sovits,
    Speech,
    SpeechSpan,
    SpeechStart,
    prepare_generator,
)
from providers.gpt_sovits.streaming import STREAMED, BlockSchedule
from providers.gpt_sovits.t2s import TextToSemanticWeights, decoder_spec, prepare_text_to_semantic
from providers.gpt_sovits.weights import GptSovitsHostWeights
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
)
from providers.vocoder.to_host import to_host


@dataclass(frozen=True, slots=True, eq=False)
class _Resident:
    """One submission on the device."""

    text_to_semantic: TextToSemanticWeights
    sovits: Sovits
    conditioner: GptSovitsConditioner
    features: PromptFeatures


@dataclass(frozen=True, slots=True, eq=False)
class _Occupant:
    """What a slot says, and with whose SoVITS."""

    resident: _Resident
    speech: Speech


class GptSovitsEngine:
    """Implements `Engine`: see providers/interface.py."""

    def __init__(
        self,
        architecture: GptSovitsArchitecture,
        settings: EngineSettings,
        schedule: BlockSchedule = STREAMED,
    ) -> None:
        self._architecture = architecture
        self._schedule = schedule
        self._settings = settings
        self._device = torch.device(settings.device)
        self._dtype: torch.dtype = getattr(torch, settings.dtype)
        steps = None if settings.use_graphs else EagerSteps
        decoder = decoder_spec(architecture.text_to_semantic)
        self._decoder = Decoder(decoder, settings.num_slots, self._device, self._dtype, steps=steps)
        self._residents: dict[str, _Resident] = {}
        self._occupants: dict[int, _Occupant] = {}
        self._spec = EngineSpec(
            num_slots=settings.num_slots,
            sample_rate_hz=architecture.sample_rate_hz,
            max_tokens=decoder.max_tokens,
            first_chunk_tokens=schedule.tokens_to_first_block,
        )

    @property
    def spec(self) -> EngineSpec:
        return self._spec

    def load(self, weights: HostWeights) -> None:
        assert isinstance(weights, GptSovitsHostWeights)
        with raise_out_of_memory(f"submission {weights.submission_id}"), torch.inference_mode():
            resident = self._prepare(weights)
        return_freed_memory()
        self._residents[weights.submission_id] = resident

    def evict(self, submission_id: str) -> None:
        resident = self._residents.pop(submission_id)
        self._decoder.forget(resident.text_to_semantic.decoder)
        del resident
        return_freed_memory()

    def condition(self, submission_id: str, voice: ReferenceVoice) -> GptSovitsConditioning:
        return self._residents[submission_id].conditioner(voice)

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

    def decode(self, slots: Sequence[int], num_steps: int) -> dict[int, Progress]:
        return self._decoder.decode(slots, num_steps)

    @torch.inference_mode()
    def vocode(self, spans: Mapping[int, Span]) -> dict[int, Samples]:
        by_resident: dict[_Resident, list[int]] = {}
        for slot in spans:
            by_resident.setdefault(self._occupants[slot].resident, []).append(slot)
        waves: dict[int, Tensor] = {}
        for resident, slots in by_resident.items():
            known = [self._speech_span(slot, spans[slot]) for slot in slots]
            waves.update(zip(slots, resident.sovits.vocode(known), strict=True))
        return to_host(waves)

    def release(self, slots: Sequence[int]) -> None:
        self._decoder.release(slots)
        for slot in slots:
            self._occupants.pop(slot, None)

    def _prepare(self, weights: GptSovitsHostWeights) -> _Resident:
        architecture = self._architecture
        generator = prepare_generator(weights.sovits(), architecture, self._dtype)
        sovits = weights.sovits()
        others = {name: sovits[name] for name in sovits if not name.startswith(GENERATOR_PREFIX)}
        ours = self._on_device(others, torch.float32)
        channels = architecture.text_to_semantic.bert_channels
        encoders = weights.encoders.to(self._device)
        features = PromptFeatures(encoders, channels, self._settings.zero_features)
        return _Resident(
            text_to_semantic=prepare_text_to_semantic(
                weights.gpt(), architecture.text_to_semantic, self._device, self._dtype
            ),
            sovits=Sovits(architecture, ours, self._on_device(generator), self._schedule),
            conditioner=GptSovitsConditioner(
                architecture, ours, encoders, weights.reader.read_reference, features
            ),
            features=features,
        )

    def _prefill_input(self, admission: Admission) -> PrefillInput:
        utterance, conditioning = admission
        assert isinstance(conditioning, GptSovitsConditioning)
        resident = self._residents[utterance.submission_id]
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

    def _speech_span(self, slot: int, span: Span) -> SpeechSpan:
        tokens = self._decoder.tokens(slot, 0, span.stop)
        return SpeechSpan(self._occupants[slot].speech, tokens, span.is_last)

    def _by_resident(self, admissions: Mapping[int, Admission]) -> dict[_Resident, list[int]]:
        slots: dict[_Resident, list[int]] = {}
        for slot, admission in admissions.items():
            slots.setdefault(self._residents[admission.utterance.submission_id], []).append(slot)
        return slots

    def _on_device(
        self, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None
    ) -> dict[str, Tensor]:
        return {name: tensor.to(self._device, dtype, non_blocking=True) for name, tensor in tensors.items()}


def _join_features(parts: Iterable[Tensor | None], lengths: Iterable[int]) -> Tensor | None:
    """Those of the reference and of the text: [phones, channels] or None for zeros."""
    pairs = list(zip(parts, lengths, strict=True))
    known = [part for part, _ in pairs if part is not None]
    if not known:
        return None
    channels = known[0].shape[1]
    return torch.cat([known[0].new_zeros(n, channels) if part is None else part for part, n in pairs])
