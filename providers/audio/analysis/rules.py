"""What is asked of a contributed recording: a row per rule, with its bounds and where they come from.

A bound that the field has not set is ours, found between the labelled recordings of the tests: synthetic
voices, clean and with a known fault each (`tests/providers/audio/analysis/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OURS = "set here, between the clean and the faulty recordings of the labelled set"

Subject = Literal["format", "background", "voice", "level", "duplicate"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`at_least` or `at_most`: on the wrong side of `warn` it's a warning, of `refuse` a refusal."""

    subject: Subject  # which of the contributor's rules it looks after
    measurement: str
    side: Literal["at_least", "at_most"]
    warn: float | None
    refuse: float | None
    source: str
    remedy: str

    def exceeded(self, value: float, bound: float | None) -> bool:
        if bound is None:
            return False
        return value < bound if self.side == "at_least" else value > bound


RULES = {
    "sample_rate": Rule(
        "format", "sample_rate_hz", "at_least", 22_050, 16_000,
        "XTTS listens at 22.05 kHz, GPT-SoVITS at 32; 16 kHz is the least for wideband speech (ITU-T G.722)",
        "Export the original at 44.1 or 48 kHz; raising the rate of a copy adds nothing.",
    ),
    "bit_depth": Rule(
        "format", "bit_depth", "at_least", 16, None,
        "8-bit samples, also A-law's and mu-law's, carry noise 38 to 48 dB below the voice (ITU-T G.711)",
        "Export the original with 16 or 24 bits.",
    ),
    "speech": Rule(
        "voice", "speech_s", "at_least", 3.0, 1.0,
        "GPT-SoVITS takes references of 3 to 10 s; one second is the least for any family",
        "Record a few sentences.",
    ),
    "speech_share": Rule(
        "voice", "speech_share", "at_least", 0.4, 0.1, OURS,
        "Cut away what isn't speech.",
    ),
    "silence": Rule(
        "voice", "longest_silence_s", "at_most", 5.0, None, OURS,
        "Cut long pauses out.",
    ),
    "level": Rule(
        "level", "peak_dbfs", "at_least", -26.0, -50.0,
        "below -50 dBFS even 16 bits leave 46 dB; EBU R 128 speaks at -23 LUFS",
        "Raise the recording's level, best at the microphone.",
    ),
    "loudness": Rule(
        "level", "loudness_lufs", "at_most", -9.0, None, OURS,
        "Record with less gain, and without a limiter.",
    ),
    "clipping": Rule(
        "level", "clipping_share", "at_most", 1e-5, 5e-4, OURS,
        "The voice would carry this distortion; record again at a lower level.",
    ),
    "clipping_run": Rule(
        "level", "longest_clipping_run", "at_most", 8, 96, OURS,
        "The voice would carry this distortion; record again at a lower level.",
    ),
    "snr": Rule(
        "background", "snr_db", "at_least", 32.0, 25.0,
        "Hi-Fi TTS keeps 32 dB and more (Bakhturina et al. 2021); LibriTTS calls 20 clean (Zen et al. 2019); "
        "25 is " + OURS,
        "Record in a quiet room, closer to the microphone. Don't remove the noise with a filter.",
    ),
    "tone": Rule(
        "background", "tone_prominence_db", "at_most", 20.0, 30.0, OURS,
        "Find what hums or whistles (mains, a fan, a screen) and record without it.",
    ),
    "music": Rule(
        "background", "music_share", "at_most", 0.1, 0.3, OURS,
        "Hand in the voice without music, from before it was mixed.",
    ),
    "reverberation": Rule(
        "background", "reverberation_s", "at_most", 0.6, 1.3, OURS,
        "Record closer to the microphone, in a room with curtains, carpets or books.",
    ),
    "background_opinion": Rule(
        "background", "dnsmos_bak", "at_least", 3.0, 2.0, OURS,
        "Record in a quiet room, closer to the microphone.",
    ),
    "overall_opinion": Rule(
        "background", "dnsmos_ovrl", "at_least", 2.0, None,
        "Emilia keeps 3.0 and more of real voices (He et al. 2024); lowered here for synthetic ones",
        "Listen to it as a stranger would, and record again what you wouldn't want to learn from.",
    ),
    "bandwidth": Rule(
        "background", "bandwidth_hz", "at_least", 6_500.0, 5_000.0,
        "wideband speech reaches 7 kHz (ITU-T P.341), a telephone 3.4 (G.712); between them " + OURS,
        "Hand in the original: this was a telephone's or a low bit rate's before.",
    ),
    "second_speaker": Rule(
        "voice", "second_speaker_share", "at_most", 0.0, 0.05, OURS,
        "Cut the other voice out.",
    ),
    "duplicate": Rule(
        "duplicate", "duplicate_share", "at_most", 0.1, 0.5, OURS,
        "It is here already; hand in what isn't.",
    ),
}  # fmt: skip


def bound_of(rule: str) -> float:
    """The bound above or below which moments are worth being told."""
    found = RULES[rule]
    bound = found.warn if found.warn is not None else found.refuse
    assert bound is not None
    return bound
