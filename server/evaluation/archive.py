"""Evaluations on disk, under `evaluations/` of the data folder. Every file changes by one rename.

spoken/<2 digits>/<key>.flac, .json   an utterance and how it came; shared by all evaluations that want it
heard/<2 digits>/<key>.json           what was measured of it
plans/<id>/plan.json                  what is to be done; written first
plans/<id>/progress.json, failure.json
plans/<id>/report.html, means.json    what is shown of a finished one
plans/<id>/result.json                written last, so where it is, everything is
plans/<id>/lock                       held by whoever works on it; the kernel drops it with them

Nothing is cached, so every process sees what the others did, and what was killed goes on where it was.
"""

from __future__ import annotations

import fcntl
import io
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from models_store.durable import flocked, is_flocked, write_atomically
from server.evaluation.errors import UnknownEvaluation
from server.evaluation.plan import Item, Plan, plan_from_json

Samples = NDArray[np.float32]
Status = Literal["waiting", "running", "finished", "failed"]
Phase = Literal["speaking", "measuring"]

EVALUATION_ID = re.compile(r"eval-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Progress:
    phase: Phase
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """How an utterance came. Without audio where `error` says why there is none."""

    sample_rate_hz: int
    duration_s: float
    num_tokens: int
    hit_limit: bool  # of any part of it
    ttfa_s: float | None  # None: others were spoken beside it
    took_s: float | None
    device: str  # and its number format; empty where the device process was too busy to say
    spoken_at: str  # ISO 8601, UTC
    error: str | None = None

    def untimed(self) -> Spoken:
        """Of an utterance that others were spoken beside."""
        return replace(self, ttfa_s=None, took_s=None)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was measured of an utterance."""

    transcript: str | None  # None: nobody listened for words
    values: Mapping[str, float]  # name of a measure → value, of those that could be measured


@dataclass(frozen=True, slots=True)
class State:
    status: Status
    progress: Progress | None
    error: str | None


class Archive:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plans = folder / "plans"

    # Plans

    def add(self, plan: Plan) -> Plan:
        """The plan, or the same one that was made before; a failed one is tried again."""
        folder = self._plans / plan.id
        (folder / "failure.json").unlink(missing_ok=True)
        if (folder / "plan.json").exists():
            return self.plan(plan.id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
        _write_json(folder / "plan.json", plan.to_json())
        return plan

    def plan(self, evaluation_id: str) -> Plan:
        """Raises UnknownEvaluation."""
        try:
            return plan_from_json(_read_json(self._place(evaluation_id) / "plan.json"))
        except FileNotFoundError:
            raise UnknownEvaluation(evaluation_id) from None  # deleted in between

    def plans(self) -> list[Plan]:
        """The newest first."""
        found = []
        for path in self._plans.glob("eval-*/plan.json"):
            with suppress(FileNotFoundError):
                found.append(plan_from_json(_read_json(path)))
        return sorted(found, key=lambda plan: (plan.created_at, plan.id), reverse=True)

    def unfinished(self) -> list[Plan]:
        """The oldest first."""
        ended = ("result.json", "failure.json")
        return [
            plan
            for plan in reversed(self.plans())
            if not any((self._plans / plan.id / name).exists() for name in ended)
        ]

    def state(self, evaluation_id: str) -> State:
        folder = self._place(evaluation_id)
        if (folder / "result.json").exists():
            return State("finished", None, None)
        with suppress(FileNotFoundError):
            return State("failed", None, str(_read_json(folder / "failure.json")["error"]))
        progress = None
        with suppress(FileNotFoundError):
            progress = Progress(**_read_json(folder / "progress.json"))
        return State("running" if is_flocked(folder / "lock") else "waiting", progress, None)

    def is_finished(self, evaluation_id: str) -> bool:
        """Also for one that nobody has asked for."""
        return (self._plans / evaluation_id / "result.json").exists()

    @contextmanager
    def held(self, evaluation_id: str) -> Iterator[None]:
        """Work on it alone. Raises BlockingIOError where somebody else does, UnknownEvaluation."""
        folder = self._place(evaluation_id)
        with flocked(folder / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    def report_progress(self, evaluation_id: str, progress: Progress) -> None:
        with suppress(FileNotFoundError):  # deleted while somebody works on it
            _write_json(self._plans / evaluation_id / "progress.json", asdict(progress))

    def fail(self, evaluation_id: str, error: str) -> None:
        with suppress(FileNotFoundError):
            _write_json(self._plans / evaluation_id / "failure.json", {"error": error})

    def finish(self, evaluation_id: str, result: Mapping[str, Any], report: str) -> None:
        folder = self._place(evaluation_id)
        write_atomically(folder / "report.html", report.encode(), folder)
        means = [_means(system["scores"]) for system in result["systems"]]
        _write_json(folder / "means.json", {"systems": means})
        _write_json(folder / "result.json", result)

    def result(self, evaluation_id: str) -> dict[str, Any]:
        """Raises UnknownEvaluation, FileNotFoundError while it isn't finished."""
        return _read_json(self._place(evaluation_id) / "result.json")

    def means(self, evaluation_id: str) -> list[dict[str, float]]:
        """Measure → mean, of each submission of a finished evaluation."""
        return list(_read_json(self._place(evaluation_id) / "means.json")["systems"])

    def report_path(self, evaluation_id: str) -> Path:
        return self._place(evaluation_id) / "report.html"

    def delete(self, evaluation_id: str) -> None:
        """With what no other evaluation wants. Raises UnknownEvaluation."""
        plan = self.plan(evaluation_id)
        # Away first: whoever still works on it finds no folder to write to while its files go.
        try:
            self._place(evaluation_id).rename(self._plans / f"gone-{secrets.token_hex(8)}")
        except FileNotFoundError:
            raise UnknownEvaluation(evaluation_id) from None  # by somebody else, at the same moment
        for gone in self._plans.glob("gone-*"):
            shutil.rmtree(gone, ignore_errors=True)
        others = self.plans()
        spoken = {item.key for other in others for item in other.items()}
        heard = {other.measurement(item) for other in others for item in other.items()}
        for item in plan.items():
            if item.key not in spoken:
                for suffix in (".flac", ".json"):
                    self._spoken(item.key, suffix).unlink(missing_ok=True)
            if (measurement := plan.measurement(item)) not in heard:
                self._heard(measurement).unlink(missing_ok=True)

    # Utterances

    def spoken(self, key: str) -> Spoken | None:
        """None: not yet."""
        try:
            return Spoken(**_read_json(self._spoken(key, ".json")))
        except FileNotFoundError:
            return None

    def put_spoken(self, item: Item, spoken: Spoken, samples: Samples) -> None:
        path = self._spoken(item.key, ".flac")
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(samples):
            encoded = io.BytesIO()
            clipped = np.clip(np.nan_to_num(samples), -1.0, 1.0)
            soundfile.write(encoded, clipped, spoken.sample_rate_hz, format="FLAC", subtype="PCM_16")
            write_atomically(path, encoded.getvalue(), path.parent)
        _write_json(path.with_suffix(".json"), asdict(spoken))

    def audio_path(self, key: str) -> Path:
        return self._spoken(key, ".flac")

    def samples(self, key: str) -> tuple[Samples, int]:
        """[n] and their rate; empty where there is no audio."""
        try:
            samples, sample_rate_hz = soundfile.read(self._spoken(key, ".flac"), dtype="float32")
        except soundfile.LibsndfileError:
            return np.empty(0, np.float32), 16_000
        return samples, sample_rate_hz

    def heard(self, measurement: str) -> Heard | None:
        """None: not yet."""
        try:
            return Heard(**_read_json(self._heard(measurement)))
        except FileNotFoundError:
            return None

    def put_heard(self, measurement: str, heard: Heard) -> None:
        path = self._heard(measurement)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_json(path, asdict(heard))

    def _spoken(self, key: str, suffix: str) -> Path:
        return self.folder / "spoken" / key[:2] / f"{key}{suffix}"

    def _heard(self, measurement: str) -> Path:
        return self.folder / "heard" / measurement[:2] / f"{measurement}.json"

    def _place(self, evaluation_id: str) -> Path:
        if EVALUATION_ID.fullmatch(evaluation_id):
            folder = self._plans / evaluation_id
            if (folder / "plan.json").exists():
                return folder
        raise UnknownEvaluation(evaluation_id)


def _means(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: score["mean"] for name, score in scores.items()}


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes()))


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(value, ensure_ascii=False).encode(), path.parent)
