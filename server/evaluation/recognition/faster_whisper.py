"""faster-whisper with a model that lies on this machine. Nothing is ever fetched."""

from __future__ import annotations

from typing import Any

from server.evaluation.recognition.table import Samples
from server.evaluation.recognition.transcript import Transcript, Word
from server.settings import Settings


class FasterWhisper:
    def __init__(self, model: Any, language: str) -> None:
        self._model = model
        self._language = language

    def __call__(self, samples: Samples) -> Transcript:
        segments, _ = self._model.transcribe(
            samples,
            language=self._language,
            word_timestamps=True,
            # One answer, whatever came before: a sentence is judged alone, and the same each time.
            temperature=0.0,
            condition_on_previous_text=False,
        )
        found = list(segments)
        words = tuple(
            Word(word.word.strip(), word.start, word.end) for segment in found for word in segment.words or ()
        )
        return Transcript(" ".join(segment.text.strip() for segment in found), words)


def open_recogniser(settings: Settings, language: str) -> FasterWhisper:
    from faster_whisper import WhisperModel

    model = WhisperModel(
        str(settings.whisper_model),
        device="auto" if settings.device == "auto" else settings.device.partition(":")[0],
        compute_type="default",
        local_files_only=True,
    )
    return FasterWhisper(model, language)
