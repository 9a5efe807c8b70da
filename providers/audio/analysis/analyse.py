"""A recording → every measurement of it, in one pass over its samples and a few looks back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models_store.sandbox import ResourceLimits, SandboxFailure, run_confined
from providers.audio.analysis.activity import Activity, VoiceActivity, speech_stretches
from providers.audio.analysis.fingerprint import Fingerprint, Fingerprinting
from providers.audio.analysis.loudness import Loudness
from providers.audio.analysis.measurements import MEASUREMENTS, Moment, Value
from providers.audio.analysis.models import ModelMissing
from providers.audio.analysis.noise import frame_power, measure_noise, noisy_moments
from providers.audio.analysis.quality import predict_opinions
from providers.audio.analysis.report import Analysis
from providers.audio.analysis.reverberation import decay_time_s
from providers.audio.analysis.rules import bound_of
from providers.audio.analysis.speaker import measure_speakers
from providers.audio.analysis.spectrum import BandLevels, Tones
from providers.audio.analysis.track import Track

Samples = NDArray[np.float32]
OnProgress = Callable[[float], None]  # share that is done

# Four hours of 48 kHz as mono float32, beside the interpreter and the decoders' libraries.
LIMITS = ResourceLimits(memory_bytes=2 << 30, cpu_s=1_800, file_bytes=4 << 30, timeout_s=3_600.0)
WAVEFORM_POINTS = 1_200  # of the picture: pairs of lowest and highest


def analyse(
    recording: Path, scratch: Path, progress: OnProgress = lambda _: None, opinions: bool = True
) -> tuple[Analysis, Fingerprint]:
    """Everything but duplicates, and the fingerprint that tells them. `scratch` takes the mono samples.

    Without `opinions` DNSMOS isn't asked: it takes most of the time. Raises OSError where the disk fails.
    """
    track_path = scratch / "track"
    track_path.unlink(missing_ok=True)
    try:
        read = run_confined(
            "providers.audio.analysis.container:read_wav",
            inputs={"recording": recording},
            outputs={"track": track_path},
            arguments={},
            limits=LIMITS,
        ).result
    except SandboxFailure as failure:
        read = {"not_wav": f"a file whose decoder {failure.found}"}
    try:
        return analyse_track(read, track_path, progress, opinions)
    finally:
        track_path.unlink(missing_ok=True)


def analyse_track(
    read: dict[str, object], track_path: Path, progress: OnProgress, opinions: bool
) -> tuple[Analysis, Fingerprint]:
    """What the sandbox's `read_wav` said and wrote → the analysis."""
    if "not_wav" in read:
        return Analysis({}, not_wav=str(read["not_wav"])), np.zeros(0, np.uint32)
    described, levels, moments = read["format"], read["levels"], read["moments"]
    assert isinstance(described, dict)
    assert isinstance(levels, dict)
    assert isinstance(moments, list)
    listened = _listen(Track(track_path, described["sample_rate_hz"]), progress, opinions)
    everything = described | levels | listened.measurements
    return Analysis(
        {name: everything.get(name) for name in MEASUREMENTS},
        (*(Moment(**moment) for moment in moments), *listened.moments),
        listened.speech,
        listened.waveform,
        listened.unmeasured,
    ), listened.fingerprint


@dataclass(frozen=True, slots=True)
class _Listened:
    measurements: dict[str, Value]
    moments: tuple[Moment, ...]
    speech: tuple[tuple[float, float], ...]
    waveform: tuple[float, ...]
    unmeasured: tuple[str, ...]
    fingerprint: Fingerprint


def _listen(track: Track, progress: OnProgress, opinions: bool) -> _Listened:
    heard = _Pass(track)
    for native, at_16k in track.blocks():
        heard.feed(native, at_16k)
        progress(0.7 * heard.done)
    activity = speech_stretches(heard.probabilities(), track.duration_s)
    measurements, moments = heard.measure(activity)
    unmeasured: list[str] = []
    if activity.speech:
        try:
            speakers = measure_speakers(track.at_16k, activity)
            measurements |= speakers.measurements()
            moments += speakers.moments
        except ModelMissing:
            unmeasured += ["speaker_consistency", "second_speaker_share"]
        progress(0.85)
        if opinions:
            try:
                measurements |= predict_opinions(track.at_16k, track.num_samples_16k)
            except ModelMissing:
                unmeasured += ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808"]
    progress(1.0)
    return _Listened(
        measurements,
        moments,
        activity.speech,
        heard.waveform(),
        tuple(unmeasured),
        heard.fingerprint.result(),
    )


class _Pass:
    """What is gathered while the samples go by."""

    def __init__(self, track: Track) -> None:
        rate_hz = track.sample_rate_hz
        self._track = track
        self._activity = VoiceActivity()
        self._loudness = Loudness(rate_hz)
        self._bands = BandLevels(rate_hz)
        self._tones = Tones()
        self.fingerprint = Fingerprinting()
        self._probabilities: list[Samples] = []
        self._power: list[Samples] = []
        self._hop = round(rate_hz * 0.01)
        self._piece = max(1, track.num_samples // WAVEFORM_POINTS)
        self._rest = np.zeros(0, np.float32)
        self._drawn: list[Samples] = []
        self._undrawn = np.zeros(0, np.float32)
        self._samples = 0

    @property
    def done(self) -> float:
        return self._samples / max(1, self._track.num_samples)

    def feed(self, native: Samples, at_16k: Samples) -> None:
        self._samples += len(native)
        self._loudness.feed(native)
        self._bands.feed(native)
        samples = np.concatenate([self._rest, native])
        self._power.append(frame_power(samples, self._track.sample_rate_hz))
        self._rest = samples[len(samples) // self._hop * self._hop :]
        self._draw(native)
        if len(at_16k):
            self._probabilities.append(self._activity.feed(at_16k))
            self._tones.feed(at_16k)
            self.fingerprint.feed(at_16k)

    def probabilities(self) -> Samples:
        return np.concatenate([*self._probabilities, np.zeros(0, np.float32)])

    def measure(self, activity: Activity) -> tuple[dict[str, Value], tuple[Moment, ...]]:
        power = np.concatenate([*self._power, np.zeros(0, np.float32)])
        noise = measure_noise(power, activity)
        music_share, music = self._tones.music(activity)
        measurements: dict[str, Value] = {
            "loudness_lufs": self._loudness.integrated_lufs(),
            **activity.measurements(),
            "bandwidth_hz": self._bands.bandwidth_hz(activity),
            "tone_prominence_db": self._tones.prominence_db(),
            "music_share": music_share,
        }
        moments = (*activity.moments(), *music, *self._tones.tone_moments(bound_of("tone")))
        if noise is not None:
            measurements |= noise.measurements()
            measurements["reverberation_s"] = decay_time_s(power, activity, noise.floor_power)
            moments += noisy_moments(power, activity, noise, bound_of("snr"))
        return measurements, moments

    def waveform(self) -> tuple[float, ...]:
        pairs = np.concatenate([*self._drawn, np.zeros((0, 2), np.float32)])
        return tuple(round(float(value), 3) for value in pairs.reshape(-1))

    def _draw(self, native: Samples) -> None:
        samples = np.concatenate([self._undrawn, native])
        pieces = samples[: len(samples) // self._piece * self._piece].reshape(-1, self._piece)
        self._drawn.append(np.stack([pieces.min(axis=1), pieces.max(axis=1)], axis=1))
        self._undrawn = samples[pieces.size :]
