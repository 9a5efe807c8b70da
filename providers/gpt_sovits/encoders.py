"""`enc_p`, the prior encoder: semantic tokens and phones → the distribution of every latent frame.

Codebook vectors, held for two frames each, pass a stack of attention blocks; so do the phones. Frames then
attend to phones (`mrte`), the style vector is added, and a last stack sees all of it. Every frame sees every
other one, which is why nothing here is final while tokens are still being drawn: see streaming.py.

Batches are padded on the right. `is_real` [B, T] marks what isn't padding; None says that nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture

Weights = Mapping[str, Tensor]
CODEBOOK = "quantizer.vq.layers.0._codebook.embed"


class Padded(NamedTuple):
    """Sequences of different lengths as one batch."""

    rows: Tensor  # [B, T, ...], zeros behind each sequence's end
    is_real: Tensor | None  # [B, T]


def pad(sequences: Sequence[Tensor]) -> Padded:
    """Each [t, ...] → one batch of the longest."""
    lengths = [len(sequence) for sequence in sequences]
    if len(set(lengths)) == 1:
        return Padded(torch.stack(list(sequences)), None)
    rows = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    positions = torch.arange(rows.shape[1], device=rows.device)
    ends = torch.tensor(lengths).to(rows.device, non_blocking=True)
    return Padded(rows, positions < ends[:, None])


class PriorFrames(NamedTuple):
    """Normal distributions of latent frames, each [frames, latent channels]."""

    mean: Tensor
    log_deviation: Tensor


class PriorInput(NamedTuple):
    tokens: Tensor  # int64 [n]: the semantic tokens of an utterance so far
    text: Tensor  # [P, channels]: what `encode_texts` made of its phones
    style: Tensor  # [mrte channels]


class PriorEncoder:
    """Keeps no state: any thread may call it."""

    def __init__(self, architecture: GptSovitsArchitecture, weights: Weights) -> None:
        """`weights`: float32, by published name, on the device where this is to run."""
        prior = architecture.prior
        self._weights = weights
        self._frames_per_token = architecture.frames_per_token
        self._mrte_heads = prior.mrte_heads

        def stack(name: str, layers: int) -> RelativeEncoder:
            return RelativeEncoder(weights, f"enc_p.{name}", layers, prior.heads, prior.window)

        self._encode_ssl = stack("encoder_ssl", prior.ssl_layers)
        self._encode_text = stack("encoder_text", prior.text_layers)
        self._encode_fused = stack("encoder2", prior.fused_layers)

    def encode_texts(self, phones: Sequence[Tensor]) -> list[Tensor]:
        """Phone ids, int64 [P] each → [P, channels] each."""
        ids, is_real = pad(phones)
        encoded = self._encode_text(F.embedding(ids, self._weights["enc_p.text_embedding.weight"]), is_real)
        return [row[: len(text)] for row, text in zip(encoded, phones, strict=True)]

    def __call__(self, inputs: Sequence[PriorInput]) -> list[PriorFrames]:
        """`frames_per_token` frames per token, whatever else is in the batch."""
        frames, is_real = pad([self.codebook_frames(item.tokens) for item in inputs])
        speech = self.encode_speech(frames, is_real)
        fused = self.fuse(speech, pad([item.text for item in inputs]), torch.stack([i.style for i in inputs]))
        encoded = self._encode_fused(fused, is_real)
        mean, log_deviation = self._pointwise(encoded, "enc_p.proj").chunk(2, dim=2)
        lengths = [len(item.tokens) * self._frames_per_token for item in inputs]
        return [PriorFrames(mean[i, :n], log_deviation[i, :n]) for i, n in enumerate(lengths)]

    def codebook_frames(self, tokens: Tensor) -> Tensor:
        """int64 [n] → [n · frames_per_token, ssl channels]: each token's vector, held."""
        return F.embedding(tokens, self._weights[CODEBOOK]).repeat_interleave(self._frames_per_token, dim=0)

    def encode_speech(self, frames: Tensor, is_real: Tensor | None) -> Tensor:
        """[B, T, ssl channels] → [B, T, channels]"""
        return self._encode_ssl(self._pointwise(frames, "enc_p.ssl_proj"), is_real)

    def fuse(self, speech: Tensor, text: Padded, style: Tensor) -> Tensor:
        """Frames [B, T, channels] look at phones [B, P, channels] and get the style [B, mrte channels]."""
        name = "enc_p.mrte"
        frames = self._pointwise(speech, f"{name}.c_pre")
        phones = self._pointwise(text.rows, f"{name}.text_pre")
        attended = F.scaled_dot_product_attention(
            self._heads(frames, f"{name}.cross_attention.conv_q"),
            self._heads(phones, f"{name}.cross_attention.conv_k"),
            self._heads(phones, f"{name}.cross_attention.conv_v"),
            attn_mask=None if text.is_real is None else text.is_real[:, None, None],
        )
        attended = self._pointwise(attended.transpose(1, 2).flatten(2), f"{name}.cross_attention.conv_o")
        return self._pointwise(attended + frames + style[:, None], f"{name}.c_post")

    def _heads(self, x: Tensor, name: str) -> Tensor:
        """[B, T, C] → [B, heads, T, head channels]"""
        return self._pointwise(x, name).unflatten(2, (self._mrte_heads, -1)).transpose(1, 2)

    def _pointwise(self, x: Tensor, name: str) -> Tensor:
        return pointwise(x, self._weights, name)


