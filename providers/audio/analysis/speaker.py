"""Whether one person speaks: embeddings of voiced windows, and whether they fall into two clusters.

The encoder is GE2E's: three LSTM layers over 40 mels. In numpy it costs no import of torch, and its weights
are read by the reader of untrusted checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models_store.checkpoints.reader import read_checkpoint
from models_store.checkpoints.stored_tensor import whole
from providers.audio.analysis.activity import RATE_HZ, Activity
from providers.audio.analysis.levels import merged
from providers.audio.analysis.measurements import Moment, Value
from providers.audio.analysis.mel_power import mel_power
from providers.audio.analysis.models import packaged_file

Array = NDArray[np.float32]

WINDOW_S, HOP_S = 1.6, 0.8
WINDOW_FRAMES = 160
NUM_MELS, FFT_LENGTH, MEL_HOP = 40, 400, 160
NUM_LAYERS, HIDDEN = 3, 256
LSTM_TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
LEVEL_DBFS = -30.0  # softer windows are raised to it, as in the encoder's training
VOICED_SHARE = 0.6
MAX_WINDOWS = 480
BATCH = 32
MAX_MOMENTS = 20
MIN_CLUSTER = 3  # windows
# Set from the labelled set of the tests. Two voices' clusters are always nearer than the first; up to the
# second they are two voices only where they take turns, while one voice's windows fall into clusters in no
# order (runs test of Wald and Wolfowitz 1940).
APART_COSINE, NEAR_COSINE = 0.65, 0.82
TURNS_Z = -2.0


class Speakers(NamedTuple):
    consistency: float | None
    second_share: float | None
    moments: tuple[Moment, ...]

    def measurements(self) -> dict[str, Value]:
        return {"speaker_consistency": self.consistency, "second_speaker_share": self.second_share}


def measure_speakers(read: Callable[[int, int], Array], activity: Activity) -> Speakers:
    """`read(start, stop)` gives samples at 16 kHz. Needs two voiced windows, else nothing is said."""
    starts_s = voiced_windows(activity)
    if len(starts_s) < 2 * MIN_CLUSTER:
        return Speakers(None, None, ())
    length = round(WINDOW_S * RATE_HZ)
    begins = [round(start_s * RATE_HZ) for start_s in starts_s]
    embeddings = embed(read(begin, begin + length) for begin in begins)
    mean = _unit(embeddings.mean(axis=0))
    second = second_cluster(embeddings)
    where = [
        (start_s, start_s + WINDOW_S)
        for start_s, is_second in zip(starts_s, second, strict=True)
        if is_second
    ]
    stretches = merged(where, HOP_S)[:MAX_MOMENTS]
    return Speakers(
        float((embeddings @ mean).mean()),
        float(second.mean()),
        tuple(Moment("second_speaker_share", *each) for each in stretches),
    )


def voiced_windows(activity: Activity) -> list[float]:
    """Starts in s of windows that are mostly speech, evenly chosen where there are very many."""
    starts = np.arange(0, max(0.0, activity.duration_s - WINDOW_S) + 1e-6, HOP_S)
    mask = activity.mask(round(activity.duration_s / 0.01) + 1, 0.01)
    voiced = np.concatenate([[0], np.cumsum(mask)])
    frames = (starts / 0.01).astype(int)
    share = (voiced[np.minimum(frames + WINDOW_FRAMES, len(mask))] - voiced[frames]) / WINDOW_FRAMES
    kept = starts[share >= VOICED_SHARE]
    if len(kept) > MAX_WINDOWS:
        kept = kept[np.linspace(0, len(kept) - 1, MAX_WINDOWS).astype(int)]
    return [float(start) for start in kept]


def embed(windows: Iterable[Array]) -> Array:
    """Windows of 1.6 s at 16 kHz, one at least → embeddings [windows, 256] of length 1."""
    coming = iter(windows)
    embedded = []
    while batch := [_mels(window) for window in islice(coming, BATCH)]:
        embedded.append(_embed_batch(np.stack(batch)))
    return np.concatenate(embedded)


def second_cluster(embeddings: Array) -> NDArray[np.bool_]:
    """Which windows [n] are a second speaker's: none unless two clusters lie apart."""
    nobody = np.zeros(len(embeddings), bool)
    farthest = np.unravel_index(np.argmin(embeddings @ embeddings.T), (len(embeddings),) * 2)
    centres = embeddings[list(farthest)]
    for _ in range(20):
        is_second = embeddings @ centres[1] > embeddings @ centres[0]
        if min(is_second.sum(), (~is_second).sum()) < MIN_CLUSTER:
            return nobody
        centres = np.stack([_unit(embeddings[which].mean(axis=0)) for which in (~is_second, is_second)])
    cosine = float(centres[0] @ centres[1])
    if cosine >= (NEAR_COSINE if turns_z(is_second) < TURNS_Z else APART_COSINE):
        return nobody
    return np.asarray(is_second if is_second.sum() * 2 <= len(embeddings) else ~is_second)


