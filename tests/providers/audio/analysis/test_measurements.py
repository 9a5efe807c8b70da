"""Each measurement against the library that it follows, and each in blocks against it in one piece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import torch

from providers.audio.analysis.activity import FRAME, VoiceActivity, speech_stretches
from providers.audio.analysis.analyse import analyse
from providers.audio.analysis.levels import Levels
from providers.audio.analysis.loudness import Loudness
from providers.audio.analysis.measurements import MEASUREMENTS
from providers.audio.analysis.mel_power import mel_power
from providers.audio.analysis.models import ModelMissing, packaged_file
from providers.audio.analysis.quality import WINDOW, opinions
from providers.audio.analysis.rules import RULES
from providers.audio.analysis.speaker import embed, turns_z
from providers.audio.analysis.track import Track
from providers.audio.analysis.verdict import judge

RATE_HZ = 24_000


def in_blocks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def test_loudness_is_pyloudnorms(speak: Callable[[str], np.ndarray]) -> None:
    samples = speak("rms")
    loudness = Loudness(RATE_HZ)
    for block in in_blocks(samples, 7_001):
        loudness.feed(block)
    expected = pyloudnorm.Meter(RATE_HZ).integrated_loudness(samples.astype(np.float64))
    assert loudness.integrated_lufs() == pytest.approx(expected, abs=0.02)


def test_silence_has_no_loudness() -> None:
    loudness = Loudness(RATE_HZ)
    loudness.feed(np.zeros(RATE_HZ, np.float32))
    assert loudness.integrated_lufs() is None


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_clipping_is_counted_across_blocks(size: int) -> None:
    samples = np.zeros((300, 2), np.float32)
    samples[10:30, 0] = 1.0  # at full scale
    samples[90:140, 1] = -0.6  # turned down again
    samples[200:202, 0] = 1.0  # too short for a flat top
    samples[250:290, 0] = 0.1  # too soft
    levels = Levels(1_000, is_linear=True)
    for block in in_blocks(samples, size):
        levels.feed(block)
    assert (levels.clipped, levels.longest_run, levels.peak) == (70, 50, 1.0)
    assert levels.clipping_share == pytest.approx(70 / 600)
    assert [(moment.start_s, moment.end_s) for moment in levels.moments()] == [(0.0, 0.25)]


def test_coarse_codecs_repeat_samples_without_clipping() -> None:
    samples = np.full((100, 1), 0.5, np.float32)
    levels = Levels(8_000, is_linear=False)
    levels.feed(samples)
    assert levels.clipped == 0


def test_mel_spectrograms_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    for fft_length, num_mels in ((321, 120), (400, 40)):
        expected = librosa.feature.melspectrogram(
            y=samples, sr=16_000, n_fft=fft_length, hop_length=160, n_mels=num_mels
        )
        found = mel_power(samples, 16_000, fft_length, 160, num_mels)
        np.testing.assert_allclose(found, expected.T, rtol=1e-3, atol=1e-5)


def test_the_speaker_encoder_is_pytorchs(speak: Callable[[str], np.ndarray]) -> None:
    weights = torch.load(packaged_file("resemblyzer", "pretrained.pt"), map_location="cpu", weights_only=True)
    weights = weights["model_state"]
    lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    lstm.load_state_dict({n[5:]: value for n, value in weights.items() if n.startswith("lstm.")})
    linear.load_state_dict({n[7:]: value for n, value in weights.items() if n.startswith("linear.")})
    window = speak("slt")[24_000 : 24_000 + 25_600]
    raised = window * max(1.0, 10 ** (-30 / 20) / float(np.sqrt(np.mean(window**2))))
    mels = torch.from_numpy(mel_power(raised, 16_000, 400, 160, 40)[None, :160])
    with torch.no_grad():
        expected = torch.relu(linear(lstm(mels)[1][0][-1]))
    expected = torch.nn.functional.normalize(expected).numpy()
    np.testing.assert_allclose(embed([window]), expected, atol=1e-4)


def test_turns_are_told_from_chance() -> None:
    turns = np.repeat([True, False, True, False], 10)
    chance = np.random.default_rng(1).random(40) < 0.5
    assert turns_z(turns) < -5
    assert abs(turns_z(chance)) < 2


def test_speech_is_found_where_it_is(speak: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(2 * RATE_HZ, np.float32), speak("slt"), np.zeros(RATE_HZ, np.float32)])
    path = tmp_path / "track"
    path.write_bytes(samples.tobytes())
    track, activity = Track(path, RATE_HZ), VoiceActivity()
    probabilities = np.concatenate([activity.feed(block) for _, block in track.blocks() if len(block)])
    assert len(probabilities) == -(-track.num_samples_16k // FRAME)
    found = speech_stretches(probabilities, track.duration_s)
    assert found.speech[0].start_s == pytest.approx(2.5, abs=0.2)
    assert found.speech[-1].end_s == pytest.approx(track.duration_s - 1.5, abs=0.2)


def test_places_of_a_track_are_those_of_its_stream(
    speak: Callable[[str], np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "track"
    path.write_bytes(speak("rms").tobytes())
    track = Track(path, RATE_HZ)
    stream = np.concatenate([block for _, block in track.blocks()])
    for start in (0, 16_000, 77_776):  # whole samples of the native rate
        np.testing.assert_allclose(
            track.at_16k(start, start + 4_000), stream[start : start + 4_000], atol=2e-3
        )


def test_opinions_are_speechmos(speak: Callable[[str], np.ndarray]) -> None:
    pytest.importorskip("librosa")
    pytest.importorskip("requests")
    from speechmos import dnsmos

    window = np.resize(speak("slt")[::2], WINDOW).astype(np.float32)
    expected = dnsmos.run(window, 16_000)
    found = opinions(window)
    for name, theirs in (("sig", "sig_mos"), ("bak", "bak_mos"), ("ovrl", "ovrl_mos"), ("p808", "p808_mos")):
        assert found[f"dnsmos_{name}"] == pytest.approx(float(expected[theirs]), abs=0.01)


def test_everything_is_measured_in_the_sandbox(
    speak: Callable[[str], np.ndarray], to_wav: Callable[..., bytes], tmp_path: Path
) -> None:
    recording = tmp_path / "clean.wav"
    recording.write_bytes(to_wav(speak("slt")))
    shares: list[float] = []
    analysis, fingerprint = analyse(recording, tmp_path, shares.append)
    assert judge(analysis)[0] == "accepted"
    unmeasured = {name for name, value in analysis.measurements.items() if value is None}
    assert analysis.measurements.keys() == MEASUREMENTS.keys()
    assert unmeasured == {"duplicate_share"}  # which needs others
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(fingerprint) > 300
    assert not (tmp_path / "track").exists()


def test_a_missing_model_is_told(
    speak: Callable[[str], np.ndarray],
    to_wav: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> None:
        raise ModelMissing("not here")

    monkeypatch.setattr("providers.audio.analysis.analyse.measure_speakers", missing)
    recording = tmp_path / "clean.wav"
    recording.write_bytes(to_wav(speak("slt")))
    verdict, findings = judge(analyse(recording, tmp_path, opinions=False)[0])
    assert verdict == "accepted_with_warnings"
    assert {finding.measurement for finding in findings} == {"speaker_consistency", "second_speaker_share"}
    assert "scripts/setup" in findings[0].message


def test_every_rule_is_about_a_measurement() -> None:
    assert {rule.measurement for rule in RULES.values()} <= MEASUREMENTS.keys()
    for name, rule in RULES.items():
        if rule.warn is not None and rule.refuse is not None:
            inner, outer = (rule.warn, rule.refuse) if rule.side == "at_most" else (rule.refuse, rule.warn)
            assert inner < outer, name
