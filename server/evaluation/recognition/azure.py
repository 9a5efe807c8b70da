"""Azure Speech, through its REST interface for short audio (at most 60 s), in the detailed format.

https://learn.microsoft.com/azure/ai-services/speech-service/rest-speech-to-text-short

`Lexical` of the best hypothesis is compared: the words as spoken, without numbers written as digits.
"""

from __future__ import annotations

import io
import random
import time
from typing import Any

import httpx
import soundfile

from server.evaluation.errors import EvaluationFailed
from server.evaluation.recognition.table import RATE_HZ, Samples
from server.evaluation.recognition.transcript import Transcript
from server.settings import Settings

PATH = "/speech/recognition/conversation/cognitiveservices/v1"
LONGEST_S = 60.0
TIMEOUT_S = 60.0
ATTEMPTS = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# Nobody spoke, as the service says it in its answer's RecognitionStatus.
NOTHING_HEARD = frozenset({"NoMatch", "InitialSilenceTimeout", "BabbleTimeout"})
REMEDIES = {
    400: "Its language or audio is refused: this is a mistake of ours, or the service has changed.",
    401: "Its key isn't of this region: check VOICECORE_AZURE_SPEECH_KEY and VOICECORE_AZURE_SPEECH_REGION.",
    403: "Its key may not use speech recognition: check the resource's kind, network rules and quota.",
    404: "Nobody recognises speech there: check VOICECORE_AZURE_SPEECH_REGION, or its ENDPOINT.",
}


class AzureSpeech:
    def __init__(self, client: httpx.Client, language: str) -> None:
        """`client` knows the endpoint and the key."""
        self._client = client
        self._language = language

    def __call__(self, samples: Samples) -> Transcript:
        """Raises EvaluationFailed."""
        heard = samples[: round(LONGEST_S * RATE_HZ)]
        wav = io.BytesIO()
        soundfile.write(wav, heard.clip(-1, 1), RATE_HZ, format="WAV", subtype="PCM_16")
        answer = self._ask(wav.getvalue())
        status = answer.get("RecognitionStatus")
        if status in NOTHING_HEARD:
            return Transcript("")
        best = answer.get("NBest") or [{}]
        if status != "Success" or "Lexical" not in best[0]:
            raise EvaluationFailed(f"Azure Speech: found the status {status!r}; expected words.")
        return Transcript(str(best[0]["Lexical"]))

    def _ask(self, wav: bytes) -> dict[str, Any]:
        """Again after failures that pass: too many requests, a service that is down, a broken connection."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._client.post(
                    PATH, params={"language": self._language, "format": "detailed"}, content=wav
                )
            except httpx.TransportError as error:
                failure, asked_s = f"{type(error).__name__}: {error}", None
            else:
                if response.is_success:
                    return _json(response)
                failure, asked_s = _failure(response), _retry_after_s(response)
                if response.status_code not in (408, 429) and response.status_code < 500:
                    break
            if attempt < ATTEMPTS:
                time.sleep(asked_s if asked_s is not None else _backoff_s(attempt))
        raise EvaluationFailed(
            f"Azure Speech at {self._client.base_url}: found {failure}; expected a transcript."
        )


def open_recogniser(settings: Settings, language: str) -> AzureSpeech:
    endpoint = (
        settings.azure_speech_endpoint or f"https://{settings.azure_speech_region}.stt.speech.microsoft.com"
    )
    assert settings.azure_speech_key is not None
    headers = {
        "Ocp-Apim-Subscription-Key": settings.azure_speech_key.get_secret_value(),
        "Content-Type": f"audio/wav; codecs=audio/pcm; samplerate={RATE_HZ}",
        "Accept": "application/json",
    }
    return AzureSpeech(httpx.Client(base_url=endpoint, headers=headers, timeout=TIMEOUT_S), language)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        return dict(response.json())
    except (ValueError, TypeError):
        raise EvaluationFailed(
            f"Azure Speech at {response.url.host}: found an answer that isn't JSON; expected a transcript."
        ) from None


def _failure(response: httpx.Response) -> str:
    said = " ".join(response.text.split())[:200]
    remedy = REMEDIES.get(response.status_code, "")
    return " ".join(filter(None, (f"status {response.status_code}", f"({said})" if said else "", remedy)))


def _retry_after_s(response: httpx.Response) -> float | None:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else None


def _backoff_s(attempt: int) -> float:
    """Twice as long each time, and not all at once."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)
