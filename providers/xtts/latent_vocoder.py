"""Spans of speech tokens → samples: what XTTS puts before the shared vocoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models_store.checkpoints.architecture import XttsArchitecture
from providers.interface import Span
from providers.vocoder.hifigan import HifiganGenerator, prepare_hifigan
from providers.vocoder.vocoder import Batching, Vocoder, VocoderInput
from providers.vocoder.windows import FrameSpan, frame_span
from providers.xtts.latent_frames import LatentFrames

GENERATOR_PREFIX = "hifigan_decoder.waveform_decoder."


def prepare_vocoder(
    weights: Mapping[str, Tensor], architecture: XttsArchitecture, dtype: torch.dtype
) -> dict[str, Tensor]:
    """A submission's vocoder tensors as `LatentVocoder` takes them; `weights` has XTTS's published names."""
    generator = {
        name.removeprefix(GENERATOR_PREFIX): weights[name]
        for name in weights
        if name.startswith(GENERATOR_PREFIX)
    }
    return prepare_hifigan(generator, architecture.vocoder, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class SpanRequest:
    """A span of one utterance, with the latents that it and its context are made of."""

    span: Span
    latents: Tensor  # [n, channels]: of tokens latents_start, …, span.stop - 1
    speaker_embedding: Tensor  # [speaker_channels]
    speed: float = 1.0
    latents_start: int = 0


class LatentVocoder:
    """One submission's vocoder. Keeps nothing between calls: spans say where they start."""

    def __init__(
        self,
        architecture: XttsArchitecture,
        tensors: Mapping[str, Tensor],
        batching: Batching | None = None,
    ) -> None:
        """`tensors`: what `prepare_vocoder` made, on the device where the vocoder is to run."""
        self.architecture = architecture
        self.generator = HifiganGenerator(architecture.vocoder, tensors)
        self._vocoder = Vocoder(self.generator, batching)

    def num_samples(self, num_tokens: int, is_last: bool, speed: float = 1.0) -> int:
        """Samples that `num_tokens` tokens give: those that are final, or all if no token follows."""
        frames = LatentFrames.at_speed(speed, self.architecture)
        return self._frame_span(frames, Span(0, num_tokens, is_last)).stop * self.generator.samples_per_frame

    def first_latent(self, span: Span, speed: float = 1.0) -> int:
        """The first token whose latent a span needs: it may lie before the span."""
        frames = LatentFrames.at_speed(speed, self.architecture)
        start, stop = self._frame_span(frames, span).context(self.generator.receptive_field)
        return frames.weights(start, min(start + 1, stop), num_latents=span.stop).first

    @torch.inference_mode()
    def vocode(self, requests: Sequence[SpanRequest]) -> list[Tensor]:
        """The samples that each span adds to the spans before it: float32 [n] in [-1, 1], on the device.

        Spans of an utterance follow each other without gaps; n can be 0 for short ones that aren't the last.
        """
        return self._vocoder.vocode([self._vocoder_input(request) for request in requests])

    def _vocoder_input(self, request: SpanRequest) -> VocoderInput:
        frames = LatentFrames.at_speed(request.speed, self.architecture)
        span = self._frame_span(frames, request.span)
        context = span.context(self.generator.receptive_field)
        first, matrix = frames.weights(*context, num_latents=request.span.stop)
        first -= request.latents_start
        latents = request.latents[first : first + matrix.shape[1]].float()
        weights = torch.from_numpy(matrix).to(latents.device, non_blocking=True)
        return VocoderInput(span, weights @ latents, request.speaker_embedding)

    def _frame_span(self, frames: LatentFrames, span: Span) -> FrameSpan:
        return frame_span(
            num_known_before=frames.num_known(span.start, is_last=False),
            num_known=frames.num_known(span.stop, span.is_last),
            is_last=span.is_last,
            field=self.generator.receptive_field,
        )
