"""The vocoder: a HiFi-GAN (Kong et al. 2020, arXiv 2010.05646) from latents to 24 kHz, told the speaker.

It learns beside the GPT, from the features that the GPT's latents are trained to hold, and takes the GPT's
latents in the end: the layer that reads features off latents is linear, and so is the first convolution, so
the two become one. Then it goes on learning from the latents of the trained GPT, errors and all.

Losses: log and relative distance of spectra at three resolutions and of mel spectra; then discriminators of
the three spectra (Jang et al. 2021, arXiv 2106.07889) and the distance of what they see.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models_store.demo.recipe.corpus import CORPUS_RATE_HZ, SHARES, SPEAKERS, Utterance
from models_store.demo.recipe.gpt import Gpt, collate
from models_store.demo.recipe.settings import Size, device, load_checkpoint, save_checkpoint
from models_store.demo.recipe.speaker_encoder import EMBEDDING, speaker_embeddings
from models_store.demo.recipe.style_encoder import speaker_latents
from models_store.demo.recipe.tokens import FEATURES, SAMPLE_RATE_HZ, amplitudes, mel_filters

OUTPUT_RATE_HZ, HOP = 24_000, 256
STRIDES, RESBLOCK_KERNELS, DILATIONS = (8, 8, 4), (3, 7, 11), (1, 3, 5)
SLOPE, LAST_SLOPE = 0.1, 0.01
CROP = 42  # frames
EMBEDDING_NOISE = 0.02
ADVERSARIAL_FROM = 0.25  # of the steps
REPORT_EVERY, CHECKPOINT_EVERY = 50, 500


class Resolution(NamedTuple):
    fft: int
    hop: int
    window: int
    mel_bins: int


RESOLUTIONS = (
    Resolution(512, 128, 400, 40),
    Resolution(1024, 256, 800, 80),
    Resolution(2048, 512, 1600, 100),
)
HEARD = 11 / 32  # of a spectrum: up to 8.25 kHz, as far as the corpus goes
MAX_HZ = 8200.0


class Generator(nn.Module):
    """[B, in_channels, frames] and embeddings [B, EMBEDDING] → samples [B, HOP · frames]. Channels last."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv_pre = nn.Conv2d(in_channels, channels, (1, 7), padding=(0, 3))
        self.cond_layer = _speaker_layer(channels)
        self.ups, self.conds, self.resblocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stride in STRIDES:
            self.ups.append(
                nn.ConvTranspose2d(
                    channels, channels // 2, (1, 2 * stride), (1, stride), padding=(0, stride // 2)
                )
            )
            channels //= 2
            self.conds.append(_speaker_layer(channels))
            self.resblocks.extend(ResidualBlock(channels, kernel) for kernel in RESBLOCK_KERNELS)
        self.conv_post = nn.Conv2d(channels, 1, (1, 7), padding=(0, 3), bias=False)
        _channels_last(self)

    def forward(self, frames: Tensor, embeddings: Tensor) -> Tensor:
        x = self.conv_pre(frames.unsqueeze(2).contiguous(memory_format=torch.channels_last))
        x = x + self.cond_layer(embeddings)[:, :, None, None]
        for i, (up, cond) in enumerate(zip(self.ups, self.conds, strict=True)):
            x = up(F.leaky_relu(x, SLOPE)) + cond(embeddings)[:, :, None, None]
            per_stage = len(RESBLOCK_KERNELS)
            blocks = self.resblocks[i * per_stage : (i + 1) * per_stage]
            x = torch.stack([block(x) for block in blocks]).mean(0)
        samples: Tensor = torch.tanh(self.conv_post(F.leaky_relu(x, LAST_SLOPE)).float())[:, 0, 0]
        return samples


def _channels_last(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _speaker_layer(channels: int) -> nn.Linear:
    layer = nn.Linear(EMBEDDING, channels)
    nn.init.normal_(layer.weight, 0, 0.1)
    nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, dilation) for dilation in DILATIONS)
        plain = [_same(channels, kernel, 1) for _ in DILATIONS]
        for conv in plain:
            conv.weight.data *= 0.3
        self.convs2 = nn.ModuleList(plain)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv2d:
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(channels, channels, (1, kernel), dilation=(1, dilation), padding=(0, padding))


