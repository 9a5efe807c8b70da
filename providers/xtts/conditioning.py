"""A voice → what XTTS derives from it: latents for the GPT's prefix and an embedding for the vocoder.

The latents come from the first seconds of all recordings joined, in chunks: log-mel → attention blocks →
perceiver, averaged over chunks. The embedding is the mean over recordings of the speaker encoder's. All of it
in float32, whatever the engine's dtype: it happens once per voice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from providers.audio.mel import MelSpectrogram
from providers.audio.resample import resample
from providers.errors import UnusableVoice
from providers.interface import Recording, ReferenceVoice
from providers.xtts.speaker_encoder import SpeakerEncoder

MIN_CHUNK_S = 0.33  # as published: shorter chunks say too little and are left out
MIN_PEAK = 1e-3  # -60 dB: softer is silence
NORMALISED_PEAK = 0.75  # of recordings if the config says sound_norm_refs
SPEAKER_ENCODER_PREFIX = "hifigan_decoder.speaker_encoder."
PREFIXES = ("mel_stats", "gpt.conditioning_encoder.", "gpt.conditioning_perceiver.", SPEAKER_ENCODER_PREFIX)


@dataclass(frozen=True, slots=True, eq=False)
class XttsConditioning:
    gpt_cond_latent: Tensor  # float32 [perceiver_latents, channels]
    speaker_embedding: Tensor  # float32 [embedding_channels]

    @property
    def size_bytes(self) -> int:
        return self.gpt_cond_latent.nbytes + self.speaker_embedding.nbytes

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        return {
            "gpt_cond_latent": self.gpt_cond_latent.cpu().numpy(),
            "speaker_embedding": self.speaker_embedding.cpu().numpy(),
        }

    @staticmethod
    def from_arrays(
        arrays: Mapping[str, NDArray[np.float32]], device: torch.device | str = "cpu"
    ) -> XttsConditioning:
        return XttsConditioning(
            gpt_cond_latent=torch.tensor(arrays["gpt_cond_latent"], device=device),
            speaker_embedding=torch.tensor(arrays["speaker_embedding"], device=device),
        )


def conditioning_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a submission's tensors that `XttsConditioner` needs, in float32. No copy if it is that."""
    return {name: weights[name].float() for name in weights if name.startswith(PREFIXES)}


class XttsConditioner:
    """One submission's way from voices to conditionings. Keeps no state: any thread may call it."""

    def __init__(self, config: XttsConfig, weights: Mapping[str, Tensor]) -> None:
        """`weights`: what `conditioning_weights` gives, on the device where this is to run."""
        self._config = config
        self._device = weights["mel_stats"].device
        self.style_encoder = StyleEncoder(config.architecture, weights)
        self.speaker_encoder = SpeakerEncoder(
            config.architecture.speaker_encoder,
            {
                name.removeprefix(SPEAKER_ENCODER_PREFIX): tensor
                for name, tensor in weights.items()
                if name.startswith(SPEAKER_ENCODER_PREFIX)
            },
        )

    @torch.inference_mode()
    def __call__(self, voice: ReferenceVoice) -> XttsConditioning:
        """Raises UnusableVoice if there is no recording or one is too short, silent or not finite."""
        if not voice.recordings:
            raise UnusableVoice("found a voice without recordings; expected at least one. Register it again.")
        recordings = [self._reference(recording) for recording in voice.recordings]
        rate = self._config.architecture.input_sample_rate_hz
        embeddings = [self.speaker_encoder(samples, rate) for samples in recordings]
        latents = [self.style_encoder(chunk) for chunk in self._chunks(torch.cat(recordings))]
        return XttsConditioning(
            gpt_cond_latent=torch.stack(latents).mean(dim=0),
            speaker_embedding=torch.stack(embeddings).mean(dim=0),
        )

    def _reference(self, recording: Recording) -> Tensor:
        """The part of a recording that is used, at the model's sample rate."""
        rate, used_s = self._config.architecture.input_sample_rate_hz, self._config.max_ref_len_s
        _check_usable(recording, used_s)
        # A second more is resampled, so that the cut leaves no trace.
        enough = recording.samples[: round((used_s + 1) * recording.sample_rate_hz)]
        samples = torch.from_numpy(np.ascontiguousarray(enough, dtype=np.float32)).to(self._device)
        samples = resample(samples, recording.sample_rate_hz, rate).clamp(-1, 1)[: round(used_s * rate)]
        if self._config.sound_norm_refs:
            samples = samples / samples.abs().max() * NORMALISED_PEAK
        return samples

    def _chunks(self, samples: Tensor) -> list[Tensor]:
        rate = self._config.architecture.input_sample_rate_hz
        if self._config.gpt_cond_len_s > 0:  # else all
            samples = samples[: round(self._config.gpt_cond_len_s * rate)]
        chunks = samples.split(round(self._config.gpt_cond_chunk_len_s * rate))
        long_enough = [chunk for chunk in chunks if len(chunk) >= MIN_CHUNK_S * rate]
        if not long_enough:
            raise UnusableVoice(
                f"found {len(samples) / rate:.2f} s of speech in chunks of {len(chunks[0]) / rate:.2f} s; "
                f"expected a chunk of {MIN_CHUNK_S} s. "
                "Record some seconds of speech, or set the submission's gpt_cond_len and "
                "gpt_cond_chunk_len to seconds."
            )
        return long_enough


