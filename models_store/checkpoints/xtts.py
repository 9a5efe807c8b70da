"""XTTS-v2 submissions: the folder's files, judged together and converted. A sandbox task.

`model.pth`, `config.json` and `vocab.json` must tell the same story: sizes that several state are compared,
every tensor of the resulting architecture must be there in its shape, and every value must be finite.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from math import prod
from typing import Any, NamedTuple

import msgspec

from models_store.checkpoints.architecture import XttsArchitecture, XttsConfig
from models_store.checkpoints.reader import Checkpoint, CheckpointDamaged, read_checkpoint
from models_store.checkpoints.safetensors_file import file_order, write_all, write_header
from models_store.checkpoints.stored_tensor import Extent, StoredTensor
from models_store.checkpoints.xtts_config import (
    CONFIG_FILE,
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
MAX_SUGGESTED = 20  # looking for a similar name takes milliseconds
MAX_ENTRIES = 20_000  # of a state dict; a trainer's has 2,500
RESAVE = "Save the checkpoint again from the trained model."
TEXT_EMBEDDING = "gpt.text_embedding.weight"

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
        accepted = not findings.problems
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
    _compare_with_config(architecture, stated, findings)
    _check_consistency(architecture, stated, findings)
    _compare_shapes(shapes, expected, weights.unsound, findings)
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


def _compare_with_config(architecture: XttsArchitecture, config: PublishedConfig, findings: Findings) -> None:
    """Sizes that both files state."""
    from_tensors = {
        "gpt_layers": architecture.layers,
        "gpt_n_model_channels": architecture.channels,
        "gpt_max_text_tokens": architecture.text_positions - 2,
        "gpt_max_audio_tokens": architecture.audio_positions - 3,
        "gpt_num_audio_tokens": architecture.audio_tokens,
        "decoder_input_dim": architecture.vocoder.in_channels,
        "d_vector_dim": architecture.speaker_encoder.embedding_channels,
    }
    for key, size in from_tensors.items():
        stated = config.get(f"model_args.{key}", int)
        if stated is not None and stated != size:
            findings.refuse(
                "BadConfig",
                CONFIG_FILE,
                f"model_args.{key} = {stated}",
                f"{size}, as the tensors of {WEIGHTS_FILE} have it",
                "Upload the config.json that this checkpoint was trained with.",
            )


class Rule(NamedTuple):
    """Something that must hold between sizes for the model to work at all."""

    holds: bool
    stated_by: tuple[str, ...]  # keys of config.json; without them there is nothing to compare
    found: str
    expected: str


def _check_consistency(architecture: XttsArchitecture, config: PublishedConfig, findings: Findings) -> None:
    for rule in _rules(architecture):
        if not rule.holds and all(f"model_args.{key}" in config.values for key in rule.stated_by):
            code, file = ("BadConfig", CONFIG_FILE) if rule.stated_by else ("WrongShape", WEIGHTS_FILE)
            remedy = "Upload the files of one training run together."
            findings.refuse(code, file, rule.found, rule.expected, remedy)


def _rules(architecture: XttsArchitecture) -> tuple[Rule, ...]:
    channels, vocoder = architecture.channels, architecture.vocoder
    start, stop = architecture.start_audio_token, architecture.stop_audio_token
    hop, hop_by_strides = architecture.output_hop, prod(vocoder.upsample_strides)
    embedding_channels = architecture.speaker_encoder.embedding_channels
    # Group normalisation of the conditioning encoder: 32 groups, fewer for narrow models.
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    return (
        Rule(
            channels % architecture.heads == 0,
            ("gpt_n_heads",),
            f"{architecture.heads} attention heads",
            f"a divisor of the {channels} channels",
        ),
        Rule(
            hop == hop_by_strides,
            ("output_hop_length",),
            f"model_args.output_hop_length = {hop}",
            f"{hop_by_strides}, as the vocoder upsamples",
        ),
        Rule(
            max(start, stop) < architecture.audio_tokens and start != stop,
            ("gpt_start_audio_token", "gpt_stop_audio_token"),
            f"audio tokens {start} (start) and {stop} (stop)",
            f"two of the {architecture.audio_tokens} rows of gpt.mel_embedding",
        ),
        Rule(channels % groups == 0, (), f"{channels} channels", f"a multiple of {groups}"),
        Rule(
            vocoder.in_channels == channels,
            (),
            f"a vocoder of {vocoder.in_channels} input channels",
            f"{channels}, as the GPT has",
        ),
        Rule(
            vocoder.speaker_channels == embedding_channels,
            (),
            f"a vocoder for speaker embeddings of {vocoder.speaker_channels} channels",
            f"{embedding_channels}, as the speaker encoder makes",
        ),
    )


def _compare_shapes(shapes: Shapes, expected: Shapes, reported: set[str], findings: Findings) -> None:
    missing = [name for name in expected if name not in shapes and name not in reported]
    unexpected = [name for name in shapes if name not in expected]
    for name in missing:
        findings.refuse(
            "MissingTensor", WEIGHTS_FILE, f"no {name}", f"it, of shape {_shape(expected[name])}", RESAVE
        )
    for name, remedy in _suggestions(unexpected, missing):
        findings.refuse(
            "UnexpectedTensor",
            WEIGHTS_FILE,
            f"{shown(name)} of shape {_shape(shapes[name])}",
            "only XTTS-v2's tensors",
            remedy,
        )
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape and name != TEXT_EMBEDDING:
            found = f"{name} of shape {_shape(shapes[name])}"
            findings.refuse("WrongShape", WEIGHTS_FILE, found, f"shape {_shape(shape)}", RESAVE)
    if shapes.get(TEXT_EMBEDDING, expected[TEXT_EMBEDDING])[1:] != expected[TEXT_EMBEDDING][1:]:
        found = f"{TEXT_EMBEDDING} of shape {_shape(shapes[TEXT_EMBEDDING])}"
        expected_rows = f"shape {_shape(expected[TEXT_EMBEDDING])}"
        findings.refuse("WrongShape", WEIGHTS_FILE, found, expected_rows, RESAVE)


def _suggestions(unexpected: list[str], missing: list[str]) -> Iterator[tuple[str, str]]:
    """For every unexpected tensor what to do: perhaps it is a missing one, misspelled."""
    for i, name in enumerate(unexpected):
        searched = missing[:1_000] if i < MAX_SUGGESTED and len(name) < 200 else []
        near = difflib.get_close_matches(name, searched, n=1, cutoff=0.8)
        yield name, f"Is it {near[0]}? Then rename it." if near else "Leave it out of the file."


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "a single value"


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
