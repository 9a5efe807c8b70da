"""Debian's flite through its C library: a sentence → samples, phones with their times and words, and pitch.

The command line gives the same audio; the library also tells what was said when, and the pitch that the voice
was synthesised with, so that nothing has to be estimated from the audio. Packages: flite (libflite1).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_float, c_int, c_short, c_void_p
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.005  # of a voice's parameter track
SILENCE = "pau"
TOKEN_OF_SEGMENT = b"R:SylStructure.parent.parent.R:Token.parent"
PHONES = (
    *("pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g"),
    *("hh", "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh"),
    *("uw", "v", "w", "y", "z", "zh"),
)


class FliteMissing(RuntimeError):
    """The library or one of its voices isn't installed."""


class Segment(NamedTuple):
    phone: str
    end_s: float
    token: int  # which of the text's words, as spaces part them; -1 for silence


@dataclass(frozen=True, slots=True)
class Spoken:
    samples: NDArray[np.int16]
    sample_rate_hz: int
    segments: list[Segment]  # from the start of the samples; the first and the last are silence
    pitch_hz: NDArray[np.float32]  # every FRAME_S; 0 where there is none


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", c_char_p),
        ("sample_rate", c_int),
        ("num_samples", c_int),
        ("num_channels", c_int),
        ("samples", POINTER(c_short)),
    ]


class _Track(ctypes.Structure):
    _fields_ = [
        ("type", c_char_p),
        ("num_frames", c_int),
        ("num_channels", c_int),
        ("times", POINTER(c_float)),
        ("frames", POINTER(POINTER(c_float))),
    ]


class _Utterance(ctypes.Structure):
    _fields_ = [("features", c_void_p)]


class Voice:
    """One of the voices built from recorded speakers: "slt", "rms" or "awb". Not thread-safe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._flite = _library("libflite.so.1")
        for language in ("usenglish", "cmulex"):
            _library(f"libflite_{language}.so.1")
        _declare(self._flite)
        self._flite.flite_init()
        register = getattr(_library(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
        register.restype, register.argtypes = c_void_p, [c_char_p]
        self._voice = register(None)

    def speak(self, text: str) -> Spoken:
        utterance = self._flite.flite_synth_text(text.encode(), self._voice)
        try:
            wave = self._flite.utt_wave(utterance).contents
            samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
            segments = list(self._segments(utterance))
            return Spoken(samples, wave.sample_rate, segments, self._pitch(utterance))
        finally:
            self._flite.delete_utterance(utterance)

    def _segments(self, utterance: Any) -> Iterator[Segment]:
        tokens = {item: i for i, item in enumerate(self._items(utterance, b"Token"))}
        for item in self._items(utterance, b"Segment"):
            token = self._flite.path_to_item(item, TOKEN_OF_SEGMENT)
            yield Segment(
                phone=self._flite.item_feat_string(item, b"name").decode(),
                end_s=self._flite.item_feat_float(item, b"end"),
                token=tokens.get(token, -1),
            )

    def _items(self, utterance: Any, relation: bytes) -> Iterator[int]:
        item = self._flite.relation_head(self._flite.utt_relation(utterance, relation))
        while item:
            yield item
            item = self._flite.item_next(item)

    def _pitch(self, utterance: Any) -> NDArray[np.float32]:
        value = self._flite.feat_val(utterance.contents.features, b"param_track")
        track = self._flite.val_track(value).contents
        pitch = [track.frames[i][0] for i in range(track.num_frames)]
        return np.array(pitch, np.float32)


def _library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise FliteMissing(
            f"found no {name} ({error}); expected Debian's flite. Install it: apt-get install flite"
        ) from error


def _declare(flite: ctypes.CDLL) -> None:
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "flite_init": (c_int, []),
        "flite_synth_text": (POINTER(_Utterance), [c_char_p, c_void_p]),
        "utt_wave": (POINTER(_Wave), [POINTER(_Utterance)]),
        "utt_relation": (c_void_p, [POINTER(_Utterance), c_char_p]),
        "relation_head": (c_void_p, [c_void_p]),
        "item_next": (c_void_p, [c_void_p]),
        "path_to_item": (c_void_p, [c_void_p, c_char_p]),
        "item_feat_string": (c_char_p, [c_void_p, c_char_p]),
        "item_feat_float": (c_float, [c_void_p, c_char_p]),
        "feat_val": (c_void_p, [c_void_p, c_char_p]),
        "val_track": (POINTER(_Track), [c_void_p]),
        "delete_utterance": (None, [POINTER(_Utterance)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(flite, name)
        function.restype, function.argtypes = result, arguments
