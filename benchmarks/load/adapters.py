"""How each kind of server is asked: a row says where, in which words, and what comes back.

Facts about other projects' servers are from their published sources: coqui-ai/xtts-streaming-server
`server/main.py` and RVC-Boss/GPT-SoVITS `api_v2.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load.workload import Ask, Workload

Words = dict[str, Any]  # a JSON object

LONGEST_PREPARATION_S = 60.0  # a server may have to load a model before it can say anything of a voice


class TargetError(Exception):
    """The target can't be asked what is to be measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under test. `voices` is what its adapter has found out about each voice."""

    name: str
    adapter: str
    url: str
    api_key: str | None = None
    more_fields: Words = field(default_factory=dict)  # of every request
    voices: Mapping[str, Words] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


@dataclass(frozen=True, slots=True)
class Adapter:
    """`formats` maps what is asked for to what the server calls it and what to play it as."""

    path: str
    words: Callable[[Ask, str, Words], Words]  # ask, the server's name of the format, the voice
    formats: Mapping[str, tuple[str, str]]
    find_voice: Callable[[httpx.Client, str], Words]
    sample_rate_hz: int = 24_000  # of PCM whose response doesn't say


def _any_voice(client: httpx.Client, voice: str) -> Words:
    return {"voice": voice}


def _openai_words(ask: Ask, format: str, voice: Words) -> Words:
    return {"model": ask.model, "input": ask.text.text, "response_format": format} | voice


def _voicecore_words(ask: Ask, format: str, voice: Words) -> Words:
    return _openai_words(ask, format, voice) | {"language": ask.text.language, "seed": ask.seed}


def _speaker(client: httpx.Client, voice: str) -> Words:
    """The latents that every request has to bring along: of a recording, or of a speaker that it knows."""
    if Path(voice).is_file():
        response = client.post("clone_speaker", files={"wav_file": Path(voice).read_bytes()})
        found = response.raise_for_status().json()
    else:
        response = client.get("studio_speakers")
        speakers: Words = response.json() if response.is_success else {}
        found = next(iter(speakers.values()), None) if voice == "default" else speakers.get(voice)
        if found is None:
            known = ", ".join(list(speakers)[:5]) or "none"
            raise TargetError(f"found voice {voice!r}; expected a recording's path or a speaker ({known} …)")
    return {name: found[name] for name in ("speaker_embedding", "gpt_cond_latent")}


def _xtts_words(ask: Ask, format: str, voice: Words) -> Words:
    language = "zh" if ask.text.language == "zh-cn" else ask.text.language
    fields = {"text": ask.text.text, "language": language, "add_wav_header": True, "stream_chunk_size": "20"}
    return fields | voice


def _reference(client: httpx.Client, voice: str) -> Words:
    """`PATH|LANGUAGE|TRANSCRIPT`; the path is the server's."""
    path, _, rest = voice.partition("|")
    language, _, transcript = rest.partition("|")
    return {"ref_audio_path": path, "prompt_lang": language or "en", "prompt_text": transcript}


def _gpt_sovits_words(ask: Ask, format: str, voice: Words) -> Words:
    language = ask.text.language.partition("-")[0]
    fields = {"text": ask.text.text, "text_lang": language, "media_type": format, "seed": ask.seed}
    # 3 is the mode whose first audio comes soonest. Builds that only know true and false: see --field.
    return fields | {"streaming_mode": 3} | voice


_OPENAI_FORMATS = {name: (name, name) for name in ("pcm", "wav", "mp3", "opus", "aac", "flac")}

ADAPTERS = {
    "voicecore": Adapter("v1/audio/speech", _voicecore_words, _OPENAI_FORMATS, _any_voice),
    "openai": Adapter("v1/audio/speech", _openai_words, _OPENAI_FORMATS, _any_voice),
    "xtts-streaming-server": Adapter(
        "tts_stream", _xtts_words, {"pcm": ("wav", "wav"), "wav": ("wav", "wav")}, _speaker
    ),
    "gpt-sovits": Adapter(
        "tts",
        _gpt_sovits_words,
        # Its raw samples don't say their rate, so PCM is asked for with a header.
        {"pcm": ("wav", "wav"), "wav": ("wav", "wav"), "opus": ("ogg", "opus"), "aac": ("aac", "aac")},
        _reference,
    ),
}
DEFAULT_ADAPTER = "voicecore"


