"""XTTS's config.json and vocab.json, read as data: the values serving needs, each checked, none assumed.

The published implementation fills missing keys with class defaults that differ from every released model
(8194 audio tokens, no perceiver), so a missing key is a problem here, and what it must be is said.
"""

from __future__ import annotations

import difflib
import encodings.utf_8_sig  # noqa: F401 (a codec is imported when it is first used; the sandbox forbids that)
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import tokenizers

from models_store.errors import Problem

CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocab.json"
MAX_CONFIG_BYTES = 16 << 20
MAX_VOCABULARY_BYTES = 64 << 20
MAX_TEXT_TOKENS = 1 << 20
SPECIAL_TOKENS = ("[START]", "[STOP]", "[UNK]", "[SPACE]")
MAX_FOUND_CHARS = 200

# The languages of XTTS-v2, as its tags spell them.
LANGUAGES = tuple("en es fr de it pt pl tr ru nl cs ar zh-cn hu ko ja hi".split())

# ```json … ``` around the file: the contributor guide's sample was copied with its Markdown.
FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class Key(NamedTuple):
    """One value of config.json that serving needs."""

    path: str
    kind: type
    low: float
    high: float
    published: Any  # in the published v2 config, for the remedy of a missing key


# The highest values are far beyond any released model; they bound what a file can make us compute.
KEYS = (
    Key("model_args.gpt_layers", int, 1, 256, 30),
    Key("model_args.gpt_n_model_channels", int, 8, 16_384, 1024),
    Key("model_args.gpt_n_heads", int, 1, 256, 16),
    Key("model_args.gpt_max_text_tokens", int, 1, 1 << 16, 402),
    Key("model_args.gpt_max_audio_tokens", int, 4, 1 << 16, 605),
    Key("model_args.gpt_num_audio_tokens", int, 3, 1 << 20, 1026),
    Key("model_args.gpt_start_audio_token", int, 0, 1 << 20, 1024),
    Key("model_args.gpt_stop_audio_token", int, 0, 1 << 20, 1025),
    Key("model_args.gpt_code_stride_len", int, 1, 1 << 16, 1024),
    Key("model_args.gpt_use_perceiver_resampler", bool, 0, 1, True),
    Key("model_args.input_sample_rate", int, 8_000, 192_000, 22_050),
    Key("model_args.output_sample_rate", int, 8_000, 192_000, 24_000),
    Key("model_args.output_hop_length", int, 1, 1 << 16, 256),
    Key("model_args.decoder_input_dim", int, 1, 16_384, 1024),
    Key("model_args.d_vector_dim", int, 1, 16_384, 512),
    Key("model_args.cond_d_vector_in_each_upsampling_layer", bool, 0, 1, True),
    Key("temperature", float, 0.0, 10.0, 0.75),
    Key("top_k", int, 0, 1 << 20, 50),
    Key("top_p", float, 1e-6, 1.0, 0.85),
    Key("repetition_penalty", float, 1e-3, 100.0, 5.0),
    Key("gpt_cond_len", float, 0.34, 3_600.0, 30),
    Key("gpt_cond_chunk_len", float, 0.34, 3_600.0, 4),
    Key("max_ref_len", float, 0.34, 3_600.0, 30),
    Key("sound_norm_refs", bool, 0, 1, False),
)
KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false"}
# Published v2 is the only layout served; these say that a file is another.
VARIANT_KEYS = {
    "model_args.gpt_use_perceiver_resampler": "XTTS v1 conditions without a perceiver",
    "model_args.cond_d_vector_in_each_upsampling_layer": "the vocoder is conditioned at its input only",
}

T = TypeVar("T")


@dataclass(slots=True)
class Findings:
    """Problems and warnings as they are found."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, code: str, file: str, found: str, expected: str, remedy: str) -> None:
        self.problems.append(Problem(code, file, _printable(found), expected, remedy))

    def warn(self, code: str, file: str, found: str, expected: str, remedy: str) -> None:
        self.warnings.append(Problem(code, file, _printable(found), expected, remedy))


def _printable(text: str) -> str:
    """What was found may quote the file: it must not reach a terminal as control characters."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True, slots=True)
class PublishedConfig:
    """The checked values of config.json by path, where present and sound, and its languages."""

    values: Mapping[str, Any]
    languages: tuple[str, ...]

    def get(self, path: str, kind: type[T]) -> T | None:
        value = self.values.get(path)
        return kind(value) if value is not None else None  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    text_tokens: int  # the largest id + 1
    start_text_token: int
    stop_text_token: int


class _Unreadable(Exception):
    """The file as a whole is not what it must be."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found = found[:MAX_FOUND_CHARS]
        self.expected = expected


def read_config(data: bytes, findings: Findings) -> PublishedConfig | None:
    """config.json: None where it isn't a JSON object at all, else what of it is sound."""
    try:
        document = _parse(data, findings)
    except _Unreadable as error:
        remedy = "Upload the config.json that training wrote, unchanged."
        findings.refuse("BadConfig", CONFIG_FILE, error.found, error.expected, remedy)
        return None
    values = {key.path: value for key in KEYS if (value := _read_key(document, key, findings)) is not None}
    for path, meaning in VARIANT_KEYS.items():
        if values.get(path) is False:
            found = f"{path} false: {meaning}"
            remedy = "Submit a fine-tune of XTTS-v2."
            findings.refuse("BadConfig", CONFIG_FILE, found, "an XTTS-v2 model", remedy)
    return PublishedConfig(values, _read_languages(document, findings))


