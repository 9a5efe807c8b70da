"""Every measurement of a recording: its name, unit, range, method and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = float | str | None  # None: it could not be measured, as without any speech


@dataclass(frozen=True, slots=True)
class Measurement:
    unit: str  # "" where it has none
    range: str
    method: str
    source: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of the recording that a measurement is about."""

    measurement: str
    start_s: float
    end_s: float


_HEADER = "the file's own header, read by libsndfile"
_OURS = "ours"
_SILERO = "Silero VAD 6 (MIT), its packaged ONNX model"
_P835 = "DNSMOS P.835, Reddy et al. 2022, arXiv 2110.01763; the packaged model of `speechmos`"
_GE2E = "Wan et al. 2018, arXiv 1710.10467; the packaged weights of Resemblyzer"

MEASUREMENTS = {
    "container": Measurement("", "WAV, RF64 or what else the file is", "magic numbers and decoders", _HEADER),
    "codec": Measurement("", "pcm, float, a-law …", "the format chunk", _HEADER),
    "sample_rate_hz": Measurement("Hz", "8,000 to 192,000", "the format chunk", _HEADER),
    "channels": Measurement("", "1 to 32", "the format chunk", _HEADER),
    "bit_depth": Measurement("bit", "8 to 64", "the format chunk", _HEADER),
    "duration_s": Measurement("s", "from 0", "samples over sample rate", _HEADER),
    "peak_dbfs": Measurement("dBFS", "-120 to 0", "the largest sample of any channel", "AES17"),
    "clipping_share": Measurement(
        "", "0 to 1", "samples in flat tops: three or more at full scale, or equal and loud", _OURS
    ),
    "longest_clipping_run": Measurement("samples", "from 0", "the longest flat top", _OURS),
    "loudness_lufs": Measurement("LUFS", "-70 to 0", "K-weighted, gated", "ITU-R BS.1770-4, by pyloudnorm"),
    "speech_s": Measurement("s", "0 to the duration", "stretches that are speech", _SILERO),
    "speech_share": Measurement("", "0 to 1", "speech over duration", _SILERO),
    "longest_silence_s": Measurement("s", "0 to the duration", "longest stretch without speech", _SILERO),
    "noise_floor_dbfs": Measurement(
        "dBFS", "-100 to 0", "median level of 10 ms frames outside speech", "ITU-T P.56's idea, " + _SILERO
    ),
    "snr_db": Measurement(
        "dB", "-10 to 100", "power inside speech over mean power outside it", "ITU-T P.56's idea, " + _SILERO
    ),
    "bandwidth_hz": Measurement(
        "Hz",
        "0 to half the sample rate",
        "highest frequency within 60 dB of the loudest, in the loudest twentieth of the frames of speech",
        _OURS,
    ),
    "reverberation_s": Measurement(
        "s",
        "0.05 to 5",
        "time of a 60 dB decay, from how the level falls where speech pauses: the median of the pauses",
        "ISO 3382's evaluation of a decay, on speech: " + _OURS,
    ),
    "tone_prominence_db": Measurement(
        "dB", "0 to 100", "a constant tone over its spectral neighbourhood, in the worst 16 s", _OURS
    ),
    "music_share": Measurement("", "0 to 1", "sustained tones, as a share of what isn't speech", _OURS),
    "dnsmos_sig": Measurement("MOS", "1 to 5", "predicted quality of the speech", _P835),
    "dnsmos_bak": Measurement("MOS", "1 to 5", "predicted quality of the background", _P835),
    "dnsmos_ovrl": Measurement("MOS", "1 to 5", "predicted overall quality", _P835),
    "dnsmos_p808": Measurement(
        "MOS",
        "1 to 5",
        "predicted overall quality",
        "DNSMOS, Reddy et al. 2021, arXiv 2010.15258; `speechmos`",
    ),
    "speaker_consistency": Measurement(
        "", "-1 to 1", "mean cosine of each voiced window's embedding to their mean", _GE2E
    ),
    "second_speaker_share": Measurement(
        "", "0 to 0.5", "voiced windows in a second cluster of embeddings, where there are two", _GE2E
    ),
    "duplicate_share": Measurement(
        "",
        "0 to 1",
        "share that matches one stored recording, bit errors under 0.35 in 3 s",
        "Haitsma and Kalker 2002",
    ),
}