class SpectrumDiscriminator(nn.Module):
    """One resolution's magnitudes [B, bins, frames] → a judgement of every place, and what it saw."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        widths = (1, channels, channels, 2 * channels, 2 * channels, 2 * channels)
        kernels, strides = (7, 7, 5, 5, 3), (1, 2, 2, 2, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(ins, outs, (kernel, 3), (stride, 1), padding=(kernel // 2, 1))
            for ins, outs, kernel, stride in zip(widths, widths[1:], kernels, strides, strict=False)
        )
        self.judgement = nn.Conv2d(2 * channels, 1, 3, padding=1)
        _channels_last(self)

    def forward(self, magnitudes: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = 0.3 * magnitudes.clamp(min=1e-4).log() + 0.8
        x = x.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        seen = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            seen.append(x)
        return self.judgement(x), seen


class Spectra(nn.Module):
    """Samples [B, n] → magnitudes per resolution, and their distances."""

    def __init__(self) -> None:
        super().__init__()
        for i, resolution in enumerate(RESOLUTIONS):
            filters = mel_filters(OUTPUT_RATE_HZ, resolution.fft, resolution.mel_bins, MAX_HZ)
            self.register_buffer(f"filters{i}", filters[:, : int(resolution.fft * HEARD)])
            self.register_buffer(f"window{i}", torch.hann_window(resolution.window))

    def forward(self, samples: Tensor) -> list[Tensor]:
        return [self._magnitudes(samples, i) for i in range(len(RESOLUTIONS))]

    def _magnitudes(self, samples: Tensor, i: int) -> Tensor:
        fft, hop, window, _ = RESOLUTIONS[i]
        spectrum = torch.stft(samples, fft, hop, window, self.get_buffer(f"window{i}"), return_complex=True)
        magnitudes = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        return magnitudes[:, : int(fft * HEARD)]

    def distances(self, made: list[Tensor], real: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of the spectra, half relative and half log; and of the log-mel spectra."""
        linear, mel = [], []
        for i, (a, b) in enumerate(zip(made, real, strict=True)):
            linear.append(0.5 * (a - b).norm() / b.norm().clamp(min=1e-3) + 0.5 * _log_distance(a, b))
            filters = self.get_buffer(f"filters{i}")
            mel.append(_log_distance(filters @ a, filters @ b))
        return torch.stack(linear).mean(), torch.stack(mel).mean()


def _log_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.clamp(min=1e-4).log() - b.clamp(min=1e-4).log()).abs().mean()


def num_frames(patches: int) -> int:
    return math.floor(4 * patches * (OUTPUT_RATE_HZ / SAMPLE_RATE_HZ))


def clips(utterances: Sequence[Utterance]) -> list[list[tuple[Utterance, NDArray[np.int16]]]]:
    """Per speaker: utterances with their samples at the output rate, as many as vocoder frames make."""
    by_speaker: list[list[tuple[Utterance, NDArray[np.int16]]]] = [[] for _ in SPEAKERS]
    for utterance in utterances:
        frames = num_frames(len(utterance.tokens))
        if utterance.samples is None or frames < CROP + 8:
            continue
        samples = soxr.resample(amplitudes(utterance.samples), CORPUS_RATE_HZ, OUTPUT_RATE_HZ, quality="MQ")[
            : frames * HOP
        ]
        whole = np.zeros(frames * HOP, np.int16)
        whole[: len(samples)] = np.clip(32767 * samples, -32767, 32767)
        by_speaker[utterance.speaker].append((utterance, whole))
    return by_speaker


def upsampled(frames: Tensor) -> Tensor:
    """[channels, patches] → [channels, vocoder frames], as serving interpolates latents."""
    at_code_rate = F.interpolate(frames[None], scale_factor=4.0, mode="linear")
    return F.interpolate(at_code_rate, scale_factor=OUTPUT_RATE_HZ / SAMPLE_RATE_HZ, mode="linear")[0]


