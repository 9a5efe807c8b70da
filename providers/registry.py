"""Family → the classes that run it, imported on first use.

The text front end and the provider are separate entries because processes that only handle text must not
import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from models_store.submission import SubmissionFiles
from providers.interface import Provider, TextFrontEnd


@dataclass(frozen=True, slots=True)
class Family:
    provider: str  # "module:Class", called without arguments
    text_front_end: str  # "module:Class", called with the SubmissionFiles


FAMILIES = {
    "xtts": Family(
        provider="providers.xtts.provider:XttsProvider",
        text_front_end="providers.xtts.text:XttsTextFrontEnd",
    ),
    "gpt_sovits": Family(
        provider="providers.gpt_sovits.provider:GptSovitsProvider",
        text_front_end="providers.gpt_sovits.text.front_end:GptSovitsTextFrontEnd",
    ),
}


def provider(family: str) -> Provider:
    return cast(Provider, _resolve(FAMILIES[family].provider)())


def text_front_end(files: SubmissionFiles) -> TextFrontEnd:
    return cast(TextFrontEnd, _resolve(FAMILIES[files.submission.family].text_front_end)(files))


def warm_up_text_front_ends() -> None:
    """Ahead of the first request: their libraries take a second."""
    for family in FAMILIES.values():
        cast(type[TextFrontEnd], _resolve(family.text_front_end)).warm_up()


def _resolve(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(import_module(module), name)
