"""G2PW: which reading a Chinese character has in its sentence, by a published model in onnxruntime.

A BERT reads the characters around those with several readings; a mask says which readings each may have. The
model knows traditional characters only, so it is asked about those, and answers in bopomofo.

    Y.-C. Chen et al., 2022, "g2pW: A Conditional Weighted Softmax BERT for Polyphone Disambiguation"
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from providers.gpt_sovits.text.pinyin import readings_in_context

_CONTEXT_CHARS = 16  # on either side of what is asked about
_MAX_CHARS = 400  # asked about at once; with their context, within the model's 510
# Read by words and by sandhi instead: the model would take their tones for a choice.
_NOT_ASKED = frozenset("一不和咋嗲剖差攢倒難奔勁拗肖瘙誒泊听噢")
_NOT_FIXED = frozenset("似攢")


class Session(Protocol):
    """An onnxruntime session."""

    def run(self, outputs: None, inputs: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[np.float32]]: ...


@dataclass(frozen=True, slots=True)
class ReadingTables:
    """What stands beside the model in its folder."""

    readings: tuple[str, ...]  # in bopomofo, in the order of the model's outputs
    polyphones: Mapping[str, frozenset[int]]  # traditional character → which of `readings` it may have
    monophones: Mapping[str, str]  # traditional character → its reading
    pinyin: Mapping[str, str]  # bopomofo → pinyin, both without tone

    @classmethod
    def from_folder(cls, folder: Path) -> ReadingTables:
        pairs = list(_pairs(folder / "POLYPHONIC_CHARS.txt"))
        readings = tuple(sorted({reading for _, reading in pairs}))
        index = {reading: i for i, reading in enumerate(readings)}
        polyphones: dict[str, set[int]] = {}
        for char, reading in pairs:
            polyphones.setdefault(char, set()).add(index[reading])
        return cls(
            readings=readings,
            polyphones={char: frozenset(allowed) for char, allowed in sorted(polyphones.items())},
            monophones=dict(_pairs(folder / "MONOPHONIC_CHARS.txt")),
            pinyin=json.loads((folder / "bopomofo_to_pinyin_wo_tune_dict.json").read_text(encoding="utf-8")),
        )

    def in_pinyin(self, bopomofo: str) -> str | None:
        """`ㄏㄤ2` → hang2; None for a syllable that the table lacks."""
        syllable = self.pinyin.get(bopomofo[:-1])
        return syllable.replace("u:", "v").replace("ü", "v") + bopomofo[-1] if syllable else None


class G2pw:
    """Callable: a sentence in simplified characters → a reading for each of them, marks as they are.

    Made once per process; calls are safe from several threads.
    """

    def __init__(self, tables: ReadingTables, session: Session, tokenizer: Tokenizer) -> None:
        self._tables = tables
        self._session = session
        self._tokenizer = tokenizer
        self._char_ids = {char: i for i, char in enumerate(tables.polyphones)}
        self._asked = tables.polyphones.keys() - _NOT_ASKED
        self._shares_context = self._answers_alike()
        self._fixed = {
            char: reading
            for char, bopomofo in tables.monophones.items()
            if char not in _NOT_FIXED and (reading := tables.in_pinyin(bopomofo))
        }

    @classmethod
    def load(cls, folder: Path, tokenizer: Path) -> G2pw:
        """From the published folder and the tokenizer.json of chinese-roberta-wwm-ext-large."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a process per core speaks text already
        options.log_severity_level = 3  # errors; the published graph has warnings of its own
        session = onnxruntime.InferenceSession(
            str(folder / "g2pW.onnx"), options, providers=["CPUExecutionProvider"]
        )
        return cls(ReadingTables.from_folder(folder), session, Tokenizer.from_file(str(tokenizer)))

    def __call__(self, sentence: str) -> list[str]:
        readings = readings_in_context(sentence)
        traditional = _traditional(sentence)
        for i, char in enumerate(traditional):
            readings[i] = self._fixed.get(char, readings[i])
        asked = [i for i, char in enumerate(traditional) if char in self._asked]
        for batch in _within(asked, _MAX_CHARS):
            for i, reading in zip(batch, self._ask(traditional, batch), strict=True):
                readings[i] = reading or readings[i]
        return readings

    def _ask(self, traditional: str, asked: Sequence[int]) -> list[str | None]:
        """The likeliest reading of each character asked about, which share one context."""
        start = max(0, asked[0] - _CONTEXT_CHARS)
        context = traditional[start : asked[-1] + _CONTEXT_CHARS + 1]
        positions = [i - start for i in asked]
        likelihoods = self._likelihoods(context, positions, self._shares_context)
        return [self._tables.in_pinyin(self._tables.readings[i]) for i in likelihoods.argmax(axis=1)]

    def _likelihoods(self, context: str, positions: Sequence[int], shares: bool) -> NDArray[np.float32]:
        """Of each reading at each position, [positions, readings]; -1 where a character can't have it.

        With `shares` the context goes in once, otherwise once for each position.
        """
        ids = self._token_ids(context)  # [1, T]
        rows = np.repeat(ids, 1 if shares else len(positions), axis=0)
        chars = [context[position] for position in positions]
        allowed = np.zeros((len(chars), len(self._tables.readings)), np.float32)
        for row, char in zip(allowed, chars, strict=True):
            row[list(self._tables.polyphones[char])] = 1
        (likelihoods,) = self._session.run(
            None,
            {
                "input_ids": rows,
                "token_type_ids": np.zeros_like(rows),
                "attention_mask": np.ones_like(rows),
                "phoneme_mask": allowed,
                "char_ids": np.array([self._char_ids[char] for char in chars], np.int64),
                # [CLS] comes first.
                "position_ids": np.array(positions, np.int64) + 1,
            },
        )
        return np.where(allowed > 0, likelihoods, np.float32(-1))

    def _token_ids(self, context: str) -> NDArray[np.int64]:
        """Characters are words to this tokenizer, [1, characters + 2]."""
        unknown = self._tokenizer.token_to_id("[UNK]")
        ids = [self._tokenizer.token_to_id(token) for token in ("[CLS]", *context, "[SEP]")]
        return np.array([[unknown if id_ is None else id_ for id_ in ids]], np.int64)

    def _answers_alike(self) -> bool:
        """Whether one context does for several positions, as in the published build.

        Other exports gather by row, so it is tried. It saves reading the context again for each.
        """
        chars = [*self._asked][:2]
        if len(chars) < 2:
            return False
        context, positions = "".join(chars), (0, 1)
        apart = self._likelihoods(context, positions, shares=False)
        try:
            together = self._likelihoods(context, positions, shares=True)
        except Exception:  # onnxruntime's errors have no common base
            return False
        return together.shape == apart.shape and bool(np.allclose(together, apart, atol=1e-4))


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Lines of a character and a reading."""
    for line in path.read_text(encoding="utf-8").splitlines():
        char, tab, reading = line.strip().partition("\t")
        if tab:
            yield char, reading


def _within(positions: Iterable[int], max_chars: int) -> Iterator[list[int]]:
    """Neighbouring positions, in groups that span at most `max_chars`."""
    group: list[int] = []
    for position in positions:
        if group and position - group[0] >= max_chars:
            yield group
            group = []
        group.append(position)
    if group:
        yield group


def _traditional(sentence: str) -> str:
    """As many characters as before."""
    converted = _converter()(sentence)
    return converted if len(converted) == len(sentence) else sentence


@cache
def _converter() -> Callable[[str], str]:
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("s2tw").convert
    return convert
