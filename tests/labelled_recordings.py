"""Recordings with known faults, made from two synthesisers and numpy: what every verdict is held to."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from models_store.demo.recipe.synthesiser import FliteMissing, Voice

Samples = NDArray[np.float32]

RATE_HZ = 24_000
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "She sells sea shells by the shore, and the shells are surely hers.",
    "A large size in stockings is hard to sell.",
)
ACCEPTED, WARNED, REFUSED = "accepted", "accepted_with_warnings", "refused"


@dataclass(frozen=True, slots=True)
class Labelled:
    name: str
    content: bytes
    verdict: str
    rule: str | None  # that says so, where there is a fault; "wav" for what is none


def sentences(voice: str) -> Iterator[Samples]:
    """flite's slt, rms and awb, or one of espeak-ng's."""
    if voice in ("slt", "rms", "awb"):
        try:
            flite = Voice(voice)
        except FliteMissing as missing:
            pytest.skip(str(missing))
        for text in SENTENCES:
            said = flite.speak(text)
            yield _at_peak(soxr.resample(said.samples.astype(np.float32), said.sample_rate_hz, RATE_HZ))
        return
    if not shutil.which("espeak-ng"):
        pytest.skip("needs Debian's espeak-ng")
    for text in SENTENCES:
        command = ["espeak-ng", "-v", voice, "-s", "140", "--stdout", text]
        wav = subprocess.run(command, check=True, capture_output=True).stdout
        samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
        yield _at_peak(soxr.resample(samples, rate_hz, RATE_HZ))


def _at_peak(samples: Samples, peak: float = 0.5) -> Samples:
    return np.asarray(samples / np.abs(samples).max() * peak, np.float32)


def joined(sentences: list[Samples], pause_s: float = 0.45) -> Samples:
    """With a room's faint noise, 72 dB below full scale, all through."""
    pause = np.zeros(round(pause_s * RATE_HZ), np.float32)
    joined = np.concatenate([pause, *(piece for sentence in sentences for piece in (sentence, pause))])
    return joined + _noise(len(joined), 3) * np.float32(10 ** (-72 / 20))


def _noise(length: int, seed: int, pink: bool = False) -> Samples:
    """Of power 1."""
    noise = np.random.default_rng(seed).standard_normal(length)
    if pink:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
        noise = np.fft.irfft(spectrum, length)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), np.float32)


