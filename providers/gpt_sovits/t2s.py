"""The text-to-semantic model on the shared decoder: its tensors as blocks, an utterance as decoder inputs.

A prompt is [phones of the reference and of the text | semantic tokens of the reference]. Phones see each
other in both directions, semantic tokens see all phones and their own past. Text and audio each count their
own positions, so the first drawn token goes in behind the reference's. Without a reference's tokens the last
phone predicts the first one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import TextToSemanticArchitecture
from providers.decoding.blocks import Block, DecoderWeights, LayerNorm
from providers.decoding.decoder import DecoderSpec, PrefillInput
from providers.decoding.linear import Activation, Copy, Linear, copy_to, prepare_linear
from providers.decoding.sampler import SamplingRule
from providers.gpt_sovits.limits import (
    MAX_PROMPT_TOKENS,
    MAX_REFERENCE_PHONES,
    MAX_TEXT_PHONES,
    MAX_TOKENS,
)
from providers.interface import SamplingParams

MAX_PHONES = MAX_REFERENCE_PHONES + MAX_TEXT_PHONES

# The stop token is impossible in the first eleven steps (0.44 s), and ends an utterance wherever it is
# likeliest, whatever was drawn. It has no sound.
SAMPLING_RULE = SamplingRule(filters="top_p_first", min_tokens=11, stops_if_likeliest=True)

SINE_BASE = 10_000.0


def decoder_spec(architecture: TextToSemanticArchitecture) -> DecoderSpec:
    return DecoderSpec(
        layers=architecture.layers,
        channels=architecture.channels,
        heads=architecture.heads,
        vocabulary=architecture.audio_tokens,
        stop_token=architecture.stop_audio_token,
        max_prompt=MAX_PHONES + MAX_PROMPT_TOKENS,
        max_tokens=MAX_TOKENS,
        rule=SAMPLING_RULE,
        counts_stop=False,
    )


@dataclass(frozen=True, slots=True, eq=False)
class TextToSemanticWeights:
    """One submission's text-to-semantic model on a device."""

    decoder: DecoderWeights
    phone_table: Tensor  # [phonemes, C], with the bias of the features' projection
    phone_position_table: Tensor  # [MAX_PHONES, C]
    feature_projection: Tensor  # [feature channels, C]

    def phone_embeddings(self, phones: Sequence[int], features: Tensor | None = None) -> Tensor:
        """[n, C] of n phone ids. `features` [n, 1024] are RoBERTa's; None stands for zeros, which every
        language but Chinese has."""
        tokens = torch.tensor(phones, device=self.phone_table.device)
        embeddings = self.phone_table[tokens] + self.phone_position_table[: len(tokens)]
        if features is None:
            return embeddings
        return embeddings + features.to(self.feature_projection) @ self.feature_projection

    def utterance(
        self,
        phones: Sequence[int],
        features: Tensor | None,
        prompt_tokens: Sequence[int],
        sampling: SamplingParams,
        utterance_index: int = 0,
    ) -> PrefillInput:
        """What the decoder needs to speak.

        `phones` and `features` (see `phone_embeddings`) are the reference's and then the text's;
        `prompt_tokens` are the reference's semantic tokens, or none to speak without its example. Raises
        ValueError where there are more than `limits` says.
        """
        if len(phones) > MAX_PHONES or len(prompt_tokens) > MAX_PROMPT_TOKENS:
            raise ValueError(
                f"found {len(phones)} phones and {len(prompt_tokens)} prompt tokens; "
                f"expected at most {MAX_PHONES} and {MAX_PROMPT_TOKENS}"
            )
        embeddings = self.phone_embeddings(phones, features)
        if prompt_tokens:
            tokens = torch.tensor(prompt_tokens, device=embeddings.device)
            positions = torch.arange(len(tokens), device=embeddings.device)
            embeddings = torch.cat((embeddings, self.decoder.embed(tokens, positions)))
        return PrefillInput(
            weights=self.decoder,
            embeddings=embeddings,
            position=len(prompt_tokens),
            seen=prompt_tokens,
            sampling=sampling,
            utterance_index=utterance_index,
            bidirectional=len(phones),
        )


def prepare_text_to_semantic(
    tensors: Mapping[str, Tensor],
    architecture: TextToSemanticArchitecture,
    device: torch.device,
    dtype: torch.dtype,
    copy: Copy | None = None,
) -> TextToSemanticWeights:
    """Copy gpt.ckpt's tensors, by published name without `model.`, as they are to run on a device; none of
    `tensors` is kept.

    They go there, or wherever `copy` puts them. Blocks and embeddings get the engine's dtype; the head stays
    float32.
    """
    place = copy or copy_to(device)

    def norm(name: str) -> LayerNorm:
        return LayerNorm(place(tensors[f"{name}.weight"], dtype), place(tensors[f"{name}.bias"], dtype))

    def linear(name: str, activation: Activation = "none") -> Linear:
        weight, bias = (tensors[name.format(part)] for part in ("weight", "bias"))
        return prepare_linear(weight.t(), bias, device, dtype, activation, place)

    def position_table(name: str, rows: int) -> Tensor:
        alpha = tensors[f"{name}.alpha"].float()
        return place(alpha * sine_positions(rows, architecture.channels), dtype)

    decoder = DecoderWeights(
        blocks=tuple(_block(f"h.layers.{i}", norm, linear) for i in range(architecture.layers)),
        heads=architecture.heads,
        norm="post",
        final_norms=(),
        head=prepare_linear(
            tensors["ar_predict_layer.weight"].t(),
            torch.zeros(architecture.audio_tokens),
            device,
            torch.float32,
            copy=place,
        ),
        token_table=place(tensors["ar_audio_embedding.word_embeddings.weight"], dtype),
        position_table=position_table("ar_audio_position", MAX_PROMPT_TOKENS + MAX_TOKENS),
    )
    phone_table = tensors["ar_text_embedding.word_embeddings.weight"].float()
    return TextToSemanticWeights(
        decoder=decoder,
        phone_table=place(phone_table + tensors["bert_proj.bias"].float(), dtype),
        phone_position_table=position_table("ar_text_position", MAX_PHONES),
        feature_projection=place(tensors["bert_proj.weight"].t(), dtype),
    )


def sine_positions(rows: int, channels: int) -> Tensor:
    """[rows, channels] float32: sines in even columns, cosines in odd ones, the first Transformer's.

    Computed in float32 like the published table: the models were trained on its rounding.
    """
    frequencies = torch.exp(torch.arange(0, channels, 2) * (-math.log(SINE_BASE) / channels))
    angles = torch.arange(rows)[:, None] * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).view(rows, channels)


def _block(name: str, norm: Callable[[str], LayerNorm], linear: Callable[..., Linear]) -> Block:
    return Block(
        attention_norm=norm(f"{name}.norm1"),
        qkv=linear(f"{name}.self_attn.in_proj_{{}}"),
        attention_out=linear(f"{name}.self_attn.out_proj.{{}}"),
        feed_forward_norm=norm(f"{name}.norm2"),
        expand=linear(f"{name}.linear1.{{}}", "relu"),
        contract=linear(f"{name}.linear2.{{}}"),
    )
