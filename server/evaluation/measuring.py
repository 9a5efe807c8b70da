"""`python -m server.evaluation.measuring EVALUATION --supervised`: listens to what was spoken.

A process of its own, because it takes a core for minutes and because some submissions' own speaker encoders
need torch. Its standard input begins with the settings (see server/child.py). It writes a line of JSON per
utterance, {"done", "total"}, or {"error"} before it ends with status 1. What it has measured stays: started
again, it goes on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timezone

import structlog

from models_store.errors import ModelsStoreError
from models_store.store import ModelsStore
from providers.audio.analysis.models import ModelMissing
from server import child, logs
from server.evaluation import ears
from server.evaluation.archive import Archive, Heard, Samples
from server.evaluation.errors import BadEvaluation, EvaluationFailed
from server.evaluation.intelligibility import compare, num_letters
from server.evaluation.plan import Item, Plan, System
from server.evaluation.recognition.table import NOBODY, Recogniser, open_chosen
from server.evaluation.recognition.transcript import Transcript
from server.evaluation.report.page import render
from server.evaluation.result import compute_result
from server.evaluation.similarity import Similarity, own_encoder
from server.settings import Settings

NICENESS = 10  # behind whoever serves listeners on this machine

log = structlog.get_logger()


class Listener:
    """Measures the utterances of one plan. Slow to make: it opens models."""

    def __init__(self, plan: Plan, store: ModelsStore, settings: Settings) -> None:
        """Raises BadEvaluation, NotFound, ModelMissing."""
        self._language = plan.texts.language
        self._recognise: Recogniser | None = open_chosen(plan.recogniser, self._language, settings)
        self.unmeasured: dict[str, str] = {}
        self._similarities = {system: self._encoders(system, store) for system in plan.systems}
        if plan.recogniser == NOBODY:
            reason = f"no recogniser for {self._language} was available or wanted"
            self.unmeasured |= dict.fromkeys(("cer", "wer", "tail_s", "cer_spread"), reason)
        if not any("own_similarity" in found for found in self._similarities.values()):
            self.unmeasured["own_similarity"] = "no submission has a speaker encoder of its own"

    def listen(self, item: Item, samples: Samples, sample_rate_hz: int) -> Heard:
        """Samples [n]; n = 0 for what couldn't be spoken. Raises EvaluationFailed."""
        if not len(samples):
            return Heard(None, {})
        heard = ears.for_listening(samples, sample_rate_hz)
        extent = ears.speech_extent(heard)
        values = extent.values() | dict(ears.opinion_scores(heard))
        if (loudness := ears.loudness_lufs(samples, sample_rate_hz)) is not None:
            values["loudness_lufs"] = loudness
        values |= {name: similarity(heard) for name, similarity in self._similarities[item.system].items()}
        if extent.speech_s > 0:
            letters = num_letters(item.sentence.references[0], self._language)
            values["letters_per_s"] = letters / extent.speech_s
        if self._recognise is None:
            return Heard(None, values)
        # Recognisers hear words in silence, too.
        transcript = self._recognise(heard) if extent.speech_s > 0 else Transcript("")
        return Heard(transcript.text, values | self._understood(item, transcript, extent))

    def _encoders(self, system: System, store: ModelsStore) -> dict[str, Similarity]:
        submission = store.resolve(system.submission_id)
        recordings = store.recordings(store.resolve_voice(system.voice_id, submission))
        found = {}
        try:
            found["similarity"] = Similarity(ears.voice_embedding, recordings)
        except ModelMissing as error:
            self.unmeasured["similarity"] = str(error)
        if (embed := own_encoder(store.files(submission.id))) is not None:
            found["own_similarity"] = Similarity(embed, recordings)
        return found

    def _understood(self, item: Item, transcript: Transcript, extent: ears.Extent) -> dict[str, float]:
        found = compare(item.sentence.references, transcript, self._language)
        stop_s = found.text_stop_s
        if stop_s is None:
            stop_s = extent.stop_s - found.tail_letters * extent.speech_s
        values = {"cer": found.cer, "tail_s": max(0.0, extent.stop_s - stop_s)}
        return values if found.wer is None else values | {"wer": found.wer}


def measure(plan: Plan, archive: Archive, listener: Listener) -> Iterator[int]:
    """How many utterances are measured, after each. Every one of them must have been spoken."""
    for done, item in enumerate(plan.items(), start=1):
        measurement = plan.measurement(item)
        if archive.heard(measurement) is None:
            archive.put_heard(measurement, listener.listen(item, *archive.samples(item.key)))
        yield done


def finish(plan: Plan, archive: Archive, listener: Listener) -> None:
    """Write the result and its report."""
    finished_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    result = compute_result(plan, archive, listener.unmeasured, finished_at)
    archive.finish(plan.id, result, render(result, archive.samples))


def _run(settings: Settings, evaluation_id: str) -> None:
    archive = Archive(settings.home_path / "evaluations")
    plan = archive.plan(evaluation_id)
    listener = Listener(plan, ModelsStore(settings.store_path), settings)
    for done in measure(plan, archive, listener):
        print(json.dumps({"done": done, "total": plan.num_items}), flush=True)
    finish(plan, archive, listener)


def main() -> None:
    settings = child.begin()
    logs.configure(settings)
    os.nice(NICENESS)
    try:
        _run(settings, sys.argv[1])
    except (BadEvaluation, EvaluationFailed, ModelMissing, ModelsStoreError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    except Exception:
        log.exception("an evaluation's measurement failed", evaluation=sys.argv[1])
        print(
            json.dumps({"error": "the process that measures has failed; the server's log says why."}),
            flush=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
