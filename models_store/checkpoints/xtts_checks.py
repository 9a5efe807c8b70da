"""Whether the parts of an XTTS submission tell one story: config.json and the sizes."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from models_store.checkpoints.architecture import XttsArchitecture
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.xtts_config import CONFIG_FILE, PublishedConfig
from models_store.checkpoints.xtts_tensors import MODEL


def compare_with_config(architecture: XttsArchitecture, config: PublishedConfig, findings: Findings) -> None:
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
                f"{size}, as the tensors of {MODEL.name} have it",
                "Upload the config.json that this checkpoint was trained with.",
            )


class Rule(NamedTuple):
    """Something that must hold between sizes for the model to work at all."""

    holds: bool
    stated_by: tuple[str, ...]  # keys of config.json; without them there is nothing to compare
    found: str
    expected: str


def check_consistency(architecture: XttsArchitecture, config: PublishedConfig, findings: Findings) -> None:
    """The sizes against each other."""
    for rule in _rules(architecture):
        if not rule.holds and all(f"model_args.{key}" in config.values for key in rule.stated_by):
            code, file = ("BadConfig", CONFIG_FILE) if rule.stated_by else ("WrongShape", MODEL.name)
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
