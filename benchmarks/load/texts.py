"""The pinned text sets. Written for this project; a set that changes makes a new benchmark of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "texts"
SETS = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))
LANGUAGE_WITHOUT_TAG = "en"


@dataclass(frozen=True, slots=True)
class Text:
    """`set` is the name of the set that it is from, `language` its BCP-47 tag."""

    set: str
    language: str
    text: str


def read_set(name_or_path: str, languages: tuple[str, ...] = ()) -> tuple[Text, ...]:
    """A set by its name, or a file of one's own: a text per line, with `LANGUAGE<TAB>` before it or without.

    `languages`, where given, are the ones to keep. Raises ValueError if no text is left, OSError for a file
    that can't be read.
    """
    path = FOLDER / f"{name_or_path}.txt" if name_or_path in SETS else Path(name_or_path)
    if name_or_path not in SETS and not path.is_file():
        raise ValueError(f"found {name_or_path!r}; expected one of {', '.join(SETS)}, or a file of texts")
    found = tuple(_parse(line, path.stem) for line in path.read_text().splitlines() if line.strip())
    kept = tuple(text for text in found if not languages or text.language in languages)
    if not kept:
        spoken = ", ".join(sorted({text.language for text in found})) or "nothing"
        raise ValueError(f"{name_or_path}: found texts in {spoken}; expected some in {', '.join(languages)}")
    return kept


def _parse(line: str, set_name: str) -> Text:
    language, tab, text = line.rstrip().partition("\t")
    return Text(set_name, language, text) if tab else Text(set_name, LANGUAGE_WITHOUT_TAG, line.strip())
