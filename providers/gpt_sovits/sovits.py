"""SoVITS: semantic tokens, phones and a style → samples.

Tokens pass the prior encoder, which gives each latent frame a normal distribution; a speed other than 1
stretches these; noise is added, the flow is run backwards, and the shared HiFi-GAN makes samples of the
latents. All of it but the generator's residual blocks is float32, whatever the engine's dtype.

Where the published implementation does otherwise on purpose or by mistake, this doesn't follow it:

- It joins the sentences of a batch, so that they attend to each other and a wave depends on the batch size.
  Here an utterance is decoded by itself.
- It stretches a sequence of n frames to ⌊n / speed⌋ + 1, so the true speed depends on the length and no frame
  is final before the last one. Here frame f is read off at (f + ½) · speed - ½.
- It draws noise anew for what it decodes again. Here noise belongs to the frame.
- Its streams cross-fade latents and search for the shift at which two waves correlate best, and one mode
  emits up to two tokens of a chunk twice. Here frames are frozen once (see streaming.py), none twice.
- It scales samples to peak 1 where they exceed it, each chunk by its own factor, and turns a peak of exactly
  1 into -32768. Here samples end in tanh, in [-1, 1], and whoever encodes them must clamp.
- It runs the speaker vector's network for every batch. Here a voice's style is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from providers.gpt_sovits.encoders import PriorEncoder, PriorFrames, PriorInput, pad
from providers.gpt_sovits.flow import Flow
from providers.gpt_sovits.frame_timing import FrameTiming
from providers.gpt_sovits.noise import FrameNoise
from providers.gpt_sovits.reference import Style
from providers.gpt_sovits.streaming import STREAMED, BlockSchedule, Reading
from providers.vocoder.hifigan import HifiganGenerator, prepare_hifigan
from providers.vocoder.vocoder import Batching, Vocoder, VocoderInput
from providers.vocoder.windows import frame_span

GENERATOR_PREFIX = "dec."

# Readings side by side. On a CPU padding costs more than a call saves.
MAX_READINGS = {"cpu": 1, "cuda": 16}


def prepare_generator(
    weights: Mapping[str, Tensor], architecture: GptSovitsArchitecture, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The generator's tensors as the shared vocoder takes them; `weights` has the published names, folded."""
    named = {
        name.removeprefix(GENERATOR_PREFIX).replace("cond.", "cond_layer."): weights[name]
        for name in weights
        if name.startswith(GENERATOR_PREFIX)
    }
    return prepare_hifigan(named, architecture.vocoder, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class SpeechStart:
    """What is known of an utterance before its first token."""

    phones: Tensor  # int64 [P] ids: of its own text, not of the reference's
    style: Style
    noise: FrameNoise
    speed: float = 1.0


@dataclass(slots=True, eq=False)
class Speech:
    """One utterance on its way to sound. `Sovits.vocode` moves it on."""

    text: Tensor  # [P, channels]: encoded phones
    style: Style
    noise: FrameNoise
    timing: FrameTiming
    latents: Tensor  # [n, latent channels]: the frames that are final
    num_final: int = 0  # tokens whose frames these are


@dataclass(frozen=True, slots=True, eq=False)
class SpeechSpan:
    """What one utterance has to say by now."""

    speech: Speech
    tokens: Tensor  # int64 [n]: all semantic tokens so far
    is_last: bool  # the utterance has no more


class _Window(NamedTuple):
    """Frames of one reading that the flow has to see, and which of them become final."""

    sampled: Tensor  # [frames, latent channels]: mean and noise
    keep: slice


class Sovits:
    """One submission's way from tokens to samples. Keeps nothing between calls: a `Speech` does."""

    def __init__(
        self,
        architecture: GptSovitsArchitecture,
        weights: Mapping[str, Tensor],
        generator: Mapping[str, Tensor],
        schedule: BlockSchedule = STREAMED,
        batching: Batching | None = None,
        max_readings: int | None = None,
    ) -> None:
        """`weights`: float32, by published name; `generator`: what `prepare_generator` made. Both on the
        device where this is to run. The last two replace its own choice.
        """
        self.architecture = architecture
        self.schedule = schedule
        self.prior = PriorEncoder(architecture, weights)
        self.flow = Flow(architecture.flow, weights)
        self.generator = HifiganGenerator(architecture.vocoder, generator)
        self._vocoder = Vocoder(self.generator, batching)
        self._max_readings = max_readings or MAX_READINGS[self.generator.device.type]

    @torch.inference_mode()
    def begin(self, starts: Sequence[SpeechStart]) -> list[Speech]:
        """Utterances none of whose tokens is known yet."""
        texts = self.prior.encode_texts([start.phones for start in starts])
        return [
            Speech(
                text=text,
                style=start.style,
                noise=start.noise,
                timing=FrameTiming.at_speed(start.speed, self.architecture.frames_per_token),
                latents=text.new_empty(0, self.architecture.flow.channels),
            )
            for start, text in zip(starts, texts, strict=True)
        ]

    @torch.inference_mode()
    def vocode(self, spans: Sequence[SpeechSpan]) -> list[Tensor]:
        """The samples that each span adds to those before it: float32 [n] in [-1, 1], on the device.

        n can be 0 where the span isn't the last. No two spans may be of the same speech.
        """
        known_before = [len(span.speech.latents) for span in spans]
        self._extend(spans)
        field = self.generator.receptive_field
        inputs = []
        for span, before in zip(spans, known_before, strict=True):
            latents = span.speech.latents
            frames = frame_span(before, len(latents), span.is_last, field)
            context = latents[slice(*frames.context(field))]
            inputs.append(VocoderInput(frames, context, span.speech.style.style))
        return self._vocoder.vocode(inputs)

    def _extend(self, spans: Sequence[SpeechSpan]) -> None:
        """Bring every speech's latents up to what its tokens make final."""
        readings = [
            (span, reading)
            for span in spans
            for reading in self.schedule.readings(span.speech.num_final, len(span.tokens), span.is_last)
        ]
        readings.sort(key=lambda pair: pair[1].tokens_read)  # which keeps each speech's own in order
        extended: dict[Speech, list[Tensor]] = {span.speech: [span.speech.latents] for span, _ in readings}
        for first in range(0, len(readings), self._max_readings):
            group = readings[first : first + self._max_readings]
            for (span, _), latents in zip(group, self._read(group), strict=True):
                extended[span.speech].append(latents)
        for span, reading in readings:
            span.speech.latents = torch.cat(extended[span.speech])
            span.speech.num_final = reading.stop

    def _read(self, readings: Sequence[tuple[SpeechSpan, Reading]]) -> list[Tensor]:
        """The latents that each reading makes final: [frames, latent channels]"""
        priors = self.prior(
            [
                PriorInput(
                    span.tokens[: reading.tokens_read], span.speech.text, span.speech.style.prior_style
                )
                for span, reading in readings
            ]
        )
        windows = [
            self._window(span.speech, reading, prior)
            for (span, reading), prior in zip(readings, priors, strict=True)
        ]
        rows, is_real = pad([window.sampled for window in windows])
        styles = torch.stack([span.speech.style.style for span, _ in readings])
        latents = self.flow.reverse(rows, styles, is_real)
        return [row[window.keep] for row, window in zip(latents, windows, strict=True)]

    def _window(self, speech: Speech, reading: Reading, prior: PriorFrames) -> _Window:
        timing, reach = speech.timing, self.flow.reach
        start = timing.num_frames(reading.start, is_last=False)
        stop = timing.num_frames(reading.stop, reading.is_last)
        known = timing.num_frames(reading.tokens_read, reading.is_last)
        first, end = max(start - reach, 0), min(stop + reach, known)
        mean, log_deviation = timing.of_prior(prior, first, end)
        noise = speech.noise.frames(first, end, mean.shape[1])
        return _Window(mean + noise * log_deviation.exp(), slice(start - first, stop - first))
