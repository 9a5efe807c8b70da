"""Values of a JSON object or a checkpoint's config, each checked, none assumed."""

from __future__ import annotations

import difflib
import encodings.utf_8_sig  # noqa: F401 (a codec is imported when it is first used; the sandbox forbids that)
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from models_store.checkpoints.findings import Findings

MAX_FOUND_CHARS = 200
KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false"}
# ```json … ``` around the file: the contributor guide's sample was copied with its Markdown.
FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class Unreadable(Exception):
    """The file as a whole is not what it must be."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found = found[:MAX_FOUND_CHARS]
        self.expected = expected


class Key(NamedTuple):
    """A value that must be there."""

    path: str
    kind: type
    low: float
    high: float
    published: Any  # in the published config, for the remedy of a missing key


class Config(NamedTuple):
    """Where keys are looked up, and how messages call it."""

    file: str
    title: str  # whose published values are suggested: "XTTS-v2"
    document: Mapping[str, Any]


def read_content(descriptor: int, limit: int) -> bytes:
    """An open file's content, or one byte more than the limit of a longer one."""
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read(limit + 1)


def parse_object(data: bytes, file: str, max_bytes: int, findings: Findings) -> dict[str, Any]:
    """The JSON object in these bytes of `file`. Raises Unreadable."""
    expected = "the JSON object that came with the model"
    if len(data) > max_bytes:
        raise Unreadable(f"more than {max_bytes} bytes", expected)
    try:
        text = data.decode("utf-8-sig")
        if fenced := FENCED.match(text):
            text = fenced.group(1)
            findings.warn(
                "BadConfig",
                file,
                "JSON inside a Markdown code fence",
                "the JSON alone",
                "It was read all the same; remove the lines with ``` to be safe elsewhere.",
            )
        # Python's parser takes the literals Infinity and NaN, which XTTS's published file has.
        document = json.loads(text)
    except UnicodeDecodeError:
        raise Unreadable("bytes that are not UTF-8 text", expected) from None
    except RecursionError:
        raise Unreadable("JSON nested too deeply", expected) from None
    except ValueError as error:
        raise Unreadable(f"text that is not JSON ({error})", expected) from None
    if not isinstance(document, dict):
        raise Unreadable(f"a JSON {json_type(document)}", expected)
    return document


def read_keys(config: Config, keys: tuple[Key, ...], findings: Findings) -> dict[str, Any]:
    """The sound ones by path; the others are reported."""
    return {key.path: value for key in keys if (value := _read_key(config, key, findings)) is not None}


def _read_key(config: Config, key: Key, findings: Findings) -> Any:
    *parents, name = key.path.split(".")
    scope: Any = config.document
    for parent in parents:
        scope = scope.get(parent) if isinstance(scope, dict) else None
    if not isinstance(scope, dict) or name not in scope:
        near = difflib.get_close_matches(name, _names(scope), n=1)
        hint = f"Did you mean {key.path} by {near[0]!r}? " if near else ""
        findings.refuse(
            "BadConfig",
            config.file,
            f"no {key.path}",
            KIND_NAMES[key.kind],
            f"{hint}Add the value the model was trained with ({_published(config, key)}).",
        )
        return None
    value = scope[name]
    if not _is_kind(value, key.kind) or not key.low <= value <= key.high:
        findings.refuse(
            "BadConfig",
            config.file,
            f"{key.path} = {shown_value(value)}",
            f"{KIND_NAMES[key.kind]}{_range(key)}",
            f"Set it to the value the model was trained with ({_published(config, key)}).",
        )
        return None
    return value


def _names(scope: Any) -> list[str]:
    return [name for name in list(scope)[:500] if isinstance(name, str)] if isinstance(scope, dict) else []


def _published(config: Config, key: Key) -> str:
    return f"{json.dumps(key.published)} in {config.title}"


def _is_kind(value: Any, kind: type) -> bool:
    if kind is float and type(value) is float:
        return math.isfinite(value)
    return type(value) is kind or (kind is float and type(value) is int)


def _range(key: Key) -> str:
    return "" if key.kind is bool else f" from {key.low:g} to {key.high:g}"


def shown_value(value: Any) -> str:
    """For a message: short, and safe to print."""
    if isinstance(value, dict | list):
        return f"a JSON {json_type(value)} of {len(value)}"
    if not isinstance(
        value, str | int | float | None
    ):  # only a pickle has others, nested as deep as it likes
        return f"a {type(value).__name__}"
    return ascii(value)[:60] if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"


def json_type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
