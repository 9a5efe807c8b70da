"""What an XTTS checkpoint's tensors and config say about its shape: frozen values, no torch.

`XttsArchitecture` is what submissions must share to share an engine, so the text vocabulary, which
fine-tunes extend, is not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HifiganArchitecture:
    """A HiFi-GAN generator with per-stage speaker conditioning."""

    in_channels: int  # latent channels (XTTS: the GPT's)
    initial_channels: int  # after conv_pre; halved by every upsampling stage
    upsample_strides: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    resblock_kernels: tuple[int, ...]
    resblock_dilations: tuple[tuple[int, ...], ...]  # per kernel
    speaker_channels: int  # of the embedding that conditions every stage


@dataclass(frozen=True, slots=True)
class SpeakerEncoderArchitecture:
    """The ResNet-SE speaker encoder."""

    mel_bins: int
    blocks: tuple[int, ...]  # residual blocks per stage
    channels: tuple[int, ...]  # per stage
    embedding_channels: int


@dataclass(frozen=True, slots=True)
class XttsArchitecture:
    layers: int
    channels: int
    heads: int
    text_positions: int  # rows of text_pos_embedding: max_text_tokens + 2
    audio_tokens: int  # rows of mel_embedding
    audio_positions: int  # rows of mel_pos_embedding: max_audio_tokens + 3
    start_audio_token: int
    stop_audio_token: int
    conditioning_mel_bins: int
    conditioning_blocks: int
    conditioning_heads: int
    perceiver_depth: int
    perceiver_latents: int
    perceiver_heads: int
    perceiver_head_channels: int
    input_sample_rate_hz: int  # of the conditioning mel and of the code rate
    output_sample_rate_hz: int
    code_stride: int  # input samples per speech token
    output_hop: int  # output samples per vocoder frame
    vocoder: HifiganArchitecture
    speaker_encoder: SpeakerEncoderArchitecture

    @property
    def max_speech_tokens(self) -> int:
        """That an utterance can have: the published limit, max_audio_tokens - 3."""
        return self.audio_positions - 6


@dataclass(frozen=True, slots=True)
class XttsConfig:
    """The `config` blob of an xtts submission: everything of config.json and vocab.json that serving uses."""

    architecture: XttsArchitecture
    languages: tuple[str, ...]
    text_tokens: int  # rows of text_embedding
    start_text_token: int
    stop_text_token: int
    max_text_tokens: int  # gpt_max_text_tokens: a prompt must have fewer ids
    max_audio_tokens: int  # gpt_max_audio_tokens
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    gpt_cond_len_s: float  # seconds of reference that the GPT latents see
    gpt_cond_chunk_len_s: float
    max_ref_len_s: float  # seconds of each recording that the speaker embedding sees
    sound_norm_refs: bool