def _check_usable(recording: Recording, used_s: float) -> None:
    duration_s = len(recording.samples) / recording.sample_rate_hz
    if duration_s < MIN_CHUNK_S:
        raise UnusableVoice(
            f"found a recording of {duration_s:.2f} s; expected at least {MIN_CHUNK_S} s. "
            "Record some seconds of speech: 6 to 30 s work best."
        )
    if not np.isfinite(recording.samples).all():
        raise UnusableVoice(
            "found samples that are infinite or not numbers in a recording; expected finite ones in [-1, 1]. "
            "Export it again, as 16-bit PCM if need be."
        )
    used = recording.samples[: round(used_s * recording.sample_rate_hz)]
    if (peak := float(np.abs(used).max(initial=0.0))) < MIN_PEAK:
        raise UnusableVoice(
            f"found silence, peak {peak:.1e}, in the first {used_s:g} s of a recording; expected speech. "
            "Check the microphone, or cut the recording to where it begins."
        )


class StyleEncoder:
    """Attention blocks over log-mel frames, then a perceiver that brings any length to the same size."""

    def __init__(self, architecture: XttsArchitecture, weights: Mapping[str, Tensor]) -> None:
        self._architecture = architecture
        self._weights = weights
        self._spectrogram = MelSpectrogram(
            sample_rate_hz=architecture.input_sample_rate_hz,
            fft_length=2048,
            window_length=1024,
            hop_length=256,
            num_mels=architecture.conditioning_mel_bins,
            max_frequency_hz=8000,
            norm="slaney",
        )

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [n] at the input rate → [perceiver_latents, channels]"""
        return self.perceive(self.encode(self.log_mel(samples)))

    def log_mel(self, samples: Tensor) -> Tensor:
        """Samples [n] → [mel_bins, frames], scaled by the checkpoint's statistics."""
        return self._spectrogram(samples).clamp(min=1e-5).log() / self._weights["mel_stats"][:, None]

    def encode(self, log_mel: Tensor) -> Tensor:
        """[mel_bins, frames] → [channels, frames]"""
        x = self._pointwise(log_mel, "init")
        for block in range(self._architecture.conditioning_blocks):
            x = self._attention_block(x, f"attn.{block}")
        return x

    def _attention_block(self, x: Tensor, name: str) -> Tensor:
        heads = self._architecture.conditioning_heads
        norm = f"gpt.conditioning_encoder.{name}.norm"
        groups = _num_groups(x.shape[0])
        # The published block adds its attention to the normalised input, not to the input.
        x = F.group_norm(x[None], groups, self._weights[f"{norm}.weight"], self._weights[f"{norm}.bias"])[0]
        qkv = self._pointwise(x, f"{name}.qkv").unflatten(
            0, (heads, -1)
        )  # [heads, 3 · head channels, frames]
        query, key, value = (part.transpose(1, 2)[None] for part in qkv.chunk(3, dim=1))
        attended = F.scaled_dot_product_attention(query, key, value)[0].transpose(1, 2)
        return x + self._pointwise(attended.flatten(0, 1), f"{name}.proj_out")

    def _pointwise(self, x: Tensor, name: str) -> Tensor:
        """A convolution of kernel 1: [in, frames] → [out, frames]"""
        name = f"gpt.conditioning_encoder.{name}"
        return torch.addmm(
            self._weights[f"{name}.bias"][:, None], self._weights[f"{name}.weight"].squeeze(2), x
        )

    def perceive(self, encoded: Tensor) -> Tensor:
        """[channels, frames] → [perceiver_latents, channels]"""
        prefix = "gpt.conditioning_perceiver"
        latents, frames = self._weights[f"{prefix}.latents"], encoded.T
        for layer in range(self._architecture.perceiver_depth):
            name = f"{prefix}.layers.{layer}"
            latents = latents + self._cross_attention(latents, frames, f"{name}.0")
            latents = latents + self._feed_forward(latents, f"{name}.1")
        scale = latents.shape[1] ** 0.5
        return F.normalize(latents, dim=1) * scale * self._weights[f"{prefix}.norm.gamma"]

    def _cross_attention(self, latents: Tensor, frames: Tensor, name: str) -> Tensor:
        """Latents look at themselves and at the frames."""
        context = torch.cat([latents, frames])
        heads = self._architecture.perceiver_heads
        query = F.linear(latents, self._weights[f"{name}.to_q.weight"])
        key, value = F.linear(context, self._weights[f"{name}.to_kv.weight"]).chunk(2, dim=1)
        query, key, value = (
            part.unflatten(1, (heads, -1)).transpose(0, 1)[None] for part in (query, key, value)
        )
        attended = F.scaled_dot_product_attention(query, key, value)[0].transpose(0, 1).flatten(1)
        return F.linear(attended, self._weights[f"{name}.to_out.weight"])

    def _feed_forward(self, x: Tensor, name: str) -> Tensor:
        value, gate = self._linear(x, f"{name}.0").chunk(2, dim=1)
        return self._linear(value * F.gelu(gate), f"{name}.2")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])


def _num_groups(channels: int) -> int:
    """Of the group norms: 32 for every published size; tiny ones get fewer."""
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return groups
