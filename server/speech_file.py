"""A text into an audio file: what `voicecore speak` does, with the server that runs or without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import httpx
import typer

from models_store.store import ModelsStore
from server import logs
from server.demo_voices import submit_demo_voices
from server.errors import ServerError
from server.http.encoders import FORMATS, Format, wav_header
from server.http.schemas import SpeechRequest
from server.running_server import check_response, find_server
from server.settings import Settings

STANDARD_OUTPUT = Path("-")
SUFFIXES = {format.suffix: format for format in FORMATS.values()} | {".ogg": FORMATS["opus"]}
WAV_HEADER_BYTES = 44
WAV_RATE = slice(24, 28)
LOCAL_LOG_LEVEL = "error"  # the device process's log is not what someone reads who wants a file


def format_of(output: Path) -> Format:
    """Raises BadParameter where the suffix names no format."""
    if output == STANDARD_OUTPUT:
        return FORMATS["wav"]
    try:
        return SUFFIXES[output.suffix.lower()]
    except KeyError:
        expected = f"expected a name that ends in {', '.join(SUFFIXES)}"
        raise typer.BadParameter(f"--output: found {output.name!r}; {expected}") from None


def write_speech(request: SpeechRequest, output: Path, settings: Settings, local: bool) -> str:
    """Speak into `output` (- is standard output); returns the name of the model that spoke.

    `request.model` None is the only submission there is, else the default model.
    """
    if not local and (server := find_server(settings)) is not None:
        with closing(server), _opened(output) as file:
            request = _with_model(request, _served_models(server), settings)
            for data in _spoken_by(server, request):
                file.write(data)
    else:
        request = _speak_without_server(request, output, settings)
    return request.model or settings.default_model


def _speak_without_server(request: SpeechRequest, output: Path, settings: Settings) -> SpeechRequest:
    logs.configure(settings.model_copy(update={"log_level": LOCAL_LOG_LEVEL}))
    store = ModelsStore(settings.store_path)
    if settings.demo:
        submit_demo_voices(store)
    request = _with_model(request, store.names(), settings)
    # By name, for it needs torch and nothing else on the command line does.
    speak_locally = import_module("server.local_speech").speak_locally
    with _opened(output) as file:
        speak_locally(request, store, settings, file.write)
    return request


def _with_model(request: SpeechRequest, available: Mapping[str, str], settings: Settings) -> SpeechRequest:
    """`available`: name → submission id."""
    if request.model is not None:
        return request
    only_one = settings.default_model not in available and len(set(available.values())) == 1
    return request.model_copy(update={"model": next(iter(available)) if only_one else settings.default_model})


def _served_models(server: httpx.Client) -> dict[str, str]:
    response = server.get("/v1/models")
    check_response(response)
    try:
        return {model["id"]: model["submission_id"] for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        raise ServerError(
            f"{response.url}: found an answer of something else; expected a Voice Core server's models. "
            "Choose its address with --host and --port, or speak with --local."
        ) from None


def _spoken_by(server: httpx.Client, request: SpeechRequest) -> Iterator[bytes]:
    fields = request.model_dump(exclude_none=True)
    try:
        with server.stream("POST", "/v1/audio/speech", json=fields) as response:
            check_response(response)
            yield from response.iter_bytes()
    except httpx.HTTPError as error:
        raise ServerError(
            f"{server.base_url}: found the end of the connection ({type(error).__name__}); expected speech. "
            "The server's log says why; --local speaks without it."
        ) from error


@contextmanager
def _opened(output: Path) -> Iterator[BinaryIO]:
    """The file appears when it's whole."""
    if output == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with draft.open("w+b") as file:
            yield file
            _state_length(file)
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)


def _state_length(file: BinaryIO) -> None:
    """The length in a wav's header: it was written before anybody knew it."""
    num_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = file.read(WAV_HEADER_BYTES)
    if header.startswith(b"RIFF"):
        file.seek(0)
        rate_hz = int.from_bytes(header[WAV_RATE], "little")
        file.write(wav_header(rate_hz, (num_bytes - WAV_HEADER_BYTES) // 2))
