"""A voice → what a GPT-SoVITS submission derives from it.

The first recording is the example that speech continues: its transcript's phones and its semantic tokens
stand before every utterance. All recordings make the style, as the mean of each one's. A voice without a
transcript has a style only. All of it in float32, whatever the engine's dtype: it happens once per voice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture
from models_store.errors import MissingBaseModels
from providers.audio.resample import resample
from providers.errors import UnusableVoice
from providers.gpt_sovits.base_encoders import BaseEncoders
from providers.gpt_sovits.encoders import Weights
from providers.gpt_sovits.reference import ReferenceEncoder, Style, at_full_scale, spectrogram
from providers.interface import Prompt, Recording, ReferenceVoice

LISTENING_RATE_HZ = 16_000  # of HuBERT and ERes2NetV2
# As published, at the listening rate; the published code means 0.3 s and counts them at another rate.
APPENDED_SILENCE_S = 0.6
MIN_REFERENCE_S, MAX_REFERENCE_S = 3.0, 10.0  # of the recording that is continued
MIN_STYLE_S = 0.1  # of any: more than the spectrogram's window
MIN_PEAK = 1e-3  # -60 dB: softer is silence

ReadTranscript = Callable[[str, str | None], Prompt]  # (transcript, language); raises UnusableVoice


@dataclass(frozen=True, slots=True, eq=False)
class GptSovitsConditioning:
    phones: tuple[int, ...]  # of the transcript
    features: Tensor | None  # float32 [phones, 1024]; None: zeros, as every language but Chinese has
    tokens: tuple[int, ...]  # semantic tokens of the first recording
    style: Style

    @property
    def size_bytes(self) -> int:
        features = 0 if self.features is None else self.features.nbytes
        return features + self.style.style.nbytes + self.style.prior_style.nbytes

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        arrays = {
            "phones": np.asarray(self.phones, dtype=np.float32),
            "tokens": np.asarray(self.tokens, dtype=np.float32),
            "style": self.style.style.cpu().numpy(),
            "prior_style": self.style.prior_style.cpu().numpy(),
        }
        if self.features is not None:
            arrays["features"] = self.features.cpu().numpy()
        return arrays

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, NDArray[np.float32]], device: torch.device | str = "cpu"
    ) -> GptSovitsConditioning:
        features = arrays.get("features")
        return GptSovitsConditioning(
            phones=tuple(map(int, arrays["phones"])),
            features=None if features is None else torch.tensor(features, device=device),
            tokens=tuple(map(int, arrays["tokens"])),
            style=Style(*(torch.tensor(arrays[name], device=device) for name in ("style", "prior_style"))),
        )


class GptSovitsConditioner:
    """One submission's way from voices to conditionings. Keeps no state: any thread may call it."""

    def __init__(
        self,
        architecture: GptSovitsArchitecture,
        weights: Weights,
        encoders: BaseEncoders,
        read_transcript: ReadTranscript,
        features: PromptFeatures,
    ) -> None:
        """`weights`: float32, by published name, on the device where this is to run."""
        self._architecture = architecture
        self._device = weights["ssl_proj.weight"].device
        self._encoders = encoders
        self._read_transcript = read_transcript
        self._features = features
        self.reference = ReferenceEncoder(architecture, weights)

    @torch.inference_mode()
    def __call__(self, voice: ReferenceVoice) -> GptSovitsConditioning:
        """Raises UnusableVoice, and MissingBaseModels for what this voice needs."""
        if not voice.recordings:
            raise UnusableVoice("found a voice without recordings; expected at least one. Register it again.")
        for recording in voice.recordings:
            _check_usable(recording)
        style = self.reference.mean_style([self._style(recording) for recording in voice.recordings])
        if not voice.transcript:
            return GptSovitsConditioning(phones=(), features=None, tokens=(), style=style)
        tokens = self._tokens(voice.recordings[0])
        prompt = self._read_transcript(voice.transcript, voice.language)
        return GptSovitsConditioning(prompt.ids, self._features(prompt), tokens, style)

    def _tokens(self, recording: Recording) -> tuple[int, ...]:
        duration_s = len(recording.samples) / recording.sample_rate_hz
        if not MIN_REFERENCE_S <= duration_s <= MAX_REFERENCE_S:
            raise UnusableVoice(
                f"found a recording of {duration_s:.2f} s; expected {MIN_REFERENCE_S:g} to "
                f"{MAX_REFERENCE_S:g} s, the lengths that GPT-SoVITS was trained to continue. Cut it, and "
                "its transcript with it, or register the voice without a transcript."
            )
        if self._encoders.hubert is None:
            raise MissingBaseModels(self._subject, ["hubert"])
        heard = soxr.resample(recording.samples, recording.sample_rate_hz, LISTENING_RATE_HZ, quality="HQ")
        silence = round(APPENDED_SILENCE_S * LISTENING_RATE_HZ)
        samples = F.pad(torch.from_numpy(heard).to(self._device), (0, silence))
        return tuple(self.reference.tokens(self._encoders.hubert(samples)).tolist())

    def _style(self, recording: Recording) -> Tensor:
        architecture = self._architecture
        samples = torch.from_numpy(np.ascontiguousarray(recording.samples)).to(self._device)
        samples = at_full_scale(resample(samples, recording.sample_rate_hz, architecture.sample_rate_hz))
        magnitudes = spectrogram(samples, architecture.spectrogram_window, architecture.spectrogram_hop)
        return self.reference.style(magnitudes, self._speaker_vector(samples))

    def _speaker_vector(self, samples: Tensor) -> Tensor | None:
        if self._architecture.speaker_vector_channels is None:
            return None
        if self._encoders.eres2netv2 is None:
            raise MissingBaseModels(self._subject, ["eres2netv2"])
        return self._encoders.eres2netv2(
            resample(samples, self._architecture.sample_rate_hz, LISTENING_RATE_HZ)
        )

    @property
    def _subject(self) -> str:
        return f"gpt_sovits {self._architecture.variant}"


