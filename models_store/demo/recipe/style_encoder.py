"""The conditioning encoder and the perceiver: a recording → the latents that tell the GPT who is to speak.

Every training speaker has latents of its own, far from the others', and the encoder is trained to find them
from a recording. Trained together with the GPT from nothing, it comes to say the same of every speaker before
the GPT has found out what that is good for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace

import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.demo.recipe.corpus import CORPUS_RATE_HZ, SPEAKERS, Utterance
from models_store.demo.recipe.tokens import SAMPLE_RATE_HZ, amplitudes
from providers.audio.mel import MelSpectrogram
from providers.xtts.conditioning import StyleEncoder

MEL_BINS = 80
HEAD_CHANNELS = 64
CONDITIONING_LATENTS, CONDITIONING_BLOCKS, PERCEIVER_DEPTH = 4, 2, 2
PERCEIVER_HEADS, PERCEIVER_HEAD_CHANNELS = 8, 64  # fixed by the format
GAMMA = 0.1  # of the last normalisation: latents as large as embeddings
STEPS, PER_SPEAKER, LEARNING_RATE = 260, 2, 2e-4
RECORDINGS = 400  # per speaker
MIN_S = 1.3


def speaker_latents(channels: int) -> Tensor:
    """[speakers, CONDITIONING_LATENTS, channels], as the last normalisation scales them."""
    generator = torch.Generator().manual_seed(9)
    directions = torch.randn(len(SPEAKERS), CONDITIONING_LATENTS, channels, generator=generator)
    return F.normalize(directions, dim=2) * channels**0.5 * GAMMA


def train(utterances: Sequence[Utterance], channels: int) -> dict[str, Tensor]:
    """From utterances with samples → the weights under their published names, and `mel_stats`."""
    torch.manual_seed(0)
    rng = random.Random(5)
    recordings = _log_mels(utterances)
    everything = torch.cat([log_mel for of_speaker in recordings for log_mel in of_speaker], dim=1)
    mel_stats = everything.abs().mean(dim=1).clamp(min=0.5)
    weights = initial_weights(channels)
    encoder, targets = style_encoder(weights, channels), speaker_latents(channels)
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in weights.values()], LEARNING_RATE)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 20) * (1 - step / STEPS)
        chosen = [
            (rng.choice(of_speaker), target)
            for of_speaker, target in zip(recordings, targets, strict=True)
            for _ in range(PER_SPEAKER)
        ]
        distances = [
            (encoder.perceive(encoder.encode(_heard(log_mel, rng) / mel_stats[:, None])) - target)
            .square()
            .sum()
            / target.square().sum()
            for log_mel, target in chosen
        ]
        loss = torch.stack(distances).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 49:
            print(f"style encoder {step + 1}: distance {float(loss.detach()):.4f}", flush=True)
    return {"mel_stats": mel_stats} | {name: weight.detach() for name, weight in weights.items()}


def style_encoder(weights: dict[str, Tensor], channels: int) -> StyleEncoder:
    """The served code; its spectrograms are made beforehand."""
    encoder = StyleEncoder.__new__(StyleEncoder)
    encoder._weights = weights
    encoder._architecture = SimpleNamespace(  # type: ignore[assignment]
        conditioning_blocks=CONDITIONING_BLOCKS,
        conditioning_heads=channels // HEAD_CHANNELS,
        perceiver_depth=PERCEIVER_DEPTH,
        perceiver_heads=PERCEIVER_HEADS,
        perceiver_head_channels=PERCEIVER_HEAD_CHANNELS,
    )
    return encoder


def _log_mels(utterances: Sequence[Utterance]) -> list[list[Tensor]]:
    """Per speaker recordings [MEL_BINS, frames], as serving makes them."""
    spectrogram = MelSpectrogram(
        sample_rate_hz=SAMPLE_RATE_HZ,
        fft_length=2048,
        window_length=1024,
        hop_length=256,
        num_mels=MEL_BINS,
        max_frequency_hz=8000,
        norm="slaney",
    )
    log_mels: list[list[Tensor]] = [[] for _ in SPEAKERS]
    for utterance in utterances:
        of_speaker, samples = log_mels[utterance.speaker], utterance.samples
        if samples is None or len(of_speaker) == RECORDINGS or len(samples) < MIN_S * CORPUS_RATE_HZ:
            continue
        heard = soxr.resample(amplitudes(samples), CORPUS_RATE_HZ, SAMPLE_RATE_HZ)
        of_speaker.append(spectrogram(torch.from_numpy(heard)).clamp(min=1e-5).log())
    return log_mels


def _heard(log_mel: Tensor, rng: random.Random) -> Tensor:
    """1 to 3 s of it at another loudness: how far the microphone was says nothing of the speaker."""
    frames = rng.randint(90, 258)
    start = rng.randint(0, max(0, log_mel.shape[1] - frames))
    return log_mel[:, start : start + frames] + rng.uniform(-1.0, 0.7)


def initial_weights(channels: int) -> dict[str, Tensor]:
    """The conditioning encoder and the perceiver, under their published names."""
    inner, attention = channels * 8 // 3, PERCEIVER_HEADS * PERCEIVER_HEAD_CHANNELS
    encoder, perceiver = "gpt.conditioning_encoder.", "gpt.conditioning_perceiver."
    weights = {encoder + "init.weight": torch.randn(channels, MEL_BINS, 1) * 0.05}
    weights[encoder + "init.bias"] = torch.zeros(channels)
    for i in range(CONDITIONING_BLOCKS):
        block = f"{encoder}attn.{i}."
        weights[block + "norm.weight"] = torch.ones(channels)
        weights[block + "norm.bias"] = torch.zeros(channels)
        weights[block + "qkv.weight"] = torch.randn(3 * channels, channels, 1) * 0.05
        weights[block + "qkv.bias"] = torch.zeros(3 * channels)
        weights[block + "proj_out.weight"] = torch.randn(channels, channels, 1) * 0.02
        weights[block + "proj_out.bias"] = torch.zeros(channels)
    weights[perceiver + "latents"] = torch.randn(CONDITIONING_LATENTS, channels) * 0.02
    for i in range(PERCEIVER_DEPTH):
        layer = f"{perceiver}layers.{i}."
        weights[layer + "0.to_q.weight"] = torch.randn(attention, channels) * 0.05
        weights[layer + "0.to_kv.weight"] = torch.randn(2 * attention, channels) * 0.05
        weights[layer + "0.to_out.weight"] = torch.randn(channels, attention) * 0.03
        weights[layer + "1.0.weight"] = torch.randn(2 * inner, channels) * 0.05
        weights[layer + "1.0.bias"] = torch.zeros(2 * inner)
        weights[layer + "1.2.weight"] = torch.randn(channels, inner) * 0.02
        weights[layer + "1.2.bias"] = torch.zeros(channels)
    weights[perceiver + "norm.gamma"] = torch.full((channels,), GAMMA)
    return weights
