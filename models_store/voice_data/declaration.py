"""What a contributor declares: what no machine can hear. Accepted word for word, by version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

from models_store.errors import Problem, Undeclared

# A change of any of the sentences is a new version: old records are about the old ones.
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Licence:
    title: str
    url: str


LICENCES = {
    "CC0-1.0": Licence("Creative Commons Zero 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "CC-BY-4.0": Licence("Creative Commons Attribution 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "CC-BY-SA-4.0": Licence(
        "Creative Commons Attribution-ShareAlike 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"
    ),
    "CC-BY-NC-4.0": Licence(
        "Creative Commons Attribution-NonCommercial 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"
    ),
    "CC-BY-NC-SA-4.0": Licence(
        "Creative Commons Attribution-NonCommercial-ShareAlike 4.0",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
}

# Field → the sentence that is declared with it.
STATEMENTS = {
    "right_to_share": (
        "I have the legal right to share these recordings and to put them under the licence that I chose."
    ),
    "speaker_consent": (
        "The person who speaks in them knows what they are for, a synthetic voice that sounds like them, and "
        "has agreed to it; or that person is me."
    ),
    "authentic_source": (
        "They come from the source that I named, they are a real person's speech, and nobody altered what is "
        "said in them."
    ),
}
MAX_TEXT_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Declaration:
    """Made by `declare`, which sees to it that it is complete; or by reading an older record."""

    version: str
    licence: str  # of LICENCES
    source: str
    right_to_share: bool
    speaker_consent: bool
    authentic_source: bool
    contributor: str = ""  # whom to ask, if they want to be asked


def declare(**given: str | bool | None) -> Declaration:
    """From fields, missing ones being undeclared. Raises Undeclared with everything that is missing."""
    declaration = Declaration(
        version=str(given.get("version") or VERSION),
        licence=str(given.get("licence") or ""),
        source=str(given.get("source") or "").strip(),
        **{name: given.get(name) is True for name in STATEMENTS},
        contributor=str(given.get("contributor") or "").strip(),
    )
    if problems := _problems(declaration):
        raise Undeclared(problems)
    return declaration


def text_digest() -> str:
    """Of the sentences of this version: put into every record beside it."""
    return "sha256:" + hashlib.sha256("\n".join(STATEMENTS.values()).encode()).hexdigest()


def _problems(declaration: Declaration) -> list[Problem]:
    problems = []
    if declaration.version != VERSION:
        remedy = "Read it again and declare it anew."
        problems.append(_missing("version", f"version {declaration.version!r}", f"version {VERSION}", remedy))
    if declaration.licence not in LICENCES:
        found = f"the licence {declaration.licence[:80]!r}" if declaration.licence else "no licence"
        expected = f"one of {', '.join(LICENCES)}"
        problems.append(_missing("licence", found, expected, "Choose the one that you share them under."))
    if not declaration.source:
        remedy = "Say where and by whom they were recorded, or where they were published."
        problems.append(_missing("source", "no source", "where the recordings come from", remedy))
    for field in fields(declaration):
        value = getattr(declaration, field.name)
        if isinstance(value, str) and len(value) > MAX_TEXT_CHARS:
            found = f"{len(value)} characters"
            problems.append(
                _missing(field.name, found, f"at most {MAX_TEXT_CHARS}", "Say it in fewer words.")
            )
    for name, sentence in STATEMENTS.items():
        if not getattr(declaration, name):
            remedy = "Without it the recordings can't be taken."
            problems.append(_missing(name, "no such declaration", f"“{sentence}”", remedy))
    return problems


def _missing(name: str, found: str, expected: str, remedy: str) -> Problem:
    return Problem("Undeclared", name, found, expected, remedy)
