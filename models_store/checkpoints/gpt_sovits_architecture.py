"""What a GPT-SoVITS checkpoint pair's tensors and configs say about its shape: frozen values, no torch.

`GptSovitsArchitecture` is what submissions must share to share an engine. The names follow the published
modules: the text-to-semantic model is gpt.ckpt, everything else sovits.pth.
"""

from __future__ import annotations

from dataclasses import dataclass

from models_store.checkpoints.architecture import HifiganArchitecture


@dataclass(frozen=True, slots=True)
class TextToSemanticArchitecture:
    """The decoder from phonemes (and their BERT features) to semantic tokens: post-LN blocks, ReLU."""

    layers: int
    channels: int
    heads: int
    feed_forward_channels: int
    phonemes: int  # rows of ar_text_embedding: 512 with the v1 symbols, 732 with the v2 ones
    bert_channels: int  # columns of bert_proj
    audio_tokens: int  # rows of ar_audio_embedding, the stop token among them
    stop_audio_token: int  # the published EOS, the last row


@dataclass(frozen=True, slots=True)
class PriorEncoderArchitecture:
    """`enc_p`: three stacks of relative-position attention blocks around the cross-attention `mrte`."""

    channels: int
    feed_forward_channels: int
    feed_forward_kernel: int
    heads: int
    window: int  # relative positions on either side that attention tells apart
    ssl_layers: int  # encoder_ssl
    text_layers: int  # encoder_text
    fused_layers: int  # encoder2
    phonemes: int  # rows of text_embedding: 322 with the v1 symbols, 732 with the v2 ones
    mrte_channels: int
    mrte_heads: int


@dataclass(frozen=True, slots=True)
class FlowArchitecture:
    """`flow`: mean-only residual couplings, each followed by a flip; numbered 0, 2, 4 … in the names."""

    channels: int  # latent channels; a coupling changes half of them
    hidden_channels: int
    couplings: int
    layers: int  # of the WaveNet in a coupling
    kernel: int  # of the WaveNet's convolutions, undilated


@dataclass(frozen=True, slots=True)
class StyleEncoderArchitecture:
    """`ref_enc`: magnitudes of the reference's spectrogram → the style vector `ge`."""

    bins: int  # the lowest of the spectrogram's: 1025 in v1, 704 since v2
    channels: int
    heads: int
    kernel: int  # of the two gated convolutions over time
    style_channels: int  # of ge; the published gin_channels


@dataclass(frozen=True, slots=True)
class GptSovitsArchitecture:
    variant: str  # "v1", "v2", "v2Pro" or "v2ProPlus"
    symbols: str  # the phoneme table, "v1" or "v2"
    text_to_semantic: TextToSemanticArchitecture
    ssl_channels: int  # of the HuBERT features that ssl_proj halves in rate, and of the codebook
    codebook_tokens: int  # rows of the quantizer's codebook
    prior: PriorEncoderArchitecture
    flow: FlowArchitecture
    style: StyleEncoderArchitecture
    vocoder: HifiganArchitecture  # `dec`; conditioned at its input only, by ge
    speaker_vector_channels: int | None  # columns of sv_emb: ERes2NetV2's embedding, in v2Pro and v2ProPlus
    sample_rate_hz: int  # of the waveform and of the reference's spectrogram
    token_rate_hz: int  # semantic tokens per second
    spectrogram_window: int  # samples, also the size of the transform
    spectrogram_hop: int  # samples per latent frame: there are two latent frames per semantic token

    @property
    def samples_per_token(self) -> int:
        return self.sample_rate_hz // self.token_rate_hz

    @property
    def frames_per_token(self) -> int:
        return self.samples_per_token // self.spectrogram_hop


@dataclass(frozen=True, slots=True)
class GptSovitsConfig:
    """The `config` blob of a gpt_sovits submission.

    The reference's text and language are the voice's (`Submission.voice`), like those of any other voice.
    """

    architecture: GptSovitsArchitecture
    languages: tuple[str, ...]  # BCP-47
    max_audio_s: float  # data.max_sec of gpt.ckpt: longer utterances were not seen in training