def _parse(data: bytes, findings: Findings) -> dict[str, Any]:
    expected = "the JSON object that came with the model"
    if len(data) > MAX_CONFIG_BYTES:
        raise _Unreadable(f"more than {MAX_CONFIG_BYTES} bytes", expected)
    try:
        text = data.decode("utf-8-sig")
        if fenced := FENCED.match(text):
            text = fenced.group(1)
            findings.warn(
                "BadConfig",
                CONFIG_FILE,
                "JSON inside a Markdown code fence",
                "the JSON alone",
                "It was read all the same; remove the lines with ``` to be safe elsewhere.",
            )
        # Python's parser takes the literals Infinity and NaN, which the published file has.
        document = json.loads(text)
    except UnicodeDecodeError:
        raise _Unreadable("bytes that are not UTF-8 text", expected) from None
    except RecursionError:
        raise _Unreadable("JSON nested too deeply", expected) from None
    except ValueError as error:
        raise _Unreadable(f"text that is not JSON ({error})", expected) from None
    if not isinstance(document, dict):
        raise _Unreadable(f"a JSON {_json_type(document)}", expected)
    return document


def _read_key(document: Mapping[str, Any], key: Key, findings: Findings) -> Any:
    *parents, name = key.path.split(".")
    scope: Any = document
    for parent in parents:
        scope = scope.get(parent) if isinstance(scope, dict) else None
    if not isinstance(scope, dict) or name not in scope:
        near = difflib.get_close_matches(name, list(scope)[:500] if isinstance(scope, dict) else [], n=1)
        hint = f"Did you mean {key.path} by {near[0]!r}? " if near else ""
        findings.refuse(
            "BadConfig",
            CONFIG_FILE,
            f"no {key.path}",
            KIND_NAMES[key.kind],
            f"{hint}Add the value the model was trained with ({json.dumps(key.published)} in XTTS-v2).",
        )
        return None
    value = scope[name]
    if not _is_kind(value, key.kind) or not key.low <= value <= key.high:
        findings.refuse(
            "BadConfig",
            CONFIG_FILE,
            f"{key.path} = {_shown(value)}",
            f"{KIND_NAMES[key.kind]}{_range(key)}",
            f"Set it to the value the model was trained with ({json.dumps(key.published)} in XTTS-v2).",
        )
        return None
    return value


def _read_languages(document: Mapping[str, Any], findings: Findings) -> tuple[str, ...]:
    listed = document.get("languages")
    if not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed):
        findings.refuse(
            "BadConfig",
            CONFIG_FILE,
            f"languages = {_shown(listed)}",
            "a list of language tags",
            f"List the languages the model speaks, for example {json.dumps(LANGUAGES[:3])}.",
        )
        return ()
    tags = tuple(dict.fromkeys(item.lower() for item in listed))
    if unknown := [tag for tag in tags if tag not in LANGUAGES]:
        findings.warn(
            "BadConfig",
            CONFIG_FILE,
            f"languages {', '.join(_shown(tag) for tag in unknown[:10])}",
            f"some of {' '.join(LANGUAGES)}",
            "There is no text front end for them; the others are served.",
        )
    served = tuple(tag for tag in tags if tag in LANGUAGES)
    if not served:
        findings.refuse(
            "BadConfig",
            CONFIG_FILE,
            "no language that can be served",
            f"at least one of {' '.join(LANGUAGES)}",
            "List the languages the model speaks under languages.",
        )
    return served


def read_vocabulary(data: bytes, languages: tuple[str, ...], findings: Findings) -> Vocabulary | None:
    """vocab.json: a file of Hugging Face's tokenizers with XTTS's special tokens."""
    try:
        ids = _parse_vocabulary(data)
    except _Unreadable as error:
        remedy = "Upload the vocab.json that the model was trained with, unchanged."
        findings.refuse("BadVocabulary", VOCABULARY_FILE, error.found, error.expected, remedy)
        return None
    if untagged := [language for language in languages if f"[{language}]" not in ids]:
        findings.warn(
            "BadVocabulary",
            VOCABULARY_FILE,
            f"no token {' '.join(f'[{language}]' for language in untagged)}",
            "one for every language of config.json",
            "These languages will be spoken worse; remove them from config.json if they were not trained.",
        )
    return Vocabulary(max(ids.values()) + 1, ids["[START]"], ids["[STOP]"])


def _parse_vocabulary(data: bytes) -> Mapping[str, int]:
    """Token → id."""
    expected = "a tokenizers JSON file with a BPE model"
    if len(data) > MAX_VOCABULARY_BYTES:
        raise _Unreadable(f"more than {MAX_VOCABULARY_BYTES} bytes", "a tokenizer of a few thousand tokens")
    try:
        ids = tokenizers.Tokenizer.from_str(data.decode("utf-8")).get_vocab(with_added_tokens=True)
    except UnicodeDecodeError:
        raise _Unreadable("bytes that are not UTF-8 text", expected) from None
    except MemoryError:
        raise
    except BaseException as error:  # a plain Exception, or a panic of the library's Rust
        raise _Unreadable(f"not a tokenizers file ({error})", expected) from None
    if missing := [token for token in SPECIAL_TOKENS if token not in ids]:
        raise _Unreadable(f"no token {' '.join(missing)}", "XTTS's special tokens")
    if max(ids.values()) >= MAX_TEXT_TOKENS:
        raise _Unreadable(f"a token with id {max(ids.values())}", f"ids below {MAX_TEXT_TOKENS}")
    return ids


def _is_kind(value: Any, kind: type) -> bool:
    if kind is float and type(value) is float:
        return math.isfinite(value)
    return type(value) is kind or (kind is float and type(value) is int)


def _range(key: Key) -> str:
    return "" if key.kind is bool else f" from {key.low:g} to {key.high:g}"


def _shown(value: Any) -> str:
    """For a message: short, and safe to print."""
    if isinstance(value, dict | list):
        return f"a JSON {_json_type(value)} of {len(value)}"
    return ascii(value)[:60] if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
