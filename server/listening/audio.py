"""Clips as raters hear them: one loudness, one file each, named by what is in it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from models_store.durable import flocked, hex_of, write_atomically
from models_store.submission import DIGEST_PREFIX
from server.listening.catalogue import StoredClip
from server.listening.errors import BadTest

TARGET_LUFS = -23.0  # EBU R 128
BLOCK_S = 0.4  # of the loudness meter (ITU-R BS.1770); a shorter clip is one block
LARGEST_PEAK = 0.99  # speech at -23 LUFS hardly reaches a third of it
MEDIA_TYPE = "audio/flac"
# A clip without a test is kept so long: its test may be saved in the next moment.
UNUSED_S = 3600.0

Samples = NDArray[np.float32]


class ClipStore:
    """FLAC files in one folder, named by their SHA-256; several processes may write at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        name = hex_of(digest)
        return self._folder / name[:2] / f"{name}.flac"

    def put(self, samples: Samples, sample_rate_hz: int) -> StoredClip:
        """Matched in loudness, on the disk when it returns. Raises BadTest for what can't be heard."""
        matched, loudness_lufs = match_loudness(samples, sample_rate_hz)
        encoded = io.BytesIO()
        soundfile.write(encoded, matched, sample_rate_hz, format="FLAC", subtype="PCM_16")
        data = encoded.getvalue()
        digest = DIGEST_PREFIX + hashlib.sha256(data).hexdigest()
        with self._locked():
            if (path := self.path(digest)).exists():
                path.touch()  # it is wanted again
            else:
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, data, path.parent)
        return StoredClip(digest, len(samples) / sample_rate_hz, loudness_lufs)

    def sweep(self, used: Collection[str]) -> None:
        """Take away what isn't `used`, digests of clips, and hasn't been put here lately."""
        names = {f"{hex_of(digest)}.flac" for digest in used}
        with self._locked():
            for path in self._folder.glob("??/*.flac"):
                if path.name not in names and time.time() - path.stat().st_mtime > UNUSED_S:
                    path.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time, of all processes: else one takes away what another just found."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = self._folder / ".lock"
        lock.touch()
        with flocked(lock, fcntl.LOCK_EX):
            yield


def match_loudness(samples: Samples, sample_rate_hz: int) -> tuple[Samples, float]:
    """[n] at TARGET_LUFS, or as loud as goes without clipping; and its loudness. Raises BadTest."""
    import pyloudnorm  # with SciPy, which takes a second, and most servers speak only

    duration_s = len(samples) / sample_rate_hz
    if not duration_s or not np.isfinite(samples).all():
        raise BadTest("found no sound; expected speech.")
    # A hair shorter than the clip: the meter wants a whole block.
    meter = pyloudnorm.Meter(sample_rate_hz, block_size=min(BLOCK_S, duration_s * 0.999))
    found_lufs = float(meter.integrated_loudness(samples.astype(np.float64)))
    if not np.isfinite(found_lufs):
        raise BadTest("found silence; expected speech.")
    gain = min(10 ** ((TARGET_LUFS - found_lufs) / 20), LARGEST_PEAK / float(np.abs(samples).max()))
    return (samples * gain).astype(np.float32), found_lufs + 20 * float(np.log10(gain))
