"""The XTTS GPT on the shared decoder: its tensors as blocks, and an utterance as decoder inputs.

A prompt is [conditioning latents | START text STOP | start of audio]. Conditioning latents carry no
position; text and audio tokens each count their own, so code k goes in at audio position k + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from providers.decoding.blocks import Block, DecoderWeights, LayerNorm
from providers.decoding.decoder import DecoderSpec, PrefillInput
from providers.decoding.kv_cache import PrefixKV
from providers.decoding.linear import Activation, Copy, Linear, copy_to, prepare_linear
from providers.interface import SamplingParams

# The published implementation shows the repetition penalty a 1 for every prompt position, so token 1 counts
# as seen, and so does the start token.
PROMPT_STAND_IN_TOKEN = 1


def decoder_spec(architecture: XttsArchitecture) -> DecoderSpec:
    return DecoderSpec(
        layers=architecture.layers,
        channels=architecture.channels,
        heads=architecture.heads,
        vocabulary=architecture.audio_tokens,
        stop_token=architecture.stop_audio_token,
        max_prompt=architecture.perceiver_latents + architecture.text_positions + 1,
        max_tokens=architecture.max_speech_tokens,
    )


@dataclass(frozen=True, slots=True, eq=False)
class GptWeights:
    """One submission's GPT on a device."""

    decoder: DecoderWeights
    text_table: Tensor  # [text tokens, C]
    text_position_table: Tensor  # [text positions, C]
    start_text_token: int
    stop_text_token: int
    start_audio_token: int

    def prompt_embeddings(self, text_ids: Sequence[int]) -> Tensor:
        """[START text STOP | start of audio] → [len(text_ids) + 3, C]; text ids without START and STOP."""
        device = self.text_table.device
        tokens = torch.tensor([self.start_text_token, *text_ids, self.stop_text_token], device=device)
        text = self.text_table[tokens] + self.text_position_table[: len(tokens)]
        start = self.decoder.embed(
            torch.tensor([self.start_audio_token], device=device),
            torch.tensor([0], device=device),
        )
        return torch.cat((text, start))

    def utterance(
        self,
        conditioning: Tensor | PrefixKV,
        text_ids: Sequence[int],
        sampling: SamplingParams,
        utterance_index: int = 0,
    ) -> PrefillInput:
        """What the decoder needs to speak `text_ids`.

        `conditioning`: latents [32, C], or what `Decoder.cache_prefix` made of them.
        """
        embeddings = self.prompt_embeddings(text_ids)
        prefix = None
        if isinstance(conditioning, PrefixKV):
            prefix = conditioning
        else:
            embeddings = torch.cat((conditioning.to(embeddings), embeddings))
        return PrefillInput(
            weights=self.decoder,
            embeddings=embeddings,
            position=1,
            seen=(PROMPT_STAND_IN_TOKEN, self.start_audio_token),
            sampling=sampling,
            utterance_index=utterance_index,
            prefix=prefix,
        )


def prepare_gpt(
    tensors: Mapping[str, Tensor],
    config: XttsConfig,
    device: torch.device,
    dtype: torch.dtype,
    copy: Copy | None = None,
) -> GptWeights:
    """Copy the GPT's tensors, by published name, as they are to run on a device; none of `tensors` is kept.

    They go there, or wherever `copy` puts them. Blocks and embeddings get the engine's dtype; final norms and
    the head stay float32.
    """
    architecture = config.architecture
    place = copy or copy_to(device)

    def norm(name: str, dtype: torch.dtype = dtype) -> LayerNorm:
        return LayerNorm(place(tensors[f"{name}.weight"], dtype), place(tensors[f"{name}.bias"], dtype))

    def linear(name: str, activation: Activation = "none") -> Linear:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return prepare_linear(weight, bias, device, dtype, activation, place)

    def table(name: str) -> Tensor:
        return place(tensors[f"{name}.weight"], dtype)

    decoder = DecoderWeights(
        blocks=tuple(_block(f"gpt.gpt.h.{i}", norm, linear) for i in range(architecture.layers)),
        heads=architecture.heads,
        norm="pre",
        final_norms=(norm("gpt.gpt.ln_f", torch.float32), norm("gpt.final_norm", torch.float32)),
        head=prepare_linear(
            tensors["gpt.mel_head.weight"].t(),
            tensors["gpt.mel_head.bias"],
            device,
            torch.float32,
            copy=place,
        ),
        token_table=table("gpt.mel_embedding"),
        position_table=table("gpt.mel_pos_embedding.emb"),
    )
    return GptWeights(
        decoder=decoder,
        text_table=table("gpt.text_embedding"),
        text_position_table=table("gpt.text_pos_embedding.emb"),
        start_text_token=config.start_text_token,
        stop_text_token=config.stop_text_token,
        start_audio_token=architecture.start_audio_token,
    )


def _block(name: str, norm: Callable[[str], LayerNorm], linear: Callable[..., Linear]) -> Block:
    return Block(
        attention_norm=norm(f"{name}.ln_1"),
        qkv=linear(f"{name}.attn.c_attn"),
        attention_out=linear(f"{name}.attn.c_proj"),
        feed_forward_norm=norm(f"{name}.ln_2"),
        expand=linear(f"{name}.mlp.c_fc", "gelu_tanh"),
        contract=linear(f"{name}.mlp.c_proj"),
    )
