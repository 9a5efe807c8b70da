"""GPT-SoVITS submissions: the pair of checkpoints and config.json, judged together and converted. A sandbox
task.

sovits.pth decides the variant; gpt.ckpt must be of the same symbol table, and the reference's language one
of its languages. Then every tensor of the resulting architecture must be there in its shape, every value
finite. Both weights stay files of their own, because fine-tunes often share one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from models_store.checkpoints.checkpoint_file import CheckpointFile, open_checkpoint, state_dict
from models_store.checkpoints.config_values import read_content
from models_store.checkpoints.conversion import Progress, Source, check_size, copy_weights, size_facts
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.gpt_sovits_architecture import GptSovitsArchitecture, GptSovitsConfig
from models_store.checkpoints.gpt_sovits_checks import (
    check_gpt,
    check_pair,
    check_rows,
    check_sovits,
    swapped,
)
from models_store.checkpoints.gpt_sovits_config import (
    GptConfig,
    read_gpt_config,
    read_sovits_config,
)
from models_store.checkpoints.gpt_sovits_reference import MAX_CONFIG_BYTES, Reference, read_reference
from models_store.checkpoints.gpt_sovits_tensors import (
    GPT,
    SOVITS,
    read_architecture,
    read_text_to_semantic,
    sovits_shapes,
    text_to_semantic_shapes,
)
from models_store.checkpoints.gpt_sovits_variants import (
    SYMBOLS,
    V2,
    Variant,
    compare_with_header,
    refuse_unserved,
    unserved_variant,
    variant_of,
)
from models_store.checkpoints.safetensors_file import write_all
from models_store.checkpoints.shapes import Shapes, compare_shapes
from models_store.checkpoints.weights import Weights, collect_weights


class Opened(NamedTuple):
    """A checkpoint whose tensors are known by their published names."""

    file: CheckpointFile
    descriptor: int
    header: str
    value: Any  # all that was saved
    extents: Mapping[str, Any]
    weights: Weights

    @property
    def shapes(self) -> Shapes:
        return {name: weight.entry.shape for name, weight in self.weights.by_name.items()}

    def source(self, expected: Shapes) -> Source:
        return Source(self.file, self.descriptor, self.extents, self.weights, expected.keys())


class Model(NamedTuple):
    """Both checkpoints, with what they say together."""

    sovits: Source
    gpt: Source
    config: GptConfig
    architecture: GptSovitsArchitecture

    @property
    def sources(self) -> list[Source]:
        return [self.sovits, self.gpt]


def convert(files: Mapping[str, int], arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge descriptors `sovits`, `gpt`, `config`, and convert them if nothing is wrong.

    Then `sovits_weights`, `gpt_weights` and `config_out` are written. Any of the first three may be missing:
    the caller knows and has reported it; the others are judged all the same.
    """
    findings = Findings()
    sovits = _open(SOVITS, files.get("sovits"), findings)
    gpt = _open(GPT, files.get("gpt"), findings)
    variant = _read_variant(sovits, findings) if sovits else None
    languages = SYMBOLS[variant.symbols].languages if variant else None
    reference = _read_reference(files.get("config"), languages, findings)
    model = _read_model(sovits, gpt, variant, findings)
    if model and check_size(model.sources, arguments["max_weights_bytes"], findings):
        accepted = reference is not None and not findings.problems
        targets = [files["sovits_weights"], files["gpt_weights"]]
        copy_weights(list(zip(model.sources, targets, strict=True)), accepted, progress, findings)
        if reference and languages and not findings.problems:
            stored = GptSovitsConfig(model.architecture, languages, model.config.max_audio_s)
            write_all(files["config_out"], msgspec.json.encode(stored))
    return {
        "variant": variant.name if variant else None,
        "languages": languages or (),
        **findings.to_dict(),
        "facts": {**(_model_facts(model) if model else {}), **_reference_facts(reference)},
        "reference": reference and reference.to_dict(),
    }


def _open(file: CheckpointFile, descriptor: int | None, findings: Findings) -> Opened | None:
    if descriptor is None or (checkpoint := open_checkpoint(file, descriptor, findings)) is None:
        return None
    if (state := state_dict(file, checkpoint.value, findings)) is None:
        return None
    weights = collect_weights(file, state, checkpoint.extents, findings)
    return Opened(file, descriptor, checkpoint.header, checkpoint.value, checkpoint.extents, weights)


def _read_reference(
    descriptor: int | None, languages: tuple[str, ...] | None, findings: Findings
) -> Reference | None:
    if descriptor is None:
        return None
    return read_reference(read_content(descriptor, MAX_CONFIG_BYTES), languages, findings)


def _read_variant(sovits: Opened, findings: Findings) -> Variant | None:
    """None for a file of another kind, which is reported, and whose tensors are not judged one by one."""
    shapes = sovits.shapes
    if swapped(SOVITS, shapes, findings):
        return None
    value = sovits.value if isinstance(sovits.value, dict) else {}
    version = _stated_version(value)
    if unserved := unserved_variant(shapes, sovits.header, version, value.get("lora_rank")):
        refuse_unserved(SOVITS, unserved, findings)
        return None
    variant = variant_of(shapes)
    compare_with_header(SOVITS, variant, sovits.header, findings)
    return variant


def _stated_version(value: Mapping[Any, Any]) -> Any:
    config = value.get("config")
    model = config.get("model") if isinstance(config, dict) else None
    return model.get("version") if isinstance(model, dict) else None


def _read_model(
    sovits: Opened | None, gpt: Opened | None, variant: Variant | None, findings: Findings
) -> Model | None:
    """Judges whichever is there; a model takes both."""
    if gpt and swapped(GPT, gpt.shapes, findings):
        gpt = None
    gpt_config = read_gpt_config(GPT.name, gpt.value, findings) if gpt else GptConfig({})
    text_to_semantic = read_text_to_semantic(gpt.shapes if gpt else {}, gpt_config, variant or V2)
    gpt_expected = text_to_semantic_shapes(text_to_semantic)
    if gpt:
        check_gpt(text_to_semantic, gpt_config, findings)
        compare_shapes(GPT, gpt.shapes, gpt_expected, gpt.weights.unsound, findings)
    if not sovits or not variant:
        return None
    config = read_sovits_config(SOVITS.name, sovits.value, findings)
    architecture = read_architecture(sovits.shapes, config, variant, text_to_semantic)
    expected = sovits_shapes(architecture)
    check_sovits(architecture, config, findings)
    reported = check_rows(sovits.shapes, findings)
    compare_shapes(SOVITS, sovits.shapes, expected, sovits.weights.unsound | reported, findings)
    if not gpt:
        return None
    check_pair(architecture, findings)
    return Model(sovits.source(expected), gpt.source(gpt_expected), gpt_config, architecture)


def _model_facts(model: Model) -> dict[str, str]:
    """For people: what the submission is."""
    architecture = model.architecture
    return {
        "symbols": architecture.symbols,
        "layers": str(architecture.text_to_semantic.layers),
        "channels": str(architecture.text_to_semantic.channels),
        "heads": str(architecture.text_to_semantic.heads),
        **size_facts(model.sources),
        "sample rate": f"{architecture.sample_rate_hz} Hz",
    }


def _reference_facts(reference: Reference | None) -> dict[str, str]:
    if reference is None or not reference.transcript:
        return {}
    how = "detected from refText" if reference.is_detected else "as refLanguage says"
    return {"reference language": f"{reference.language}, {how}"}
