"""Every metric, its labels and its sentence.

Counters and histograms are counted where HTTP is served; with several HTTP processes they meet in
prometheus_client's multiprocess files. What the device process knows is asked of it when someone scrapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from server.scheduling.messages import WorkerState

# A second series beside each counter; several processes don't have it either.
disable_created_metrics()  # type: ignore[no-untyped-call]

MULTIPROCESS_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_LATENCY_BUCKETS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_RATIO_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True, slots=True)
class Described:
    """A row of METRICS. Counters are scraped with `_total` behind their name."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    sentence: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS = {
    row.name: row
    for row in (
        Described(
            "voicecore_http_requests",
            "counter",
            "Requests answered, by route and status; 499 is a client that left before there was a status.",
            ("method", "route", "status"),
        ),
        Described(
            "voicecore_speech_requests",
            "counter",
            "Speech requests by how they ended: completed, cancelled by the client, or failed.",
            ("outcome",),
        ),
        Described(
            "voicecore_time_to_first_audio_seconds",
            "histogram",
            "From a speech request's arrival to its first bytes of audio on the way to the client.",
            buckets=_LATENCY_BUCKETS_S,
        ),
        Described(
            "voicecore_real_time_factor",
            "histogram",
            "Seconds that a completed speech request took per second of its audio.",
            buckets=_RATIO_BUCKETS,
        ),
        Described("voicecore_served_audio_seconds", "counter", "Seconds of audio sent to clients."),
        Described("voicecore_text_tokens", "counter", "Text tokens of accepted speech requests."),
        Described("voicecore_prompt_cache_hits", "counter", "Texts whose prompts were still in memory."),
        Described("voicecore_prompt_cache_misses", "counter", "Texts that a text process had to read."),
        Described("voicecore_text_process_deaths", "counter", "Text processes that died and were replaced."),
        Described("voicecore_worker_up", "gauge", "1 while the device process answers, else 0."),
        Described("voicecore_slots", "gauge", "Utterances that the device process can decode at once."),
        Described("voicecore_slots_in_use", "gauge", "Utterances that it is decoding."),
        Described("voicecore_queued_utterances", "gauge", "Utterances that wait for a slot."),
        Described("voicecore_resident_submissions", "gauge", "Submissions in memory, by place.", ("place",)),
        Described("voicecore_submission_loads", "counter", "Loads of submissions onto the device."),
        Described("voicecore_device_weight_bytes", "gauge", "Weights on the device."),
        Described("voicecore_device_budget_bytes", "gauge", "Weights that the device may hold."),
        Described("voicecore_conditioning_cache_bytes", "gauge", "Conditionings in memory."),
        Described("voicecore_conditioning_cache_hits", "counter", "Conditionings found in memory."),
        Described(
            "voicecore_conditioning_cache_misses", "counter", "Conditionings that had to be made or read."
        ),
        Described("voicecore_decode_steps", "counter", "Decode steps run on the device."),
        Described("voicecore_speech_tokens", "counter", "Speech tokens decoded."),
        Described(
            "voicecore_vocoded_audio_seconds", "counter", "Seconds of audio made by the device process."
        ),
        Described("voicecore_worker_resident_memory_bytes", "gauge", "Memory of the device process."),
    )
}


class Metrics:
    """What this process counts. One per app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("voicecore_http_requests")
        self.speech_requests = self._counter("voicecore_speech_requests")
        self.time_to_first_audio = self._histogram("voicecore_time_to_first_audio_seconds")
        self.real_time_factor = self._histogram("voicecore_real_time_factor")
        self.served_audio_seconds = self._counter("voicecore_served_audio_seconds")
        self.text_tokens = self._counter("voicecore_text_tokens")
        self.prompt_cache_hits = self._counter("voicecore_prompt_cache_hits")
        self.prompt_cache_misses = self._counter("voicecore_prompt_cache_misses")
        self.text_process_deaths = self._counter("voicecore_text_process_deaths")

    def exposition(self, state: WorkerState | None) -> bytes:
        """What Prometheus scrapes: of all HTTP processes, and of the device process where it answers."""
        worker = CollectorRegistry()
        worker.register(_WorkerCollector(state))
        return generate_latest(self._served_by_all()) + generate_latest(worker)

    def _served_by_all(self) -> CollectorRegistry:
        if MULTIPROCESS_DIRECTORY_VARIABLE not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _counter(self, name: str) -> Counter:
        row = METRICS[name]
        return Counter(row.name, row.sentence, row.labels, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        row = METRICS[name]
        return Histogram(row.name, row.sentence, row.labels, registry=self._registry, buckets=row.buckets)


class _WorkerCollector:
    """One snapshot of the device process as metrics."""

    def __init__(self, state: WorkerState | None) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield _family("voicecore_worker_up", float(self._state is not None))
        if (state := self._state) is None:
            return
        yield from (_family(name, value) for name, value in _worker_values(state).items())
        residents = GaugeMetricFamily(
            "voicecore_resident_submissions",
            METRICS["voicecore_resident_submissions"].sentence,
            labels=["place"],
        )
        for place in ("device", "host"):
            residents.add_metric([place], sum(resident.place == place for resident in state.residents))
        yield residents


def _worker_values(state: WorkerState) -> dict[str, float]:
    return {
        "voicecore_slots": state.slots,
        "voicecore_slots_in_use": state.slots_in_use,
        "voicecore_queued_utterances": state.queued_utterances,
        "voicecore_submission_loads": state.submission_loads,
        "voicecore_device_weight_bytes": state.device_weight_bytes,
        "voicecore_device_budget_bytes": state.device_budget_bytes,
        "voicecore_conditioning_cache_bytes": state.conditioning_cache_bytes,
        "voicecore_conditioning_cache_hits": state.conditioning_cache_hits,
        "voicecore_conditioning_cache_misses": state.conditioning_cache_misses,
        "voicecore_decode_steps": state.decode_steps,
        "voicecore_speech_tokens": state.speech_tokens,
        "voicecore_vocoded_audio_seconds": state.audio_seconds,
        "voicecore_worker_resident_memory_bytes": state.process_rss_bytes,
    }


def _family(name: str, value: float) -> Metric:
    row = METRICS[name]
    family = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    return family(row.name, row.sentence, value=value)