class RelativeEncoder:
    """Post-norm attention blocks that tell nearby positions apart (Shaw et al. 2018, arXiv 1803.02155), with
    convolutions for the feed-forward layers.
    """

    def __init__(self, weights: Weights, name: str, layers: int, heads: int, window: int) -> None:
        self._weights = weights
        self._name = name
        self._layers = layers
        self._heads = heads
        self._window = window

    def __call__(self, x: Tensor, is_real: Tensor | None) -> Tensor:
        """[B, T, C] → [B, T, C], zero where padded."""
        band = _Band.of(x.shape[1], self._window, x.device)
        x = _mask(x, is_real)
        for layer in range(self._layers):
            attended = self._attention(x, is_real, band, f"{self._name}.attn_layers.{layer}")
            x = self._norm(x + attended, f"{self._name}.norm_layers_1.{layer}")
            spread = self._feed_forward(x, is_real, f"{self._name}.ffn_layers.{layer}")
            x = self._norm(x + spread, f"{self._name}.norm_layers_2.{layer}")
        return _mask(x, is_real)

    def _attention(self, x: Tensor, is_real: Tensor | None, band: _Band, name: str) -> Tensor:
        query, key, value = (
            pointwise(x, self._weights, f"{name}.conv_{part}").unflatten(2, (self._heads, -1)).transpose(1, 2)
            for part in "qkv"
        )  # [B, heads, T, head channels]
        query = query * query.shape[3] ** -0.5
        scores = query @ key.transpose(2, 3)
        near = query @ self._weights[f"{name}.emb_rel_k"].transpose(1, 2)  # [B, heads, T, offsets]
        scores = band.add_to(scores, near)
        if is_real is not None:
            scores = scores.masked_fill(~is_real[:, None, None], -torch.inf)
        weights = scores.softmax(dim=3)
        attended = weights @ value + band.read(weights) @ self._weights[f"{name}.emb_rel_v"]
        return pointwise(attended.transpose(1, 2).flatten(2), self._weights, f"{name}.conv_o")

    def _feed_forward(self, x: Tensor, is_real: Tensor | None, name: str) -> Tensor:
        hidden = _mask(self._convolution(_mask(x, is_real), f"{name}.conv_1").relu_(), is_real)
        return _mask(self._convolution(hidden, f"{name}.conv_2"), is_real)

    def _convolution(self, x: Tensor, name: str) -> Tensor:
        weight = self._weights[f"{name}.weight"]  # [out, in, kernel]
        bias, padding = self._weights[f"{name}.bias"], weight.shape[2] // 2
        return F.conv1d(x.transpose(1, 2), weight, bias, padding=padding).transpose(1, 2)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        gamma = self._weights[f"{name}.gamma"]
        return F.layer_norm(x, gamma.shape, gamma, self._weights[f"{name}.beta"], eps=1e-5)


class _Band(NamedTuple):
    """The entries near the diagonal of [T, T] matrices, one row of 2 · window + 1 offsets per position."""

    columns: Tensor  # int64 [T, offsets], those outside of the matrix moved to its edge …
    is_inside: Tensor  # bool [T, offsets] … and False here

    @staticmethod
    def of(length: int, window: int, device: torch.device) -> _Band:
        columns = torch.arange(length, device=device)[:, None] + torch.arange(
            -window, window + 1, device=device
        )
        inside = columns.clamp(0, length - 1)
        return _Band(inside, inside == columns)

    def add_to(self, matrices: Tensor, near: Tensor) -> Tensor:
        """[..., T, T] + [..., T, offsets]"""
        columns = self.columns.expand_as(near)
        return matrices.scatter_add(-1, columns, near * self.is_inside)

    def read(self, matrices: Tensor) -> Tensor:
        """[..., T, T] → [..., T, offsets], zero outside."""
        columns = self.columns.expand(*matrices.shape[:-1], -1)
        return matrices.gather(-1, columns) * self.is_inside


def pointwise(x: Tensor, weights: Weights, name: str) -> Tensor:
    """A convolution of kernel 1, on channels that come last: [..., in] → [..., out]"""
    return F.linear(x, weights[f"{name}.weight"].squeeze(2), weights[f"{name}.bias"])


def _mask(x: Tensor, is_real: Tensor | None) -> Tensor:
    return x if is_real is None else x * is_real[:, :, None]