def _speech_power(samples: Samples) -> float:
    """Of the frames within 30 dB of the loudest: what is speech."""
    power = np.square(samples[: len(samples) // 480 * 480]).reshape(-1, 480).mean(axis=1)
    return float(power[power > power.max() / 1_000].mean())


def with_noise(samples: Samples, snr_db: float, seed: int = 1, pink: bool = False) -> Samples:
    level = np.sqrt(_speech_power(samples) / 10 ** (snr_db / 10))
    return np.asarray(samples + level * _noise(len(samples), seed, pink), np.float32)


def with_music(samples: Samples, below_db: float) -> Samples:
    """Chords of six harmonics each, a new one every half second, that many dB below the speech."""
    time = np.arange(len(samples)) / RATE_HZ
    music = np.zeros(len(samples))
    for beat, start in enumerate(np.arange(0, time[-1], 0.5)):
        here = (time >= start) & (time < start + 0.5)
        for note in (220.0, 277.2, 329.6):
            base = note * 2 ** ((beat * 5 % 12) / 12)
            for harmonic in range(1, 7):
                music[here] += np.sin(2 * np.pi * base * harmonic * time[here]) / harmonic
    music *= np.sqrt(_speech_power(samples) / 10 ** (below_db / 10) / np.mean(music**2))
    return np.asarray(samples + music, np.float32)


def with_tone(samples: Samples, frequency_hz: float, dbfs: float) -> Samples:
    time = np.arange(len(samples)) / RATE_HZ
    return np.asarray(samples + 10 ** (dbfs / 20) * np.sin(2 * np.pi * frequency_hz * time), np.float32)


def in_a_room(samples: Samples, decay_s: float) -> Samples:
    """An exponentially decaying noise as the room's answer, 6 dB below the direct sound."""
    time = np.arange(round(decay_s * RATE_HZ)) / RATE_HZ
    answer = _noise(len(time), 9) * 10 ** (-3 * time / decay_s)
    answer *= 0.5 / np.sqrt(np.sum(answer**2))
    answer[0] += 1
    length = len(samples) + len(answer) - 1
    wet = np.fft.irfft(np.fft.rfft(samples, length) * np.fft.rfft(answer, length), length)
    return _at_peak(np.asarray(wet, np.float32))


def through_a_telephone(samples: Samples) -> Samples:
    return np.asarray(soxr.resample(soxr.resample(samples, RATE_HZ, 8_000), 8_000, RATE_HZ), np.float32)


def clipped(samples: Samples, gain_db: float, then_db: float = 0.0) -> Samples:
    loud = np.clip(samples * 10 ** (gain_db / 20), -1, 1)
    return np.asarray(loud * 10 ** (then_db / 20), np.float32)


def wav(samples: Samples, rate_hz: int = RATE_HZ, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    written = io.BytesIO()
    soundfile.write(written, samples, rate_hz, subtype, format=container)
    return written.getvalue()


VOICES = ("slt", "rms", "awb", "en-us", "en-gb-x-rp")


def _clean(speak: Callable[[str], Samples]) -> Iterator[Labelled]:
    for voice in VOICES:
        yield Labelled(f"clean {voice}", wav(speak(voice)), ACCEPTED, None)
    slt, rms = speak("slt"), speak("rms")
    stereo = np.stack([slt, slt], axis=1)
    yield Labelled("clean stereo", wav(stereo), ACCEPTED, None)
    yield Labelled("clean 24 bit", wav(rms, subtype="PCM_24"), ACCEPTED, None)
    yield Labelled("clean 32-bit float", wav(slt, subtype="FLOAT"), ACCEPTED, None)
    yield Labelled("clean 24 bit, extensible", wav(slt, subtype="PCM_24", container="WAVEX"), ACCEPTED, None)
    yield Labelled("clean RF64", wav(rms, container="RF64"), ACCEPTED, None)
    for rate_hz in (22_050, 44_100, 48_000):
        yield Labelled(
            f"clean {rate_hz} Hz", wav(soxr.resample(rms, RATE_HZ, rate_hz), rate_hz), ACCEPTED, None
        )
    yield Labelled("clean 16 kHz", wav(soxr.resample(slt, RATE_HZ, 16_000), 16_000), WARNED, "sample_rate")
    yield Labelled("A-law 24 kHz", wav(rms, subtype="ALAW"), WARNED, "bit_depth")
    yield Labelled("mu-law 24 kHz", wav(slt, subtype="ULAW"), WARNED, "bit_depth")
    telephone = wav(soxr.resample(rms, RATE_HZ, 8_000), 8_000, "ALAW")
    yield Labelled("A-law 8 kHz", telephone, REFUSED, "sample_rate")


def _noisy(speak: Callable[[str], Samples]) -> Iterator[Labelled]:
    for voice in VOICES[:3]:
        for pink in (False, True):
            kind = "pink" if pink else "white"
            for snr_db, verdict in ((30, WARNED), (20, REFUSED), (10, REFUSED)):
                noisy = wav(with_noise(speak(voice), snr_db, pink=pink))
                yield Labelled(f"{kind} noise {snr_db} dB, {voice}", noisy, verdict, "snr")


def _distorted(speak: Callable[[str], Samples]) -> Iterator[Labelled]:
    for voice in VOICES[:3]:
        yield Labelled(f"clipped by 12 dB, {voice}", wav(clipped(speak(voice), 18)), REFUSED, "clipping")
        turned_down = wav(clipped(speak(voice), 18, -6))
        yield Labelled(f"clipped by 12 dB and turned down, {voice}", turned_down, REFUSED, "clipping")
    yield Labelled("clipped at peaks", wav(clipped(speak("rms"), 7.0)), WARNED, "clipping")
    yield Labelled("too soft", wav(speak("slt") * np.float32(0.05)), WARNED, "level")


def _not_alone(
    speak: Callable[[str], Samples], sentences_of: Callable[[str], list[Samples]]
) -> Iterator[Labelled]:
    pairs = (("slt", "rms"), ("slt", "awb"), ("rms", "awb"), ("slt", "en-us"), ("en-gb-x-rp", "slt"))
    for one, other in pairs:
        both = joined([*sentences_of(one), *sentences_of(other)])
        yield Labelled(f"two speakers {one} {other}", wav(both), REFUSED, "second_speaker")
    for voice in VOICES[:3]:
        for below_db in (12, 24):
            music = wav(with_music(speak(voice), below_db))
            yield Labelled(f"music {below_db} dB below {voice}", music, REFUSED, "music")
    yield Labelled("mains hum", wav(with_tone(speak("rms"), 100, -42)), REFUSED, "tone")
    yield Labelled("a whistling fan", wav(with_tone(speak("slt"), 3_150, -50)), REFUSED, "tone")


def _from_afar(speak: Callable[[str], Samples]) -> Iterator[Labelled]:
    for voice in VOICES[:4]:
        yield Labelled(f"telephone {voice}", wav(through_a_telephone(speak(voice))), REFUSED, "bandwidth")
    for voice in VOICES[:2]:
        yield Labelled(f"hall {voice}", wav(in_a_room(speak(voice), 1.8)), REFUSED, "reverberation")
        yield Labelled(f"bare room {voice}", wav(in_a_room(speak(voice), 1.0)), WARNED, "reverberation")


def _no_wavs(samples: Samples) -> Iterator[Labelled]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.wav", wav(samples))
    whole = wav(samples)
    others = {
        "MP3 renamed": wav(samples, subtype="MPEG_LAYER_III", container="MP3"),
        "FLAC renamed": wav(samples, container="FLAC"),
        "Ogg renamed": wav(samples, subtype="VORBIS", container="OGG"),
        "compressed inside": wav(samples, subtype="IMA_ADPCM"),
        "zip renamed": archive.getvalue(),
        "text renamed": b"This is no recording at all, only its transcript.\n" * 40,
        "cut off": whole[: len(whole) // 2],
        "header alone": whole[:30],
        "nothing": b"",
    }
    for name, content in others.items():
        yield Labelled(name, content, REFUSED, "wav")


def _hardly_speech(samples: Samples) -> Iterator[Labelled]:
    yield Labelled("digital silence", wav(np.zeros(5 * RATE_HZ, np.float32)), REFUSED, "speech")
    yield Labelled("a room's noise", wav(_noise(5 * RATE_HZ, 4) * np.float32(0.003)), REFUSED, "speech")
    yield Labelled("half a second", wav(samples[12_000:24_000]), REFUSED, "speech")
    pause = np.zeros(9 * RATE_HZ, np.float32)
    yield Labelled("a long pause", wav(np.concatenate([samples, pause, samples])), WARNED, "silence")


Speak = Callable[[str], Samples]
GROUPS: dict[str, Callable[[Speak, Callable[[str], list[Samples]]], Iterator[Labelled]]] = {
    "clean": lambda speak, _: _clean(speak),
    "noisy": lambda speak, _: _noisy(speak),
    "distorted": lambda speak, _: _distorted(speak),
    "not alone": lambda speak, sentences_of: _not_alone(speak, sentences_of),
    "from afar": lambda speak, _: _from_afar(speak),
    "no wav": lambda speak, _: _no_wavs(speak("slt")),
    "hardly speech": lambda speak, _: _hardly_speech(speak("slt")),
}