class PromptFeatures:
    """RoBERTa's features of a prompt: of the ids that spell Chinese characters."""

    def __init__(self, encoders: BaseEncoders, channels: int, zero_if_missing: bool) -> None:
        self._encoder = encoders.roberta
        self._channels = channels
        self._zero_if_missing = zero_if_missing

    def __call__(self, prompt: Prompt) -> Tensor | None:
        """float32 [ids, channels], zero where no character is spelt; None: all zero.

        Raises MissingBaseModels where there are characters and no RoBERTa, unless zeros will do.
        """
        if not prompt.spans:
            return None
        if self._encoder is None:
            if self._zero_if_missing:
                return None
            raise MissingBaseModels("Chinese on gpt_sovits", ["roberta"])
        parts, filled = [], 0
        for span in prompt.spans:
            vectors = self._encoder(span.characters)
            counts = torch.tensor(span.ids_per_character, device=vectors.device)
            parts += [
                vectors.new_zeros(span.start - filled, self._channels),
                vectors.repeat_interleave(counts, 0),
            ]
            filled = span.start + sum(span.ids_per_character)
        return torch.cat([*parts, parts[-1].new_zeros(len(prompt.ids) - filled, self._channels)])


def _check_usable(recording: Recording) -> None:
    duration_s = len(recording.samples) / recording.sample_rate_hz
    if duration_s < MIN_STYLE_S:
        raise UnusableVoice(
            f"found a recording of {duration_s:.2f} s; expected {MIN_REFERENCE_S:g} to {MAX_REFERENCE_S:g} s "
            "of speech. Record it again."
        )
    if not np.isfinite(recording.samples).all():
        raise UnusableVoice(
            "found samples that are infinite or not numbers in a recording; expected finite ones in [-1, 1]. "
            "Export it again, as 16-bit PCM if need be."
        )
    if (peak := float(np.abs(recording.samples).max())) < MIN_PEAK:
        raise UnusableVoice(
            f"found silence, peak {peak:.1e}, in a recording; expected speech. Check the microphone."
        )
