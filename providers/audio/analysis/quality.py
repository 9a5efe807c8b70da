"""DNSMOS: what listeners would say of the speech, of the background and of both, as two models predict it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from providers.audio.analysis.activity import RATE_HZ
from providers.audio.analysis.measurements import Value
from providers.audio.analysis.mel_power import mel_power
from providers.audio.analysis.models import session

Samples = NDArray[np.float32]

WINDOW = 144_160  # 9.01 s, what both models take
MAX_WINDOWS = 8  # evenly over the recording: more of an hour wouldn't move the mean
P808_FRAMES = 900
RANGE_DB = 80.0  # below the loudest: nothing
# From the models' outputs to opinion scores: the polynomials published with them, highest power first.
CALIBRATION = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def predict_opinions(read: Callable[[int, int], Samples], length: int) -> dict[str, Value]:
    """`read(start, stop)` gives samples at 16 kHz of a recording of that length; needs one at least."""
    scores = [opinions(_filled(read(start, min(length, start + WINDOW)))) for start in _starts(length)]
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def opinions(window: Samples) -> dict[str, float]:
    """Of 9.01 s at 16 kHz."""
    p835 = session("speechmos", "dnsmos_models/sig_bak_ovr.onnx")
    p808 = session("speechmos", "dnsmos_models/model_v8.onnx")
    raw = p835.run(None, {"input_1": window[None]})[0][0]
    calibrated = zip(CALIBRATION.items(), raw, strict=True)
    scores = {name: float(np.polyval(coefficients, value)) for (name, coefficients), value in calibrated}
    scores["dnsmos_p808"] = float(p808.run(None, {"input_1": _p808_features(window)})[0][0][0])
    return scores


def _p808_features(window: Samples) -> Samples:
    """[1, 900, 120]: log mels relative to the loudest, from -40 dB to 0 as 0 to 1."""
    power = mel_power(window[:-160], RATE_HZ, fft_length=321, hop=160, num_mels=120)
    levels = 10 * np.log10(np.maximum(power, 1e-10))
    levels = np.maximum(levels - levels.max(), -RANGE_DB)
    return np.asarray((levels + 40) / 40, np.float32)[None, :P808_FRAMES]


def _starts(length: int) -> list[int]:
    count = int(np.clip(length // WINDOW, 1, MAX_WINDOWS))
    return np.linspace(0, max(0, length - WINDOW), count).astype(int).tolist()


def _filled(samples: Samples) -> Samples:
    """Repeated to the models' length, as published, and within [-1, 1]."""
    repeated = np.resize(samples, WINDOW) if len(samples) < WINDOW else samples[:WINDOW]
    return np.asarray(repeated / max(1.0, float(np.abs(repeated).max())), np.float32)
