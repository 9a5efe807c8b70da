"""What an evaluation found, as it is written down: plain JSON values, complete enough to draw the report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from server.evaluation import measures
from server.evaluation.archive import Archive
from server.evaluation.errors import EvaluationFailed
from server.evaluation.plan import Item, Plan
from server.evaluation.scores import (
    Estimate,
    Values,
    differences,
    estimates,
    sentence_values,
    utterance_values,
)
from server.listening.bootstrap import CONFIDENCE


def compute_result(
    plan: Plan, archive: Archive, unmeasured: Mapping[str, str], finished_at: str
) -> dict[str, Any]:
    """`unmeasured`: measure → why nobody measured it. Every item must have been spoken and heard."""
    utterances = [_utterance(item, plan, archive) for item in plan.items()]
    sentences = [dict(_sentences(utterances, number)) for number in range(len(plan.systems))]
    return {
        "id": plan.id,
        "object": "evaluation.result",
        "created_at": plan.created_at,
        "finished_at": finished_at,
        "measures_version": measures.VERSION,
        "confidence": CONFIDENCE,
        "language": plan.texts.language,
        "texts_digest": plan.texts.digest,
        "seeds": list(plan.seeds),
        "recogniser": plan.recogniser,
        "devices": sorted({utterance["device"] for utterance in utterances} - {""}),
        "unmeasured": dict(unmeasured),
        "systems": [
            {
                "name": system.name,
                "submission_id": system.submission_id,
                "voice_id": system.voice_id,
                "voice": system.voice,
                "family": system.family,
                "variant": system.variant,
                "scores": _estimates(estimates(list(found.values()))),
                "kinds": _kinds(plan, found),
            }
            for system, found in zip(plan.systems, sentences, strict=True)
        ],
        "differences": [
            {"systems": [a, b], "scores": _estimates(differences(sentences[a], sentences[b]))}
            for a, b in combinations(range(len(plan.systems)), 2)
        ],
        "utterances": sorted(utterances, key=lambda utterance: utterance["values"]["overall"]),
    }


def _utterance(item: Item, plan: Plan, archive: Archive) -> dict[str, Any]:
    spoken, heard = archive.spoken(item.key), archive.heard(plan.measurement(item))
    if spoken is None or heard is None:
        raise EvaluationFailed(f"found utterance {item.key} unfinished; expected it measured. Start again.")
    return {
        "key": item.key,
        "system": plan.systems.index(item.system),
        "sentence": item.sentence.id,
        "kind": item.sentence.kind,
        "text": item.sentence.text,
        "reference": item.sentence.references[0],
        "seed": item.seed,
        "transcript": heard.transcript,
        "error": spoken.error,
        "duration_s": spoken.duration_s,
        "device": spoken.device,
        "spoken_at": spoken.spoken_at,
        "values": utterance_values(spoken, heard),
    }


def _sentences(utterances: Sequence[Mapping[str, Any]], system: int) -> Iterator[tuple[str, Values]]:
    """Id of a sentence → its measures over seeds."""
    by_sentence: dict[str, list[Values]] = defaultdict(list)
    for utterance in utterances:
        if utterance["system"] == system:
            by_sentence[utterance["sentence"]].append(utterance["values"])
    for sentence, by_seed in by_sentence.items():
        yield sentence, sentence_values(by_seed)


def _kinds(plan: Plan, sentences: Mapping[str, Values]) -> dict[str, dict[str, float]]:
    """Kind of text → means: where a submission is weak."""
    by_kind: dict[str, list[Values]] = defaultdict(list)
    for sentence in plan.texts.sentences:
        by_kind[sentence.kind].append(sentences[sentence.id])
    return {
        kind: {name: found.mean for name, found in estimates(values).items()}
        for kind, values in by_kind.items()
    }


def _estimates(found: Mapping[str, Estimate]) -> dict[str, dict[str, float | int | None]]:
    """JSON has no infinity: the ends of an interval that one sentence can't give are null."""
    return {
        name: {key: value if math.isfinite(value) else None for key, value in asdict(each).items()}
        for name, each in found.items()
    }
