"""XTTS-v2 submissions: the folder's files, judged together and converted. A sandbox task.

`model.pth`, `config.json` and `vocab.json` must tell the same story: sizes that several state are compared,
every tensor of the resulting architecture must be there in its shape, and every value must be finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import prod
from typing import Any, NamedTuple

import msgspec

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from models_store.checkpoints.reader import Checkpoint, CheckpointDamaged, read_checkpoint
from models_store.checkpoints.safetensors_file import file_order, write_all, write_header
from models_store.checkpoints.stored_tensor import Extent, StoredTensor
from models_store.checkpoints.xtts_checks import (
    RESAVE,
    TEXT_EMBEDDING,
    check_consistency,
    compare_shapes,
    compare_with_config,
)
from models_store.checkpoints.xtts_config import (
    MAX_CONFIG_BYTES,
    MAX_VOCABULARY_BYTES,
    VOCABULARY_FILE,
    Findings,
    PublishedConfig,
    Vocabulary,
    read_config,
    read_vocabulary,
)
from models_store.checkpoints.xtts_tensors import WEIGHTS_FILE, Shapes, expected_shapes, read_architecture
from models_store.checkpoints.xtts_weights import Weights, collect_weights, shown
from models_store.errors import Problem

VARIANT = "v2"
MAX_LISTED = 500  # problems; nobody reads more
MAX_ENTRIES = 20_000  # of a state dict; a trainer's has 2,500

Progress = Callable[[int, int], None]


class Model(NamedTuple):
    """A checkpoint that could be read, with what its shapes say."""

    weights: Weights
    extents: Mapping[str, Extent]
    architecture: XttsArchitecture
    expected: Shapes


def convert(files: Mapping[str, int], arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge descriptors `model`, `config`, `vocabulary`, and convert them if nothing is wrong.

    Then `weights`, `config_out` and `vocabulary_out` are written. Any of the first three may be missing: the
    caller knows and has reported it; the others are judged all the same.
    """
    findings = Findings()
    config = _read_config(files, findings)
    vocabulary = _read_vocabulary(files, config, findings)
    model = _read_model(files, config, vocabulary, findings)
    if model and _fits(model, arguments["max_weights_bytes"], findings):
        accepted = bool(config and vocabulary) and not findings.problems
        _copy_weights(model, files, accepted, progress, findings)
        if config and vocabulary and not findings.problems:
            stored = _stored_config(model.architecture, config, vocabulary)
            write_all(files["config_out"], msgspec.json.encode(stored))
            write_all(files["vocabulary_out"], _read(files["vocabulary"], MAX_VOCABULARY_BYTES))
    return {
        "variant": VARIANT,
        "languages": config.languages if config else (),
        "problems": [asdict(problem) for problem in _by_importance(findings)[:MAX_LISTED]],
        "num_problems": len(findings.problems),
        "warnings": [asdict(warning) for warning in findings.warnings],
        "facts": _facts(model, vocabulary) if model else {},
    }


def _by_importance(findings: Findings) -> list[Problem]:
    """What concerns whole files first: it often explains the many that concern single tensors."""
    single = ("MissingTensor", "UnexpectedTensor", "WrongShape", "WrongDtype")
    return sorted(findings.problems, key=lambda problem: problem.code in single)


def _read(descriptor: int, limit: int) -> bytes:
    """The file's content, or one byte more than the limit of a longer one."""
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read(limit + 1)


def _read_config(files: Mapping[str, int], findings: Findings) -> PublishedConfig | None:
    return read_config(_read(files["config"], MAX_CONFIG_BYTES), findings) if "config" in files else None


def _read_vocabulary(
    files: Mapping[str, int], config: PublishedConfig | None, findings: Findings
) -> Vocabulary | None:
    if "vocabulary" not in files:
        return None
    data = _read(files["vocabulary"], MAX_VOCABULARY_BYTES)
    return read_vocabulary(data, config.languages if config else (), findings)


def _read_model(
    files: Mapping[str, int],
    config: PublishedConfig | None,
    vocabulary: Vocabulary | None,
    findings: Findings,
) -> Model | None:
    if "model" not in files or (checkpoint := _read_checkpoint(files["model"], findings)) is None:
        return None
    if (state := _state_dict(checkpoint, findings)) is None:
        return None
    stated = config or PublishedConfig({}, ())
    weights = collect_weights(state, checkpoint.extents, findings)
    shapes = {name: weight.entry.shape for name, weight in weights.by_name.items()}
    architecture = read_architecture(shapes, stated)
    expected = expected_shapes(architecture, _text_tokens(shapes, vocabulary, findings))
    compare_with_config(architecture, stated, findings)
    check_consistency(architecture, stated, findings)
    compare_shapes(shapes, expected, weights.unsound, findings)
    return Model(weights, checkpoint.extents, architecture, expected)


