"""Verdicts against labels. DNSMOS isn't asked: its rules only have a say below what any of these scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from providers.audio.analysis.analyse import analyse_track
from providers.audio.analysis.container import read_wav
from providers.audio.analysis.fingerprint import Fingerprint
from providers.audio.analysis.report import Analysis
from providers.audio.analysis.rules import RULES
from providers.audio.analysis.verdict import judge

Analyse = Callable[[bytes], tuple[Analysis, Fingerprint]]


@pytest.fixture
def analyse(tmp_path: Path) -> Analyse:
    """As `analyse.analyse` does it, without a process around the decoder, which takes longest."""

    def run(content: bytes) -> tuple[Analysis, Fingerprint]:
        recording, track = tmp_path / "recording", tmp_path / "track"
        recording.write_bytes(content)
        files = {
            "recording": os.open(recording, os.O_RDONLY),
            "track": os.open(track, os.O_RDWR | os.O_CREAT),
        }
        try:
            read = read_wav(files, {}, lambda done, total: None)
        finally:
            for descriptor in files.values():
                os.close(descriptor)
        analysed = analyse_track(read, track, lambda share: None, opinions=False)
        track.unlink()
        return analysed

    return run


def test_every_verdict_is_right(labelled: list, analyse: Analyse) -> None:
    wrong = []
    for item in labelled:
        verdict, findings = judge(analyse(item.content)[0])
        decisive = {each.rule for each in findings if (each.severity == "refusal") == (verdict == "refused")}
        if verdict != item.verdict or (item.rule is not None and item.rule not in decisive):
            wrong.append(f"{item.name}: {item.verdict} for {item.rule}, but {verdict} for {sorted(decisive)}")
    assert labelled
    assert not wrong, "\n".join(wrong)


def test_moments_point_at_the_fault(
    speak: Callable[[str], np.ndarray], analyse: Analyse, to_wav: Callable[..., bytes]
) -> None:
    samples = speak("slt").copy()
    second = slice(4 * 24_000, 5 * 24_000)  # loud from 4 s to 5 s
    samples[second] = np.clip(samples[second] * 20, -1, 1)
    _, findings = judge(analyse(to_wav(samples))[0])
    (clipping,) = [finding for finding in findings if finding.rule == "clipping"]
    assert clipping.severity == "refusal"
    assert clipping.moments
    assert all(3.75 <= moment.start_s and moment.end_s <= 5.25 for moment in clipping.moments)


def test_a_recording_is_found_again(
    speak: Callable[[str], np.ndarray], analyse: Analyse, to_wav: Callable[..., bytes]
) -> None:
    from providers.audio.analysis.fingerprint import shared_share

    original, other = speak("slt"), speak("rms")
    known = analyse(to_wav(original))[1]
    cut_and_softer = original[30_000:220_000] * np.float32(0.4)
    assert shared_share(analyse(to_wav(cut_and_softer))[1], known) > RULES["duplicate"].refuse
    assert shared_share(analyse(to_wav(cut_and_softer, subtype="ALAW"))[1], known) > RULES["duplicate"].refuse
    assert shared_share(analyse(to_wav(other))[1], known) == 0  # the same words in another voice
