"""The speaker encoder: a recording → the embedding that the vocoder is told.

Every training speaker has an embedding of its own, at right angles to the others'; the encoder is trained to
find it from a recording. The vocoder is trained on these embeddings with a little noise on them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models_store.checkpoints.architecture import SpeakerEncoderArchitecture
from models_store.demo.recipe.corpus import SPEAKERS, Utterance
from providers.xtts.speaker_encoder import SAMPLE_RATE_HZ, SpeakerEncoder

EMBEDDING = 64
ARCHITECTURE = SpeakerEncoderArchitecture(
    mel_bins=64, blocks=(1, 1, 1, 1), channels=(8, 8, 16, 16), embedding_channels=EMBEDDING
)
ATTENTION_CHANNELS = 128
STEPS, BATCH, LEARNING_RATE = 600, 6, 2e-3
MIN_S, MAX_S = 1.0, 2.5


def speaker_embeddings() -> Tensor:
    """[speakers, EMBEDDING], orthonormal."""
    generator = torch.Generator().manual_seed(5)
    basis, _ = torch.linalg.qr(torch.randn(EMBEDDING, EMBEDDING, generator=generator))
    return basis[: len(SPEAKERS)]


def train(utterances: Sequence[Utterance]) -> dict[str, Tensor]:
    """From utterances with samples → the encoder's weights under their published names."""
    torch.manual_seed(2)
    utterances = [u for u in utterances if u.samples is not None and len(u.samples) > SAMPLE_RATE_HZ]
    rng = random.Random(2)
    weights = initial_weights()
    trained = [w.requires_grad_() for n, w in weights.items() if w.is_floating_point() and "running" not in n]
    encoder, targets = SpeakerEncoder(ARCHITECTURE, weights), speaker_embeddings()
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)
    for step in range(STEPS):
        chosen = [rng.choice(utterances) for _ in range(BATCH)]
        embeddings = torch.stack([encoder.embed(encoder.power_mel(_cut(u, rng))) for u in chosen])
        cosines = embeddings @ targets.T
        speakers = torch.tensor([u.speaker for u in chosen])
        distance = 1 - cosines.gather(1, speakers[:, None]).mean()
        loss = F.cross_entropy(10 * cosines, speakers) + distance
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 49:
            print(f"speaker encoder {step + 1}: distance {float(distance.detach()):.4f}", flush=True)
    return {name: weight.detach() for name, weight in weights.items()}


def _cut(utterance: Utterance, rng: random.Random) -> Tensor:
    """A stretch of it at another loudness: how far the microphone was says nothing of the speaker."""
    assert utterance.samples is not None
    samples = torch.from_numpy(utterance.samples).float() / 32768
    length = int(rng.uniform(MIN_S, MAX_S) * SAMPLE_RATE_HZ)
    start = rng.randint(0, max(0, len(samples) - length))
    return samples[start : start + length] * 10 ** rng.uniform(-0.5, 0.3)


def initial_weights() -> dict[str, Tensor]:
    first = ARCHITECTURE.channels[0]
    weights = {"conv1.weight": _random(first, 1, 3, 3), "conv1.bias": torch.zeros(first)}
    weights |= _batch_norm("bn1", first)
    channels = first
    for stage, out in enumerate(ARCHITECTURE.channels, start=1):
        block = f"layer{stage}.0."
        weights[block + "conv1.weight"] = _random(out, channels, 3, 3)
        weights[block + "conv2.weight"] = _random(out, out, 3, 3)
        weights |= _batch_norm(block + "bn1", out) | _batch_norm(block + "bn2", out)
        weights |= _linear(block + "se.fc.0", out, out // 8) | _linear(block + "se.fc.2", out // 8, out)
        if stage > 1:
            weights[block + "downsample.0.weight"] = _random(out, channels, 1, 1)
            weights |= _batch_norm(block + "downsample.1", out)
        channels = out
    features = channels * ARCHITECTURE.mel_bins // 8
    weights |= {"attention.0.weight": _random(ATTENTION_CHANNELS, features, 1)}
    weights |= {"attention.0.bias": torch.zeros(ATTENTION_CHANNELS)}
    weights |= _batch_norm("attention.2", ATTENTION_CHANNELS)
    weights |= {"attention.3.weight": _random(features, ATTENTION_CHANNELS, 1)}
    weights |= {"attention.3.bias": torch.zeros(features)}
    return weights | _linear("fc", 2 * features, EMBEDDING)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape) / math.sqrt(math.prod(shape[1:]))


def _linear(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
    return {f"{name}.weight": _random(outputs, inputs), f"{name}.bias": torch.zeros(outputs)}


def _batch_norm(name: str, channels: int) -> dict[str, Tensor]:
    """Statistics that normalise nothing: the affine part is enough to train."""
    return {
        f"{name}.weight": torch.ones(channels),
        f"{name}.bias": torch.zeros(channels),
        f"{name}.running_mean": torch.zeros(channels),
        f"{name}.running_var": torch.ones(channels),
        f"{name}.num_batches_tracked": torch.tensor(0),
    }