class Crops:
    """Random stretches of clips. `frames_of` gives an utterance's features, or its latents."""

    def __init__(
        self, utterances: Sequence[Utterance], frames_of: Callable[[Utterance], NDArray[np.float16]]
    ) -> None:
        self._clips = clips(utterances)
        self._frames_of = frames_of

    def batch(self, size: int, rng: random.Random) -> tuple[Tensor, Tensor, Tensor]:
        """[B, channels, CROP], [B, HOP · CROP], speakers [B]"""
        speakers = rng.choices(range(len(SPEAKERS)), SHARES, k=size)
        crops = [self._crop(rng.choice(self._clips[speaker]), rng) for speaker in speakers]
        frames, samples = zip(*crops, strict=True)
        return torch.stack(frames), torch.stack(samples), torch.tensor(speakers)

    def _crop(self, clip: tuple[Utterance, NDArray[np.int16]], rng: random.Random) -> tuple[Tensor, Tensor]:
        utterance, samples = clip
        frames = upsampled(torch.from_numpy(self._frames_of(utterance).astype(np.float32)).T)
        start = rng.randint(0, frames.shape[1] - CROP)
        cut = amplitudes(samples[start * HOP : (start + CROP) * HOP])
        return frames[:, start : start + CROP], torch.from_numpy(cut)


class Latents:
    """The GPT's latents of an utterance that it is told token by token; made once."""

    def __init__(self, gpt: Gpt) -> None:
        self._gpt = gpt
        self._conditioning = speaker_latents(gpt.channels).to(device())
        self._made: dict[int, NDArray[np.float16]] = {}

    @torch.no_grad()
    def __call__(self, utterance: Utterance) -> NDArray[np.float16]:
        """[patches, channels]"""
        key = id(utterance)
        if key not in self._made:
            latents = self._gpt.latents(collate([utterance]).to(device()), self._conditioning)
            self._made[key] = latents.cpu().numpy().astype(np.float16)
        return self._made[key]


def absorb(generator: Generator, features: nn.Linear) -> Generator:
    """The generator that takes latents instead of the features that `features` reads off them."""
    weight = generator.conv_pre.weight.detach()[:, :, 0]  # [channels, FEATURES, 7]
    absorbed = Generator(features.in_features, weight.shape[0]).to(weight.device)
    state = generator.state_dict()
    reading, offset = features.weight.detach(), features.bias.detach()
    state["conv_pre.weight"] = torch.einsum("cfk,fl->clk", weight, reading).unsqueeze(2)
    state["conv_pre.bias"] = state["conv_pre.bias"] + torch.einsum("cfk,f->c", weight, offset)
    absorbed.load_state_dict(state)
    return absorbed


def train(crops: Crops, size: Size, checkpoint: Path, *, start_from: Generator | None = None) -> Generator:
    """On features from nothing, or on latents from `start_from`. Resumes from `checkpoint` and writes it."""
    torch.manual_seed(1)
    on_latents = start_from is not None
    generator = (start_from or Generator(FEATURES, size.vocoder_channels)).to(device())
    run = _Run(generator, size.vocoder_latent_steps if on_latents else size.vocoder_steps, size)
    step = run.load(checkpoint)
    rng, started, sums = random.Random(step), time.monotonic(), np.zeros(5)
    while step < run.steps:
        sums += run.step(step, crops.batch(size.vocoder_batch, rng), adversarial=on_latents)
        step += 1
        if step % REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / REPORT_EVERY
            names = ("spectra", "mel", "discriminators", "judged", "seen")
            values = ", ".join(f"{n} {v:.3f}" for n, v in zip(names, sums / REPORT_EVERY, strict=True))
            print(f"vocoder {step}: {values}, {seconds:.2f} s a step", flush=True)
            sums[:], started = 0, time.monotonic()
        if step % CHECKPOINT_EVERY == 0 or step == run.steps:
            run.save(checkpoint, step)
    return generator


