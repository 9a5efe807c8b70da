"""What is measured: a row each, with its unit, which way is better, how it is found and where that is from.

`good` and `poor` place a value between full and empty, in pictures and in "overall". No field standard says
where they lie: they are set here, so that clean recordings are near full, and speech that can't be followed
or that makes a listener wait is near empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Goes into what a measurement is filed under: change it with whatever changes a number.
VERSION = 1

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    title: str
    unit: str
    better: Better
    good: float
    poor: float
    method: str
    decimals: int = 2
    percent: bool = False  # shown as such

    def shown(self, value: float | None) -> str:
        if value is None:
            return "–"
        if self.percent:
            return f"{100 * value:.{max(0, self.decimals - 2)}f} %"
        return f"{value:.{self.decimals}f}{' ' + self.unit if self.unit else ''}"

    def fullness(self, value: float) -> float:
        """0 at `poor` and beyond, 1 at `good` and beyond."""
        return min(1.0, max(0.0, (value - self.poor) / (self.good - self.poor)))


MEASURES = {
    row.name: row
    for row in (
        Measure(
            "overall",
            "Overall",
            "",
            "higher",
            1.0,
            0.0,
            "Mean of how far the telling measures are from poor to good. It orders sentences and "
            "submissions; what is wrong with one, the measures themselves say.",
            percent=True,
        ),
        Measure(
            "cer",
            "Character error",
            "",
            "lower",
            0.0,
            0.6,
            "Edits between the text and what the recogniser wrote, per letter of the text; spaces, case and "
            "punctuation don't count.",
            decimals=3,
            percent=True,
        ),
        Measure(
            "wer",
            "Word error",
            "",
            "lower",
            0.0,
            0.9,
            "The same per word; not for languages written without spaces.",
            decimals=3,
            percent=True,
        ),
        Measure(
            "similarity",
            "Speaker similarity",
            "",
            "higher",
            0.9,
            0.5,
            "Cosine between the voice's recordings and the utterance by an independent speaker encoder "
            "(generalised end-to-end loss, Wan et al. 2018, arXiv 1710.10467, as Resemblyzer publishes it).",
        ),
        Measure(
            "own_similarity",
            "Own similarity",
            "",
            "higher",
            0.8,
            0.2,
            "The same by the speaker encoder that the submission itself was conditioned with.",
        ),
        Measure(
            "dnsmos",
            "DNSMOS overall",
            "",
            "higher",
            4.0,
            1.5,
            "Opinion score from 1 to 5 that DNSMOS P.835 predicts (Reddy et al. 2022, arXiv 2110.01763).",
        ),
        Measure("dnsmos_sig", "DNSMOS signal", "", "higher", 4.0, 1.5, "Of the speech alone."),
        Measure("dnsmos_bak", "DNSMOS background", "", "higher", 4.2, 1.5, "Of the background."),
        Measure(
            "p808",
            "DNSMOS P.808",
            "",
            "higher",
            4.0,
            1.5,
            "Opinion score from 1 to 5 that DNSMOS P.808 predicts (Reddy et al. 2021, arXiv 2010.15258).",
        ),
        Measure(
            "loudness_lufs",
            "Loudness",
            "LUFS",
            "neither",
            -23.0,
            -40.0,
            "Integrated, ITU-R BS.1770-4.",
            decimals=1,
        ),
        Measure(
            "leading_silence_s",
            "Leading silence",
            "s",
            "lower",
            0.1,
            1.0,
            "Before the first speech, by voice activity.",
        ),
        Measure(
            "trailing_silence_s",
            "Trailing silence",
            "s",
            "lower",
            0.3,
            2.0,
            "Behind the last speech, by voice activity.",
        ),
        Measure(
            "tail_s",
            "Speech after the text",
            "s",
            "lower",
            0.0,
            1.5,
            "From the end of the last word of the text to the end of the speech. The text ends where the "
            "recogniser's words match it best; without times of words, by their share of letters.",
        ),
        Measure(
            "hit_limit",
            "Ran into the limit",
            "",
            "lower",
            0.0,
            0.2,
            "Share of utterances that stopped at the limit of tokens, not by themselves.",
            percent=True,
        ),
        Measure(
            "failed", "Not spoken", "", "lower", 0.0, 0.1, "Share of texts that gave no audio.", percent=True
        ),
        Measure(
            "speech_s",
            "Duration of speech",
            "s",
            "neither",
            5.0,
            0.0,
            "From the first to the last speech, by voice activity.",
        ),
        Measure(
            "letters_per_s",
            "Speaking rate",
            "letters/s",
            "neither",
            14.0,
            6.0,
            "Letters of the text, numbers in words, per second between the first and the last speech.",
            decimals=1,
        ),
        Measure(
            "duration_spread",
            "Spread of durations",
            "",
            "lower",
            0.0,
            0.4,
            "Deviation of the speech's duration over seeds, per mean, of one sentence.",
            decimals=3,
            percent=True,
        ),
        Measure(
            "cer_spread",
            "Spread of errors",
            "",
            "lower",
            0.0,
            0.3,
            "Deviation of the character error over seeds, of one sentence.",
            decimals=3,
            percent=True,
        ),
        Measure(
            "rtf",
            "Real-time factor",
            "",
            "lower",
            0.1,
            1.5,
            "Seconds that the server took per second of audio, one request at a time; only the first seed's.",
            decimals=3,
        ),
        Measure(
            "ttfa_s",
            "Time to first audio",
            "s",
            "lower",
            0.2,
            3.0,
            "From the request to the first audible sample out of the device process, one request at a time; "
            "only the first seed's.",
            decimals=3,
        ),
    )
}

# What "overall" is the mean of, where they are measured.
TELLING = ("cer", "tail_s", "hit_limit", "failed", "dnsmos", "similarity", "trailing_silence_s")
# The axes of the radar.
AXES = ("cer", "similarity", "own_similarity", "dnsmos", "p808", "tail_s", "duration_spread", "rtf")