def _read_checkpoint(descriptor: int, findings: Findings) -> Checkpoint | None:
    try:
        checkpoint = read_checkpoint(descriptor)
    except CheckpointDamaged as damage:
        _refuse_foreign_names(damage.foreign_names, findings)
        findings.refuse(
            "BadCheckpoint",
            WEIGHTS_FILE,
            damage.found,
            "a file that torch.save wrote",
            "Upload it again whole.",
        )
        return None
    _refuse_foreign_names(checkpoint.foreign_names, findings)
    return checkpoint


def _refuse_foreign_names(names: tuple[str, ...], findings: Findings) -> None:
    if not names:
        return
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    findings.refuse(
        "UnsafeCheckpoint",
        WEIGHTS_FILE,
        f"names of code: {', '.join(shown(name) for name in names[:20])}{more}",
        "tensors, plain values and XTTS's own config classes",
        "Nothing was run. Save the weights alone: torch.save({'model': model.state_dict()}, 'model.pth').",
    )


def _state_dict(checkpoint: Checkpoint, findings: Findings) -> Mapping[Any, Any] | None:
    """What is under "model", or a bare state dict."""
    value = checkpoint.value
    state = value.get("model") if isinstance(value, dict) and "model" in value else value
    if isinstance(state, dict) and len(state) > MAX_ENTRIES:
        found = f"a state dict of {len(state)} entries"
        findings.refuse("BadCheckpoint", WEIGHTS_FILE, found, "the thousand of an XTTS model", RESAVE)
        return None
    if isinstance(state, dict) and any(isinstance(entry, StoredTensor) for entry in state.values()):
        return state
    keys = ", ".join(shown(str(key)) for key in list(value)[:8]) if isinstance(value, dict) else "no dict"
    findings.refuse(
        "BadCheckpoint",
        WEIGHTS_FILE,
        f"a checkpoint of {keys}",
        "a dict whose 'model' is the state dict of an XTTS model",
        "Upload the file that XTTS's training wrote.",
    )
    return None


def _text_tokens(shapes: Shapes, vocabulary: Vocabulary | None, findings: Findings) -> int:
    """Rows of the text embedding: the vocabulary's tokens, which the tensor must agree with."""
    rows = shapes[TEXT_EMBEDDING][0] if shapes.get(TEXT_EMBEDDING) else None
    if vocabulary and rows is not None and rows != vocabulary.text_tokens:
        findings.refuse(
            "BadVocabulary",
            VOCABULARY_FILE,
            f"{vocabulary.text_tokens} tokens (highest id + 1)",
            f"{rows}, the rows of {TEXT_EMBEDDING} in {WEIGHTS_FILE}",
            "Upload the vocab.json that this checkpoint was trained with.",
        )
    if rows is not None:
        return rows
    return vocabulary.text_tokens if vocabulary else 0


def _fits(model: Model, limit: int, findings: Findings) -> bool:
    total = sum(weight.entry.size_bytes for weight in model.weights.by_name.values())
    if total <= limit:
        return True
    findings.refuse(
        "BadCheckpoint",
        WEIGHTS_FILE,
        f"tensors of {total} bytes in all",
        f"at most {limit}",
        "Save the checkpoint in half precision, without anything but the model.",
    )
    return False


def _copy_weights(
    model: Model, files: Mapping[str, int], accepted: bool, progress: Progress, findings: Findings
) -> None:
    """Look at every value that inference would use; if all is well until then, write it."""
    by_name = {name: weight for name, weight in model.weights.by_name.items() if name in model.expected}
    entries = {name: weight.entry for name, weight in by_name.items()}
    total = sum(part.size_bytes for weight in by_name.values() for part in weight.parts)
    done = 0
    progress(done, total)
    if accepted:
        write_header(files["weights"], entries)
    for name in file_order(entries):
        finite = True
        for piece, piece_finite in by_name[name].pieces(files["model"], model.extents):
            finite = finite and piece_finite
            if accepted:
                write_all(files["weights"], piece.data)
        done += sum(part.size_bytes for part in by_name[name].parts)
        progress(done, total)
        if not finite:
            findings.refuse(
                "BadCheckpoint",
                WEIGHTS_FILE,
                f"NaN or infinity in {name}",
                "finite values",
                "The training diverged; upload an earlier checkpoint.",
            )


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
    entries = [weight.entry for weight in model.weights.by_name.values()]
    facts = {
        "layers": str(architecture.layers),
        "channels": str(architecture.channels),
        "heads": str(architecture.heads),
        "parameters": f"{sum(prod(entry.shape) for entry in entries) / 1e6:.1f} M",
        "number format": ", ".join(sorted({entry.element for entry in entries})),
        "weights": f"{sum(entry.size_bytes for entry in entries) / 1e6:.1f} MB",
        "left out": f"{model.weights.num_dropped} tensors of training",
        "sample rate": f"{architecture.output_sample_rate_hz} Hz",
    }
    if vocabulary:
        facts["text tokens"] = str(vocabulary.text_tokens)
    return facts
