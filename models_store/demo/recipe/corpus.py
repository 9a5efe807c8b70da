"""The corpus: shards of utterances, made on all cores; a shard that exists is not made again."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models_store.demo.recipe.sentences import sentences
from models_store.demo.recipe.synthesiser import Voice
from models_store.demo.recipe.tokens import FRAMES, MEL_BINS, LogMel, Patches, Projection, patches

SPEAKERS = ("slt", "rms", "awb")
SHARES = (0.42, 0.33, 0.25)  # of the utterances
CORPUS_RATE_HZ = 16_000  # of the voices
SHARD = 500  # utterances
WITH_AUDIO = 14  # shards that keep their samples, for the vocoder and the references
PROJECTION_SHARDS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    text: str
    speaker: int
    tokens: NDArray[np.int16]  # [patches]
    next_phones: NDArray[np.int16]  # [patches]
    chars: NDArray[np.int16]  # [patches]: indices into text
    features: NDArray[np.float16]  # [patches, FEATURES]
    samples: NDArray[np.int16] | None  # 16 kHz


def make_corpus(folder: Path, num_shards: int, processes: int) -> None:
    """`num_shards` shards of SHARD utterances, 0.47 h of speech each; a core makes 70 s of it a second."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(num_shards) if not shard_path(folder, i).exists()]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        for i, index in enumerate(pool.imap(_ShardMaker(folder), missing), start=1):
            print(f"corpus: shard {index} ({i} of {len(missing)})", flush=True)


def shard_path(folder: Path, index: int) -> Path:
    return folder / f"{index:04d}.npz"


class _ShardMaker:
    """Makes one shard after another in a process of the pool, each from a seed of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, index: int) -> int:
        torch.set_num_threads(1)
        rng = random.Random(index)
        voices, spectrogram = [Voice(name) for name in SPEAKERS], LogMel()
        rows: list[tuple[str, int, Patches]] = []
        for text in islice(sentences(seed=1000 + index), SHARD):
            speaker = rng.choices(range(len(SPEAKERS)), SHARES)[0]
            if (made := patches(text, voices[speaker].speak(text), spectrogram)) is not None:
                rows.append((text, speaker, made))
        path = shard_path(self._folder, index)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **_arrays(rows, with_audio=index < WITH_AUDIO))
        partial.rename(path)
        return index


def _arrays(rows: list[tuple[str, int, Patches]], *, with_audio: bool) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "text": np.array([text for text, _, _ in rows]),
        "speaker": np.array([speaker for _, speaker, _ in rows], np.int8),
        "patches": np.array([len(row.tokens) for _, _, row in rows], np.int32),
    }
    for name in ("log_mel", "pitch_hz", "tokens", "next_phones", "chars"):
        arrays[name] = np.concatenate([getattr(row, name) for _, _, row in rows])
    if with_audio:
        arrays["samples"] = np.concatenate([row.samples for _, _, row in rows])
        arrays["num_samples"] = np.array([len(row.samples) for _, _, row in rows])
    return arrays


def fit_projection(folder: Path) -> Projection:
    """From patches of the first shards; made once."""
    path = folder / "projection.npz"
    if not path.exists():
        rng, chosen = np.random.default_rng(0), []
        for index in range(PROJECTION_SHARDS):
            flat = np.load(shard_path(folder, index))["log_mel"].reshape(-1, FRAMES * MEL_BINS)
            chosen.append(flat[rng.choice(len(flat), min(15_000, len(flat)), replace=False)])
        Projection.fit(np.concatenate(chosen).astype(np.float32)).save(path)
    return Projection.load(path)


def read_shard(path: Path, projection: Projection) -> Iterator[Utterance]:
    shard = np.load(path)
    lengths = shard["patches"]
    features = projection.features(shard["log_mel"], shard["pitch_hz"], lengths)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    tokens, next_phones, chars = shard["tokens"], shard["next_phones"], shard["chars"]
    samples = np.split(shard["samples"], np.cumsum(shard["num_samples"])[:-1]) if "samples" in shard else None
    for i, (start, stop) in enumerate(pairwise(bounds)):
        yield Utterance(
            text=str(shard["text"][i]),
            speaker=int(shard["speaker"][i]),
            tokens=tokens[start:stop].copy(),
            next_phones=next_phones[start:stop].copy(),
            chars=chars[start:stop].copy(),
            features=features[start:stop].copy(),
            samples=None if samples is None else samples[i].copy(),
        )
