"""However long a recording is, it's listened to in the memory of a few blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

# An hour is to stay below 500 MiB; what grows with it is kept per frame, not per sample.
MAX_RSS_MIB = 350
MINUTES = (2, 6)  # the first is long enough to fill every block
MAX_GROWTH_MIB_PER_MINUTE = 4.0

MEASURE = """
import json, resource, sys
from benchmarks.process_memory import peak_resident_mib
from providers.audio.analysis.process import Job, inspect
news = [*inspect(Job({"long": sys.argv[1]}, sys.argv[2], opinions=False))]
children_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
peak = {"mib": max(peak_resident_mib(), children_mib)}
print(json.dumps(peak | {"verdict": news[-1]["inspection"]["verdict"]}))
"""


def peak_mib(recording: Path, scratch: Path) -> float:
    command = [sys.executable, "-c", MEASURE, str(recording), str(scratch)]
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[4]
    )
    return json.loads(printed.stdout.splitlines()[-1])["mib"]


def test_memory_hardly_grows_with_the_recording(speak: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    once = speak("slt")
    peaks = []
    for minutes in MINUTES:
        recording = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(recording, "w", 24_000, 1, "PCM_16") as sound:
            while sound.tell() < minutes * 60 * 24_000:
                sound.write(once)
        peaks.append(peak_mib(recording, tmp_path))
    assert peaks[1] < MAX_RSS_MIB
    assert (peaks[1] - peaks[0]) / (MINUTES[1] - MINUTES[0]) < MAX_GROWTH_MIB_PER_MINUTE