def turns_z(labels: NDArray[np.bool_]) -> float:
    """How many fewer runs there are than by chance, in standard deviations (negative: they take turns)."""
    n, first = len(labels), int(labels.sum())
    products = 2.0 * first * (n - first)
    runs = 1 + int((labels[1:] != labels[:-1]).sum())
    variance = products * (products - n) / (n * n * (n - 1))
    return (runs - products / n - 1) / float(np.sqrt(max(variance, 1e-9)))


def _mels(window: Array) -> Array:
    length = round(WINDOW_S * RATE_HZ)
    padded = np.zeros(length, np.float32)
    padded[: len(window)] = window[:length]
    rms = float(np.sqrt(np.mean(np.square(padded)))) + 1e-9
    raised = padded * max(1.0, 10 ** (LEVEL_DBFS / 20) / rms)
    return mel_power(raised, RATE_HZ, FFT_LENGTH, MEL_HOP, NUM_MELS)[:WINDOW_FRAMES]


def _embed_batch(mels: Array) -> Array:
    """[batch, frames, mels] → [batch, 256]."""
    weights = _weights()
    sequence = mels.transpose(1, 0, 2)
    for layer in range(NUM_LAYERS):
        sequence = _lstm(sequence, *(weights[f"lstm.{name}_l{layer}"] for name in LSTM_TENSORS))
    last = np.maximum(sequence[-1] @ weights["linear.weight"].T + weights["linear.bias"], 0)
    return np.asarray(last / np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-9), np.float32)


def _lstm(inputs: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> Array:
    """[frames, batch, features] → hidden states [frames, batch, HIDDEN]; gates in PyTorch's order i f g o."""
    projected = inputs @ weight_ih.T + (bias_ih + bias_hh)
    recurrent = np.ascontiguousarray(weight_hh.T)
    hidden = cell = np.zeros((inputs.shape[1], HIDDEN), np.float32)
    outputs = np.empty((*inputs.shape[:2], HIDDEN), np.float32)
    for t, step in enumerate(projected):
        i, f, g, o = np.split(step + hidden @ recurrent, 4, axis=1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        hidden = outputs[t] = _sigmoid(o) * np.tanh(cell)
    return outputs


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)


def _unit(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


@lru_cache(maxsize=1)
def _weights() -> dict[str, Array]:
    """Raises ModelMissing."""
    descriptor = os.open(packaged_file("resemblyzer", "pretrained.pt"), os.O_RDONLY)
    try:
        checkpoint = read_checkpoint(descriptor)
        state = checkpoint.value["model_state"]
        names = [name for name in state if name.startswith(("lstm.", "linear."))]
        return {
            name: whole(descriptor, checkpoint.extents[state[name].storage.key], state[name])
            for name in names
        }
    finally:
        os.close(descriptor)