class _Run:
    def __init__(self, generator: Generator, steps: int, size: Size) -> None:
        self.steps = steps
        self._rate = size.vocoder_learning_rate
        self._generator, self._spectra = generator, Spectra().to(device())
        self._discriminators = nn.ModuleList(SpectrumDiscriminator() for _ in RESOLUTIONS).to(device())
        self._embeddings = speaker_embeddings().to(device())
        self._optimizers = [
            torch.optim.AdamW(part.parameters(), self._rate, betas=(0.8, 0.99), weight_decay=0, fused=True)
            for part in (self._generator, self._discriminators)
        ]

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self._generator,
            "discriminators": self._discriminators,
            "generator_optimizer": self._optimizers[0],
            "discriminators_optimizer": self._optimizers[1],
        }

    def load(self, path: Path) -> int:
        return load_checkpoint(path, **self._parts())

    def save(self, path: Path, step: int) -> None:
        save_checkpoint(path, step, **self._parts())

    def step(self, step: int, batch: tuple[Tensor, Tensor, Tensor], *, adversarial: bool) -> list[float]:
        """Adversarial from the start, or from ADVERSARIAL_FROM on."""
        done = step / self.steps
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                cosine = (1 + math.cos(math.pi * done)) / 2
                group["lr"] = self._rate * min(1.0, (step + 1) / 100) * (0.05 + 0.95 * cosine)
        frames, samples, speakers = (tensor.to(device()) for tensor in batch)
        embeddings = self._embeddings[speakers]
        embeddings = F.normalize(embeddings + EMBEDDING_NOISE * torch.randn_like(embeddings), dim=1)
        with torch.autocast(device().type, torch.bfloat16):
            made = self._spectra_of(self._generator(frames, embeddings))
        with torch.no_grad():
            real = self._spectra(samples)
        linear, mel = self._spectra.distances(made, real)
        loss, log = linear + 2 * mel, [linear.item(), mel.item(), 0.0, 0.0, 0.0]
        weight = 1.0 if adversarial else min(1.0, 20 * (done - ADVERSARIAL_FROM))
        if weight > 0:
            log[2] = self._train_discriminators([spectrum.detach() for spectrum in made], real)
            judged, seen = self._adversarial(made, real)
            loss = loss + weight * (0.3 * judged + seen)
            log[3:] = judged.item(), seen.item()
        loss.backward()
        nn.utils.clip_grad_norm_(self._generator.parameters(), 2.0)
        self._advance(0)
        return log

    def _spectra_of(self, samples: Tensor) -> list[Tensor]:
        with torch.autocast(device().type, enabled=False):
            spectra: list[Tensor] = self._spectra(samples)
        return spectra

    def _train_discriminators(self, made: list[Tensor], real: list[Tensor]) -> float:
        terms = [
            (1 - of_real).square().mean() + of_made.square().mean()
            for (of_made, _), (of_real, _) in zip(self._judge(made), self._judge(real), strict=True)
        ]
        loss = torch.stack(terms).mean()
        loss.backward()
        self._advance(1)
        return loss.item()

    def _adversarial(self, made: list[Tensor], real: list[Tensor]) -> tuple[Tensor, Tensor]:
        """How unreal it is judged, and how different what the discriminators saw."""
        self._discriminators.requires_grad_(False)
        with torch.no_grad():
            of_real = self._judge(real)
        of_made = self._judge(made)
        self._discriminators.requires_grad_(True)
        judged = torch.stack([(1 - judgement).square().mean() for judgement, _ in of_made]).mean()
        seen = [
            (a.float() - b.float()).abs().mean()
            for (_, seen_made), (_, seen_real) in zip(of_made, of_real, strict=True)
            for a, b in zip(seen_made, seen_real, strict=True)
        ]
        return judged, torch.stack(seen).mean()

    def _judge(self, spectra: list[Tensor]) -> list[tuple[Tensor, list[Tensor]]]:
        with torch.autocast(device().type, torch.bfloat16):
            judgements = [d(s) for d, s in zip(self._discriminators, spectra, strict=True)]
        return [(judgement.float(), seen) for judgement, seen in judgements]

    def _advance(self, which: int) -> None:
        self._optimizers[which].step()
        self._optimizers[which].zero_grad(set_to_none=True)
