"""`PhoneReader`: a piece of text, in one language or several, → one prompt."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from providers.errors import UnsupportedLanguage, UnusableVoice
from providers.gpt_sovits.limits import MAX_REFERENCE_PHONES
from providers.gpt_sovits.text import cantonese, chinese, english, japanese, korean
from providers.gpt_sovits.text.cutting import SENTENCE_MARKS
from providers.gpt_sovits.text.languages import resolve
from providers.gpt_sovits.text.phones import Phones
from providers.gpt_sovits.text.segments import Segment, segments
from providers.gpt_sovits.text.symbols import PUNCTUATION, UNKNOWN, SymbolTable, TableName, symbol_table
from providers.interface import CharacterSpan, Prompt

# Fewer than these are spoken unclearly; a full stop goes in front, as in the published implementation.
_MIN_PHONES = 6
_SILENT: Final = frozenset((*PUNCTUATION, UNKNOWN, "SP", "SP2", "SP3", "_", "#", "[", "]", "空", "停"))
_CHINESE = "zh"  # what RoBERTa's features were trained with; Cantonese has none

_READERS: dict[str, Callable[[str, SymbolTable], Phones]] = {
    "en": english.phones,
    "ja": japanese.phones,
    "ko": korean.phones,
    "yue": cantonese.phones,
}


# Controls, formatting, emoji, and code points that are no characters; of symbols, degrees are spoken.
_UNSPOKEN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "So"))
_SPOKEN_SYMBOLS = "°℃℉"


def clean(text: str) -> str:
    """Composed (NFC), with one kind of space, without what no voice can say. Lines stay lines."""
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\t", " "))
    return "".join(
        " " if unicodedata.category(char) == "Zs" else char for char in composed if _is_spoken(char)
    )


def _is_spoken(char: str) -> bool:
    if char == "\n" or char in _SPOKEN_SYMBOLS:
        return True
    return unicodedata.category(char) not in _UNSPOKEN and not "\ufe00" <= char <= "\ufe0f"


class PhoneReader:
    """Reads for submissions of one symbol table. No torch; dictionaries load with a language's first text."""

    def __init__(
        self, table: TableName, languages: Sequence[str], base_models: Mapping[str, Path] | None = None
    ) -> None:
        """`base_models`: role → folder. Where G2PW is among them, it says how Chinese characters are read."""
        self._symbols = symbol_table(table)
        self._languages = tuple(languages)
        self._base_models = base_models or {}

    def read(self, text: str, language: str) -> Prompt:
        """The prompt of one utterance. `language` is as `segments` wants it. Raises UnsupportedLanguage."""
        text = re.sub(" {2,}", " ", clean(text))
        prompt = self._read(text, language)
        return prompt if len(prompt.ids) >= _MIN_PHONES else self._read(f".{text}", language)

    def read_reference(self, transcript: str, language: str | None) -> Prompt:
        """What is said in a voice's reference, as the decoder is shown it. Raises UnusableVoice."""
        text = " ".join(transcript.split())
        try:
            mode = resolve(language, text, self._languages)
            if text and text[-1] not in SENTENCE_MARKS:
                text += "." if mode == "en" else "。"
            prompt = self.read(text, mode)
        except UnsupportedLanguage as error:
            raise UnusableVoice(f"the reference's transcript: {error}") from error
        if not self.is_spoken(prompt):
            raise UnusableVoice("found a transcript without words; expected what the reference says")
        if len(prompt.ids) > MAX_REFERENCE_PHONES:
            raise UnusableVoice(
                f"found a transcript of {len(prompt.ids)} phones; expected at most {MAX_REFERENCE_PHONES}, "
                "more than ten seconds of speech have. Give the words of this recording only."
            )
        return prompt

    def is_spoken(self, prompt: Prompt) -> bool:
        """Whether anything in it has a sound."""
        symbols = self._symbols.symbols
        return any(symbols[phone] not in _SILENT for phone in prompt.ids)

    def _read(self, text: str, language: str) -> Prompt:
        ids: list[int] = []
        spans: list[CharacterSpan] = []
        parts = [
            (segment, self._phones(segment.text, segment.language)) for segment in segments(text, language)
        ]
        for segment, phones in parts:
            if segment.language == _CHINESE and phones.word2ph:
                spans.append(CharacterSpan(len(ids), phones.text, phones.word2ph))
            ids += self._symbols.ids(phones.names)
        return Prompt(
            ids=tuple(ids),
            text="".join(phones.text for _, phones in parts),
            language=language if language in self._languages else _main_language(parts),
            spans=tuple(spans),
        )

    def _phones(self, text: str, language: str) -> Phones:
        if language not in self._languages:
            raise UnsupportedLanguage(language, self._languages)
        if language == _CHINESE:
            return chinese.phones(text, self._symbols, self._chinese_readings())
        return _READERS[language](text, self._symbols)

    def _chinese_readings(self) -> chinese.Readings | None:
        """Those of G2PW, whose tokenizer is RoBERTa's. Models of the v1 table were trained without it."""
        folder, roberta = (self._base_models.get(role) for role in ("g2pw", "roberta"))
        if self._symbols.name == "v1" or folder is None or roberta is None:
            return None
        return _g2pw(folder, roberta / "tokenizer.json")


def _main_language(parts: Sequence[tuple[Segment, Phones]]) -> str:
    """The one with most phones of a mixed text; English of none."""
    counts = Counter[str]()
    for segment, phones in parts:
        counts[segment.language] += len(phones.names)
    return counts.most_common(1)[0][0] if counts else "en"


@lru_cache(maxsize=1)
def _g2pw(folder: Path, tokenizer: Path) -> chinese.Readings:
    """The process's: the model takes 600 MB."""
    from providers.gpt_sovits.text.polyphones import G2pw

    return G2pw.load(folder, tokenizer)