def parse_target(text: str, api_key: str | None = None, more_fields: Words | None = None) -> Target:
    """`[NAME=][ADAPTER+]URL`. Raises TargetError."""
    name, has_name, address = text.partition("=") if "=" in text.partition("://")[0] else ("", "", text)
    scheme, separator, rest = address.partition("://")
    adapter, plus, protocol = scheme.rpartition("+")
    adapter = adapter if plus else DEFAULT_ADAPTER
    if not separator or protocol not in ("http", "https") or not rest:
        raise TargetError(f"found {text!r}; expected [NAME=][ADAPTER+]http://HOST:PORT")
    if adapter not in ADAPTERS:
        raise TargetError(f"{text}: found adapter {adapter!r}; expected one of {', '.join(ADAPTERS)}")
    url = f"{protocol}://{rest.rstrip('/')}/"
    return Target(name if has_name else rest.rstrip("/"), adapter, url, api_key, more_fields or {})


def request_of(target: Target, ask: Ask) -> tuple[bytes, str]:
    """(body, what to play the response as)"""
    adapter = ADAPTERS[target.adapter]
    wire_format, track = adapter.formats[ask.format]
    voice = target.voices.get(ask.voice) or {"voice": ask.voice}
    words = adapter.words(ask, wire_format, voice) | target.more_fields
    return json.dumps(words, ensure_ascii=False).encode(), track


def check_formats(target: Target, formats: tuple[str, ...]) -> None:
    """Raises TargetError for one that the target doesn't have."""
    known = ADAPTERS[target.adapter].formats
    if unknown := [format for format in formats if format not in known]:
        raise TargetError(f"{target.name}: found format {unknown[0]!r}; expected one of {', '.join(known)}")


def find_voices(target: Target, voices: tuple[str, ...]) -> Target:
    """The target with what requests say for each voice. Raises TargetError."""
    find = ADAPTERS[target.adapter].find_voice
    with open_client(target) as client:
        try:
            return replace(target, voices={voice: find(client, voice) for voice in voices})
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise TargetError(
                f"{target.name}: found {error!r} when asked for its voices; expected them."
            ) from error


def prime(target: Target, workload: Workload, timeout_s: float) -> None:
    """Has each model and each voice of a workload speak once. Raises TargetError where one doesn't."""
    text = min(workload.texts, key=lambda text: len(text.text))
    first_model, first_voice = workload.models[0], workload.voices[0]
    pairs = {(model, first_voice) for model in workload.models}
    pairs |= {(first_model, voice) for voice in workload.voices}
    with open_client(target) as client:
        for model, voice in sorted(pairs):
            body, _ = request_of(target, Ask(text, model, voice, workload.formats[0], seed=0))
            try:
                response = client.post(
                    ADAPTERS[target.adapter].path,
                    content=body,
                    headers={"Content-Type": "application/json"},
                    timeout=timeout_s,
                )
            except httpx.HTTPError as error:
                raise TargetError(f"{target.url}: found {error!r}; expected speech. Does it run?") from error
            if response.status_code != 200:
                told = f"status {response.status_code}: {response.text[:300]}"
                raise TargetError(f"{target.url}: found {told}; expected {model} to speak as {voice}")


def scrape(target: Target) -> dict[str, float]:
    """What the target's /metrics says without labels, by name; nothing where it has none."""
    try:
        with open_client(target) as client:
            response = client.get("metrics")
    except httpx.HTTPError:
        return {}
    found = re.findall(r"^(\w+) (\S+)$", response.text, re.MULTILINE) if response.is_success else []
    return {name: float(value) for name, value in found}


def open_client(target: Target) -> httpx.Client:
    """For what is asked before and after a run. Not through a proxy."""
    return httpx.Client(
        base_url=target.url, headers=target.headers, timeout=LONGEST_PREPARATION_S, trust_env=False
    )
