"""XTTS-v2 submissions: the folder's files, judged together and converted. A sandbox task.

`model.pth`, `config.json` and `vocab.json` must tell the same story: sizes that several state are compared,
every tensor of the resulting architecture must be there in its shape, and every value must be finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from models_store.checkpoints.checkpoint_file import open_checkpoint, state_dict
from models_store.checkpoints.config_values import read_content
from models_store.checkpoints.conversion import Progress, Source, check_size, copy_weights, size_facts
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.safetensors_file import write_all
from models_store.checkpoints.shapes import Shapes, compare_shapes
from models_store.checkpoints.weights import collect_weights
from models_store.checkpoints.xtts_checks import check_consistency, compare_with_config
from models_store.checkpoints.xtts_config import (
    MAX_CONFIG_BYTES,
    MAX_VOCABULARY_BYTES,
    VOCABULARY_FILE,
    PublishedConfig,
    Vocabulary,
    read_config,
    read_vocabulary,
)
from models_store.checkpoints.xtts_tensors import MODEL, TEXT_EMBEDDING, expected_shapes, read_architecture

VARIANT = "v2"


class Model(NamedTuple):
    """A checkpoint that could be read, with what its shapes say."""

    source: Source
    architecture: XttsArchitecture


def convert(files: Mapping[str, int], arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge descriptors `model`, `config`, `vocabulary`, and convert them if nothing is wrong.

    Then `weights`, `config_out` and `vocabulary_out` are written. Any of the first three may be missing: the
    caller knows and has reported it; the others are judged all the same.
    """
    findings = Findings()
    config = _read_config(files, findings)
    vocabulary = _read_vocabulary(files, config, findings)
    model = _read_model(files, config, vocabulary, findings)
    if model and check_size([model.source], arguments["max_weights_bytes"], findings):
        accepted = bool(config and vocabulary) and not findings.problems
        copy_weights([(model.source, files["weights"])], accepted, progress, findings)
        if config and vocabulary and not findings.problems:
            stored = _stored_config(model.architecture, config, vocabulary)
            write_all(files["config_out"], msgspec.json.encode(stored))
            write_all(files["vocabulary_out"], read_content(files["vocabulary"], MAX_VOCABULARY_BYTES))
    return {
        "variant": VARIANT,
        "languages": config.languages if config else (),
        **findings.to_dict(),
        "facts": _facts(model, vocabulary) if model else {},
    }


def _read_config(files: Mapping[str, int], findings: Findings) -> PublishedConfig | None:
    return (
        read_config(read_content(files["config"], MAX_CONFIG_BYTES), findings) if "config" in files else None
    )


def _read_vocabulary(
    files: Mapping[str, int], config: PublishedConfig | None, findings: Findings
) -> Vocabulary | None:
    if "vocabulary" not in files:
        return None
    data = read_content(files["vocabulary"], MAX_VOCABULARY_BYTES)
    return read_vocabulary(data, config.languages if config else (), findings)


def _read_model(
    files: Mapping[str, int],
    config: PublishedConfig | None,
    vocabulary: Vocabulary | None,
    findings: Findings,
) -> Model | None:
    if "model" not in files or (checkpoint := open_checkpoint(MODEL, files["model"], findings)) is None:
        return None
    if (state := state_dict(MODEL, checkpoint.value, findings)) is None:
        return None
    stated = config or PublishedConfig({}, ())
    weights = collect_weights(MODEL, state, checkpoint.extents, findings)
    shapes = {name: weight.entry.shape for name, weight in weights.by_name.items()}
    architecture = read_architecture(shapes, stated)
    expected = expected_shapes(architecture, _text_tokens(shapes, vocabulary, findings))
    compare_with_config(architecture, stated, findings)
    check_consistency(architecture, stated, findings)
    compare_shapes(MODEL, shapes, expected, weights.unsound, findings)
    return Model(Source(MODEL, files["model"], checkpoint.extents, weights, expected.keys()), architecture)


def _text_tokens(shapes: Shapes, vocabulary: Vocabulary | None, findings: Findings) -> int:
    """Rows of the text embedding: the vocabulary's tokens, which the tensor must agree with."""
    rows = shapes[TEXT_EMBEDDING][0] if shapes.get(TEXT_EMBEDDING) else None
    if vocabulary and rows is not None and rows != vocabulary.text_tokens:
        findings.refuse(
            "BadVocabulary",
            VOCABULARY_FILE,
            f"{vocabulary.text_tokens} tokens (highest id + 1)",
            f"{rows}, the rows of {TEXT_EMBEDDING} in {MODEL.name}",
            "Upload the vocab.json that this checkpoint was trained with.",
        )
    if rows is not None:
        return rows
    return vocabulary.text_tokens if vocabulary else 0


def _stored_config(
    architecture: XttsArchitecture, config: PublishedConfig, vocabulary: Vocabulary
) -> XttsConfig:
    values = config.values
    return XttsConfig(
        architecture=architecture,
        languages=config.languages,
        text_tokens=vocabulary.text_tokens,
        start_text_token=vocabulary.start_text_token,
        stop_text_token=vocabulary.stop_text_token,
        max_text_tokens=values["model_args.gpt_max_text_tokens"],
        max_audio_tokens=values["model_args.gpt_max_audio_tokens"],
        temperature=float(values["temperature"]),
        top_k=values["top_k"],
        top_p=float(values["top_p"]),
        repetition_penalty=float(values["repetition_penalty"]),
        gpt_cond_len_s=float(values["gpt_cond_len"]),
        gpt_cond_chunk_len_s=float(values["gpt_cond_chunk_len"]),
        max_ref_len_s=float(values["max_ref_len"]),
        sound_norm_refs=values["sound_norm_refs"],
    )


def _facts(model: Model, vocabulary: Vocabulary | None) -> dict[str, str]:
    """For people: what the submission is."""
    architecture = model.architecture
    facts = {
        "layers": str(architecture.layers),
        "channels": str(architecture.channels),
        "heads": str(architecture.heads),
        **size_facts([model.source]),
        "sample rate": f"{architecture.output_sample_rate_hz} Hz",
    }
    if vocabulary:
        facts["text tokens"] = str(vocabulary.text_tokens)
    return facts
