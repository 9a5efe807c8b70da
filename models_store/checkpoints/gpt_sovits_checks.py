"""Whether the parts of a GPT-SoVITS submission tell one story: the two checkpoints, and each with itself."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from models_store.checkpoints.checkpoint_file import CheckpointFile
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.gpt_sovits_architecture import (
    GptSovitsArchitecture,
    TextToSemanticArchitecture,
)
from models_store.checkpoints.gpt_sovits_config import GptConfig, SovitsConfig
from models_store.checkpoints.gpt_sovits_tensors import GPT, SOVITS, TEXT_EMBEDDING
from models_store.checkpoints.gpt_sovits_variants import SYMBOLS
from models_store.checkpoints.shapes import Shapes

TOGETHER = "Upload the files of one training run together."


class Rule(NamedTuple):
    """Something that must hold between sizes for the model to work at all."""

    holds: bool
    found: str
    expected: str


def swapped(file: CheckpointFile, shapes: Shapes, findings: Findings) -> bool:
    """Whether the file is the other one of the two; reported if so."""
    other, module = (GPT, "h.layers.") if file is SOVITS else (SOVITS, "enc_p.")
    own = "enc_p." if file is SOVITS else "h.layers."
    # The prefix that gpt.ckpt has on its names isn't taken off when it is read as the other file.
    names = [name.removeprefix(GPT.prefix) for name in shapes]
    if any(name.startswith(own) for name in names) or not any(name.startswith(module) for name in names):
        return False
    found = f"the tensors of {other.name}"
    findings.refuse("BadCheckpoint", file.name, found, file.holds, "Give each of the two files its own name.")
    return True


def check_rows(shapes: Shapes, findings: Findings) -> set[str]:
    """The text embedding has the symbols of a published table; returns its name if that was reported."""
    shape = shapes.get(TEXT_EMBEDDING, ())
    tables = {table.sovits_rows: name for name, table in SYMBOLS.items()}
    if not shape or shape[0] in tables:
        return set()
    expected = " or ".join(f"{rows} (the symbols of {name})" for rows, name in tables.items())
    findings.refuse(
        "WrongShape",
        SOVITS.name,
        f"{TEXT_EMBEDDING} of {shape[0]} rows",
        expected,
        "Train on one of the published symbol tables.",
    )
    return {TEXT_EMBEDDING}


def check_pair(architecture: GptSovitsArchitecture, findings: Findings) -> None:
    """Both must read the same symbols: ids of one table are other sounds in the other."""
    found = architecture.text_to_semantic.phonemes
    table = SYMBOLS[architecture.symbols]
    if found == table.gpt_rows:
        return
    names = {other.gpt_rows: f", those of {name}" for name, other in SYMBOLS.items()}
    findings.refuse(
        "BadCheckpoint",
        GPT.name,
        f"{found} phonemes{names.get(found, '')}",
        f"{table.gpt_rows}, because {SOVITS.name} has the {architecture.prior.phonemes} symbols of "
        f"{architecture.symbols}",
        TOGETHER,
    )


def check_gpt(architecture: TextToSemanticArchitecture, config: GptConfig, findings: Findings) -> None:
    from_tensors = {
        "model.n_layer": architecture.layers,
        "model.hidden_dim": architecture.channels,
        "model.embedding_dim": architecture.channels,
        "model.vocab_size": architecture.audio_tokens,
        "model.phoneme_vocab_size": architecture.phonemes,
        "model.EOS": architecture.stop_audio_token,
    }
    _compare_with_config(GPT, from_tensors, config.values, findings)
    heads = architecture.heads
    if architecture.channels % heads and "model.head" in config.values:
        expected = f"a divisor of the {architecture.channels} channels"
        findings.refuse("BadConfig", GPT.name, f"model.head = {heads}", expected, TOGETHER)


def check_sovits(architecture: GptSovitsArchitecture, config: SovitsConfig, findings: Findings) -> None:
    from_tensors = {
        "model.hidden_channels": architecture.prior.channels,
        "model.inter_channels": architecture.flow.channels,
        "model.filter_channels": architecture.prior.feed_forward_channels,
        "model.gin_channels": architecture.style.style_channels,
        "model.upsample_initial_channel": architecture.vocoder.initial_channels,
    }
    _compare_with_config(SOVITS, from_tensors, config.values, findings)
    for rule in _rules(architecture):
        if not rule.holds:
            findings.refuse("WrongShape", SOVITS.name, rule.found, rule.expected, TOGETHER)


def _compare_with_config(
    file: CheckpointFile, from_tensors: Mapping[str, int], stated: Mapping[str, Any], findings: Findings
) -> None:
    """Sizes that the tensors and the config in the same file both state."""
    for path, size in from_tensors.items():
        if path in stated and stated[path] != size:
            findings.refuse(
                "BadConfig",
                file.name,
                f"{path} = {stated[path]} in its config",
                f"{size}, as its tensors have it",
                "Upload the file that training wrote, unchanged.",
            )


def _rules(architecture: GptSovitsArchitecture) -> tuple[Rule, ...]:
    prior, flow, vocoder = architecture.prior, architecture.flow, architecture.vocoder
    style_channels = architecture.style.style_channels
    strides, kernels = vocoder.upsample_strides, vocoder.upsample_kernels
    samples_per_frame = prod(strides)
    return (
        Rule(
            prior.channels % prior.heads == 0,
            f"{prior.heads} attention heads in enc_p",
            f"a divisor of its {prior.channels} channels",
        ),
        Rule(
            prior.mrte_channels % prior.mrte_heads == 0,
            f"{prior.mrte_channels} channels in enc_p.mrte",
            f"a multiple of {prior.mrte_heads}",
        ),
        Rule(
            architecture.style.channels % architecture.style.heads == 0,
            f"{architecture.style.channels} channels in ref_enc",
            f"a multiple of {architecture.style.heads}",
        ),
        Rule(flow.channels % 2 == 0, f"a flow of {flow.channels} channels", "an even number"),
        Rule(flow.kernel % 2 == 1, f"a flow of kernel {flow.kernel}", "an odd one"),
        Rule(
            samples_per_frame == architecture.spectrogram_hop,
            f"a vocoder that makes {samples_per_frame} samples of a frame",
            f"{architecture.spectrogram_hop}, the spectrogram's hop",
        ),
        Rule(
            all(k >= s and (k - s) % 2 == 0 for k, s in zip(kernels, strides, strict=True)),
            f"upsampling kernels {kernels} for strides {strides}",
            "kernels longer by an even number",
        ),
        Rule(
            vocoder.initial_channels % 2 ** len(strides) == 0,
            f"a vocoder of {vocoder.initial_channels} channels",
            f"a multiple of {2 ** len(strides)}, one half for every stage",
        ),
        Rule(
            architecture.speaker_vector_channels is not None or style_channels == prior.mrte_channels,
            f"a style of {style_channels} channels",
            f"{prior.mrte_channels}, as enc_p.mrte adds it to its own",
        ),
    )
