"""The pinned texts that submissions are evaluated with: a set per language, known by its digest.

Each set has short, long and single-word texts, numbers, words that are hard to say, and words that repeat,
at which autoregressive models lose their place. Where a text writes numbers in digits, `spoken` says them in
words: a recogniser may write either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from server.evaluation.errors import BadEvaluation

FOLDER = Path(__file__).parent / "texts"
KINDS = ("short", "long", "numbers", "hard", "repeated", "single")
MAX_SENTENCES = 200
MAX_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Sentence:
    id: str  # "numbers-2"
    kind: str
    text: str
    spoken: str | None = None  # in words, where the text has digits

    @property
    def references(self) -> tuple[str, ...]:
        """What a recogniser may write that has heard all of it."""
        return (self.text,) if self.spoken is None else (self.spoken, self.text)


@dataclass(frozen=True, slots=True)
class TextSet:
    language: str  # BCP-47
    sentences: tuple[Sentence, ...]

    @property
    def digest(self) -> str:
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()


def languages() -> tuple[str, ...]:
    """That have a pinned set."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@lru_cache(maxsize=32)
def pinned(language: str) -> TextSet:
    """Raises BadEvaluation."""
    if language not in languages():
        raise BadEvaluation(
            f"found the language {language!r}; expected one that has texts: {', '.join(languages())}. "
            "Send texts of your own for another."
        )
    content = json.loads((FOLDER / f"{language}.json").read_bytes())
    return text_set(content["language"], content["sentences"])


def text_set(language: str, sentences: Mapping[str, Sequence[str | Mapping[str, str]]]) -> TextSet:
    """Kind → its texts, each a string or {"text", "spoken"}. Raises BadEvaluation."""
    made = tuple(_sentence(kind, i, text) for kind in sentences for i, text in enumerate(sentences[kind], 1))
    _check(made)
    return TextSet(language, made)


def lines(language: str, content: str) -> TextSet:
    """A text per line; empty lines and those that begin with # are none. Raises BadEvaluation."""
    texts = [line.strip() for line in content.splitlines()]
    return text_set(language, {"given": [text for text in texts if text and not text.startswith("#")]})


def to_json(texts: TextSet) -> dict[str, Any]:
    return asdict(texts)


def from_json(value: Mapping[str, Any]) -> TextSet:
    return TextSet(value["language"], tuple(Sentence(**sentence) for sentence in value["sentences"]))


def _sentence(kind: str, number: int, text: str | Mapping[str, str]) -> Sentence:
    if isinstance(text, str):
        return Sentence(f"{kind}-{number}", kind, text)
    if "text" not in text or text.keys() - {"text", "spoken"}:
        raise BadEvaluation(
            f"{kind}: found a text with {', '.join(sorted(text)) or 'nothing'}; expected `text` and `spoken`."
        )
    return Sentence(f"{kind}-{number}", kind, text["text"], text.get("spoken"))


def _check(sentences: Sequence[Sentence]) -> None:
    if not 1 <= len(sentences) <= MAX_SENTENCES:
        raise BadEvaluation(f"found {len(sentences)} texts; expected 1 to {MAX_SENTENCES}.")
    for sentence in sentences:
        if not any(character.isalnum() for character in sentence.text):
            raise BadEvaluation(f"found the text {sentence.text!r}; expected words to say.")
        if len(sentence.text) > MAX_CHARS:
            found = f"found a text of {len(sentence.text)} characters; expected at most {MAX_CHARS}"
            raise BadEvaluation(f"{found}, so that one failure is one sentence's.")
    if repeated := _repeated(sentence.text for sentence in sentences):
        raise BadEvaluation(f"found the text {repeated!r} twice; expected each once.")


def _repeated(texts: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            return text
        seen.add(text)
    return None
