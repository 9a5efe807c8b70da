"""XTTS's config.json and vocab.json, read as data: the values serving needs, each checked, none assumed.

The published implementation fills missing keys with class defaults that differ from every released model
(8194 audio tokens, no perceiver), so a missing key is a problem here, and what it must be is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import tokenizers

from models_store.checkpoints.config_values import (
    Config,
    Key,
    Unreadable,
    parse_object,
    read_keys,
    shown_value,
)
from models_store.checkpoints.findings import Findings

CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocab.json"
MAX_CONFIG_BYTES = 16 << 20
MAX_VOCABULARY_BYTES = 64 << 20
MAX_TEXT_TOKENS = 1 << 20
SPECIAL_TOKENS = ("[START]", "[STOP]", "[UNK]", "[SPACE]")

# The languages of XTTS-v2, as its tags spell them.
LANGUAGES = tuple("en es fr de it pt pl tr ru nl cs ar zh-cn hu ko ja hi".split())

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
# Published v2 is the only layout served; these say that a file is another.
VARIANT_KEYS = {
    "model_args.gpt_use_perceiver_resampler": "XTTS v1 conditions without a perceiver",
    "model_args.cond_d_vector_in_each_upsampling_layer": "the vocoder is conditioned at its input only",
}

T = TypeVar("T")


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


def read_config(data: bytes, findings: Findings) -> PublishedConfig | None:
    """config.json: None where it isn't a JSON object at all, else what of it is sound."""
    try:
        document = parse_object(data, CONFIG_FILE, MAX_CONFIG_BYTES, findings)
    except Unreadable as error:
        remedy = "Upload the config.json that training wrote, unchanged."
        findings.refuse("BadConfig", CONFIG_FILE, error.found, error.expected, remedy)
        return None
    values = read_keys(Config(CONFIG_FILE, "XTTS-v2", document), KEYS, findings)
    for path, meaning in VARIANT_KEYS.items():
        if values.get(path) is False:
            found = f"{path} false: {meaning}"
            remedy = "Submit a fine-tune of XTTS-v2."
            findings.refuse("BadConfig", CONFIG_FILE, found, "an XTTS-v2 model", remedy)
    return PublishedConfig(values, _read_languages(document, findings))


def _read_languages(document: Mapping[str, Any], findings: Findings) -> tuple[str, ...]:
    listed = document.get("languages")
    if not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed):
        findings.refuse(
            "BadConfig",
            CONFIG_FILE,
            f"languages = {shown_value(listed)}",
            "a list of language tags",
            f"List the languages the model speaks, for example {json.dumps(LANGUAGES[:3])}.",
        )
        return ()
    tags = tuple(dict.fromkeys(item.lower() for item in listed))
    if unknown := [tag for tag in tags if tag not in LANGUAGES]:
        findings.warn(
            "BadConfig",
            CONFIG_FILE,
            f"languages {', '.join(shown_value(tag) for tag in unknown[:10])}",
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
    except Unreadable as error:
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
        raise Unreadable(f"more than {MAX_VOCABULARY_BYTES} bytes", "a tokenizer of a few thousand tokens")
    try:
        ids = tokenizers.Tokenizer.from_str(data.decode("utf-8")).get_vocab(with_added_tokens=True)
    except UnicodeDecodeError:
        raise Unreadable("bytes that are not UTF-8 text", expected) from None
    except MemoryError:
        raise
    except BaseException as error:  # a plain Exception, or a panic of the library's Rust
        raise Unreadable(f"not a tokenizers file ({error})", expected) from None
    if missing := [token for token in SPECIAL_TOKENS if token not in ids]:
        raise Unreadable(f"no token {' '.join(missing)}", "XTTS's special tokens")
    if max(ids.values()) >= MAX_TEXT_TOKENS:
        raise Unreadable(f"a token with id {max(ids.values())}", f"ids below {MAX_TEXT_TOKENS}")
    return ids
