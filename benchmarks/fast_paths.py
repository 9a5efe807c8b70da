"""What fast paths do to real speech: streamed, batched, bfloat16, fp8 keys and values, beside the plain path.

    python -m benchmarks.fast_paths FOLDER [--sentences 16] [--device cpu] [--output FILE.jsonl]

FOLDER is an English XTTS submission with trained weights, such as models_store/demo/submissions/demo: random
weights have equal paths too, but neither a recogniser's opinion nor a decay to speak of. The plain path is
one utterance at a time, in float32, vocoded at once. Prints a JSON line per path (largest difference of a
sample, signal-to-noise ratio, sentences of the same length, character error). Where rounding may lead to
other tokens, and so to other audio, a second line says what it does while the plain path's tokens are said:
to latents, and to the odds of the next token. Then one per halo: how far samples are from those of the whole
utterance if windows get so many frames of context.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr
import torch
from torch import Tensor

from benchmarks.chunks import spans
from benchmarks.engine_steps import own_voice
from models_store.demo.recipe.evaluate import RATE_HZ, character_error
from models_store.demo.recipe.sentences import held_out
from models_store.store import ModelsStore
from models_store.submission import SubmissionFiles
from providers import registry
from providers.decoding.backend import BackendOptions
from providers.decoding.blocks import run_blocks
from providers.decoding.plain import PlainBackend
from providers.interface import (
    Admission,
    EngineSettings,
    Samples,
    Span,
    Utterance,
)
from providers.xtts.conditioning import XttsConditioning
from providers.xtts.engine import XttsEngine
from providers.xtts.latent_frames import LatentFrames
from providers.xtts.latent_vocoder import LatentVocoder, SpanRequest, prepare_vocoder
from providers.xtts.provider import XttsProvider
from server.scheduling.scheduler import Policy

SEED = 7
HALOS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16)  # frames on either side
KEPT_FRAMES = 32  # of each window whose halo is tried


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        store = ModelsStore(Path(scratch))
        files = store.files(store.submit(arguments.folder, "measured").submission.id)
        lines = []
        for record in measure(files, arguments.device, held_out()[: arguments.sentences]):
            lines.append(json.dumps(record))
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


def measure(files: SubmissionFiles, device: str, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    plain = Speaker(files, device, "float32", texts)
    alone = [plain.speak([i])[0] for i in range(len(texts))]
    waves = [spoken.samples for spoken in alone]
    rate = plain.sample_rate_hz
    yield {"path": "plain", **compared(texts, waves, waves, rate)}
    yield {"path": "streamed", **compared(texts, [plain.stream(i) for i in range(len(texts))], waves, rate)}
    batched = [spoken.samples for spoken in plain.speak(range(len(texts)))]
    yield {"path": f"batch of {len(texts)}", **compared(texts, batched, waves, rate)}
    half = Speaker(files, device, "bfloat16", texts)
    eight_bits = Speaker(files, device, "float32", texts, kv_cache="fp8")
    for path, speaker in (("fp8 keys and values", eight_bits), ("bfloat16", half)):
        made = [speaker.speak([i])[0].samples for i in range(len(texts))]
        yield {"path": path, **compared(texts, made, waves, rate)}
        yield {"path": f"{path}, the same tokens", **forced(speaker, plain, [one.tokens for one in alone])}
    latents = [spoken.latents for spoken in alone]
    vocoded = [half.vocode(spoken) for spoken in latents]
    yield {"path": "bfloat16 vocoder, float32 latents", **compared(texts, vocoded, waves, rate)}
    yield from halo_decay(plain, latents[: len(texts) // 2])


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    samples: Samples
    tokens: Tensor  # [tokens]
    latents: Tensor  # [tokens, channels]


class Speaker:
    """An engine with one submission and its own voice; texts are told by their index."""

    def __init__(
        self,
        files: SubmissionFiles,
        device: str,
        dtype: Literal["float32", "bfloat16"],
        texts: Sequence[str],
        kv_cache: Literal["auto", "fp8"] = "auto",
    ) -> None:
        settings = EngineSettings(device=device, dtype=dtype, num_slots=len(texts), kv_cache=kv_cache)
        provider = XttsProvider()
        weights, architecture = provider.read_weights(files, settings), provider.architecture(files)
        self._engine = XttsEngine(architecture, settings)
        self._engine.load(weights)
        conditioning = self._engine.condition(files.submission.id, own_voice(files))
        front_end = registry.text_front_end(files)
        self._admissions = [
            Admission(
                Utterance(
                    request_id=str(i),
                    index=0,
                    submission_id=files.submission.id,
                    voice_id=files.submission.voice.id,
                    prompt=front_end.prompts(text, "en")[0],
                    sampling=replace(front_end.default_sampling, seed=SEED),
                ),
                conditioning,
            )
            for i, text in enumerate(texts)
        ]
        self.sample_rate_hz = self._engine.spec.sample_rate_hz
        self.speaker_embedding = conditioning.speaker_embedding
        self.architecture = architecture
        tensors = prepare_vocoder(weights.tensors(), architecture, getattr(torch, dtype))
        self.vocoder = LatentVocoder(architecture, {name: t.to(device) for name, t in tensors.items()})

    def speak(self, texts: Sequence[int]) -> list[Spoken]:
        """All at once, each vocoded whole."""
        slots = list(range(len(texts)))
        self._engine.prefill({slot: self._admissions[i] for slot, i in enumerate(texts)})
        made = self._engine.decode(slots, self._engine.spec.max_tokens)
        waves = self._engine.vocode({slot: Span(0, made[slot].num_tokens, is_last=True) for slot in slots})
        decoder = self._engine._decoder  # latents don't cross the seam
        latents = [decoder.latents(slot, 0, made[slot].num_tokens).float().clone() for slot in slots]
        tokens = [decoder.tokens(slot, 0, made[slot].num_tokens).clone() for slot in slots]
        self._engine.release(slots)
        return [Spoken(waves[slot], tokens[slot], latents[slot]) for slot in slots]

    @torch.inference_mode()
    def force(self, text: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [n, channels] and logits [n, vocabulary] of n tokens, whatever it would have said itself.

        By the plain path, as one prompt: it rounds what it caches as its steps do.
        """
        decoder, (utterance, conditioning) = self._engine._decoder, self._admissions[text]
        assert isinstance(conditioning, XttsConditioning)
        gpt = self._engine._residents[utterance.submission_id].gpt
        prompt = self._engine._prefill_input(utterance, gpt, conditioning)
        said = gpt.decoder.embed(tokens, torch.arange(1, len(tokens) + 1, device=tokens.device))
        prompt = replace(prompt, embeddings=torch.cat((prompt.embeddings, said)))
        plain = PlainBackend(decoder.spec, tokens.device, said.dtype, BackendOptions(num_slots=1))
        inputs = prompt.embeddings[: prompt.num_run]
        hidden = run_blocks(gpt.decoder, inputs, plain._prompt_attention(0, prompt))
        latents = gpt.decoder.latents(hidden)[-len(tokens) :]
        return latents, gpt.decoder.head(latents)

    def stream(self, text: int) -> Samples:
        """In the chunks that the server's scheduler takes on a GPU."""
        self._engine.prefill({0: self._admissions[text]})
        chunks: list[Samples] = []
        for start, stop in spans(self._engine.spec.max_tokens, Policy().chunk_tokens):
            progress = self._engine.decode([0], stop - start)[0]
            is_last = progress.finished is not None
            span = Span(start, progress.num_tokens if is_last else stop, is_last)
            chunks.append(self._engine.vocode({0: span})[0])
            if is_last:
                break
        self._engine.release([0])
        return np.concatenate(chunks)

    def vocode(self, latents: Tensor) -> Samples:
        request = SpanRequest(Span(0, len(latents), is_last=True), latents, self.speaker_embedding)
        wave: Samples = self.vocoder.vocode([request])[0].cpu().numpy()
        return wave


