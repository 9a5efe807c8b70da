"""How requests name languages, in both worlds: BCP-47 tags, and GPT-SoVITS's `all_zh` or `auto`."""

from __future__ import annotations

from collections.abc import Sequence

from models_store.checkpoints.gpt_sovits_reference import LANGUAGES, detect_language
from providers.errors import UnsupportedLanguage

AUTO = "auto"
AUTO_CANTONESE = "auto_yue"  # Chinese characters are Cantonese


def resolve(tag: str | None, text: str, offered: Sequence[str]) -> str:
    """What `segments` wants to be told: one of `offered`, or `auto`, or `auto_yue`.

    `zh-CN`, `zh`, `all_zh` and `ZH_Hans` are zh; None means that the text shows it. Raises
    UnsupportedLanguage.
    """
    if tag is None:
        return AUTO_CANTONESE if detect_language(text, tuple(offered)) == "yue" else AUTO
    name = tag.strip().lower().replace("-", "_")
    if name in (AUTO, AUTO_CANTONESE):
        return name
    spellings = (name.replace("_", "-"), name, name.partition("_")[0])
    language = next((LANGUAGES[spelling] for spelling in spellings if spelling in LANGUAGES), None)
    if language is None or language not in offered:
        raise UnsupportedLanguage(tag, (*offered, AUTO))
    return language