def compared(
    texts: Sequence[str], made: Sequence[Samples], plain: Sequence[Samples], rate_hz: int
) -> dict[str, Any]:
    """Differences where the lengths are the same, and the recogniser's opinion of all sentences."""
    same = [(a, b) for a, b in zip(made, plain, strict=True) if len(a) == len(b)]
    error = np.concatenate([a - b for a, b in same]) if same else np.zeros(1)
    signal = np.concatenate([b for _, b in same]) if same else np.zeros(1)
    noise = float(np.square(error).mean())
    return {
        "sentences": len(texts),
        "same_length": len(same),
        "largest_difference": float(np.abs(error).max()),
        "snr_db": 10 * np.log10(float(np.square(signal).mean()) / noise) if noise else None,
        "character_error": character_error(texts, [soxr.resample(s, rate_hz, RATE_HZ) for s in made]),
    }


def forced(speaker: Speaker, plain: Speaker, said: Sequence[Tensor]) -> dict[str, Any]:
    """What a path makes of latents and odds while it says another's tokens, one tensor [n] per text."""
    snrs, agreements, divergences = [], [], []
    for i, tokens in enumerate(said):
        (latents, logits), (exact, odds) = (one.force(i, tokens) for one in (speaker, plain))
        noise = (latents - exact).square().sum()
        snrs.append(float(10 * torch.log10(exact.square().sum() / noise)))
        agreements.append(logits.argmax(dim=1) == odds.argmax(dim=1))
        found, expected = logits.log_softmax(dim=1), odds.log_softmax(dim=1)
        divergences.append((expected.exp() * (expected - found)).sum(dim=1))
    divergence = torch.cat(divergences)
    return {
        "tokens": len(divergence),
        "least_latents_snr_db": min(snrs),
        "same_likeliest": float(torch.cat(agreements).float().mean()),
        "mean_divergence_nats": float(divergence.mean()),
        "largest_divergence_nats": float(divergence.max()),
    }


def halo_decay(speaker: Speaker, utterances: Sequence[Tensor]) -> Iterator[dict[str, Any]]:
    """Windows of KEPT_FRAMES frames with some context, against the same frames of the whole utterance."""
    generator = speaker.vocoder.generator
    frames_at = LatentFrames.at_speed(1.0, speaker.architecture)
    errors: dict[int, list[float]] = {halo: [] for halo in HALOS}
    embedding = speaker.speaker_embedding[None]
    for latents in utterances:
        num_frames = frames_at.num_known(len(latents), is_last=True)
        first, matrix = frames_at.weights(0, num_frames, num_latents=len(latents))
        frames = (torch.from_numpy(matrix).to(latents.device) @ latents[first:])[None]
        whole = generator(frames, embedding)[0]
        for start in range(max(HALOS), num_frames - KEPT_FRAMES - max(HALOS), KEPT_FRAMES):
            for halo in HALOS:
                window = frames[:, start - halo : start + KEPT_FRAMES + halo]
                kept = slice(
                    halo * generator.samples_per_frame, (halo + KEPT_FRAMES) * generator.samples_per_frame
                )
                wave = generator(window, embedding)[0, kept]
                expected = whole[start * generator.samples_per_frame :][: len(wave)]
                errors[halo].append(float((wave - expected).abs().max()))
    field = generator.receptive_field
    for halo, found in errors.items():
        yield {
            "halo_frames": halo,
            "largest_difference": max(found),
            "median_of_windows": float(np.median(found)),
            "windows": len(found),
            "receptive_field": list(field),
        }


if __name__ == "__main__":
    main()
