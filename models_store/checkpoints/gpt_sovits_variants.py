"""Which GPT-SoVITS a checkpoint is: read off its tensors and its header, never off its size.

A v2 file can be smaller than a v1 file, and the published code tells files of one size apart wrongly.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from models_store.checkpoints.checkpoint_file import CheckpointFile
from models_store.checkpoints.findings import Findings
from models_store.checkpoints.shapes import Shapes, sizes, vote


class SymbolTable(NamedTuple):
    sovits_rows: int  # of enc_p.text_embedding: the symbols there are
    gpt_rows: int  # of ar_text_embedding: with v1's, more than there are symbols
    languages: tuple[str, ...]  # BCP-47


SYMBOLS = {
    "v1": SymbolTable(322, 512, ("zh", "en", "ja")),
    "v2": SymbolTable(732, 732, ("zh", "en", "ja", "ko", "yue")),
}


class Variant(NamedTuple):
    name: str
    symbols: str
    spectrogram_bins: int  # that ref_enc sees
    has_speaker_vector: bool
    first_upsample_kernel: int  # of dec, which tells v2Pro from v2ProPlus
    headers: tuple[str, ...]  # digits that training writes, or that the published code also takes


VARIANTS = (
    Variant("v1", "v1", 1025, False, 16, ("", "00")),
    Variant("v2", "v2", 704, False, 16, ("", "01")),
    Variant("v2Pro", "v2", 704, True, 16, ("05",)),
    Variant("v2ProPlus", "v2", 704, True, 20, ("06",)),
)
V1, V2, V2_PRO, V2_PRO_PLUS = VARIANTS
HEADER_NAMES = {
    "00": "v1",
    "01": "v2",
    "02": "v3",
    "03": "v3 LoRA",
    "04": "v4 LoRA",
    "05": "v2Pro",
    "06": "v2ProPlus",
}
# Modules that only the diffusion models have.
DIFFUSION_MODULES = ("cfm.", "bridge.", "wns1.")


def variant_of(shapes: Shapes) -> Variant:
    """The variant that these tensors of sovits.pth make; published v2 where they say nothing."""
    if any(name.startswith(("sv_emb.", "ge_to512.", "prelu.")) for name in shapes):
        kernel = vote(sizes(shapes, r"dec\.ups\.0\.weight", 2), V2_PRO.first_upsample_kernel)
        return V2_PRO_PLUS if kernel == V2_PRO_PLUS.first_upsample_kernel else V2_PRO
    rows = vote(sizes(shapes, r"enc_p\.text_embedding\.weight", 0), 0)
    bins = vote(sizes(shapes, r"ref_enc\.spectral\.0\.fc\.weight", 1), V2.spectrogram_bins)
    by_rows = {SYMBOLS[variant.symbols].sovits_rows: variant for variant in (V1, V2)}
    return by_rows.get(rows, V1 if bins == V1.spectrogram_bins else V2)


def unserved_variant(names: Collection[str], header: str, version: Any, lora_rank: Any) -> str | None:
    """The name of a published variant that isn't served, or None.

    v3 and v4 have the same tensors; `version` is what the file's own config says, which decides there.
    """
    is_lora = header in ("03", "04") or lora_rank is not None or any(".lora_" in name for name in names)
    if is_lora:
        return HEADER_NAMES.get(header, "LoRA") if header in ("03", "04") else "v3 or v4 LoRA"
    if header == "02" or any(name.startswith(DIFFUSION_MODULES) for name in names):
        return version if version in ("v3", "v4") else "v3 or v4"
    return None


def refuse_unserved(file: CheckpointFile, name: str, findings: Findings) -> None:
    served = ", ".join(variant.name for variant in VARIANTS)
    findings.refuse(
        "BadCheckpoint",
        file.name,
        f"a GPT-SoVITS {name} checkpoint",
        f"one of {served}",
        f"This server does not run {name} yet; train or submit one of the others.",
    )


def compare_with_header(file: CheckpointFile, variant: Variant, header: str, findings: Findings) -> None:
    """The header and the tensors must not contradict each other."""
    if header in variant.headers:
        return
    if not header:
        findings.warn(
            "BadCheckpoint",
            file.name,
            f"{variant.name} without the two digits {variant.headers[0]} at its start",
            "a header that says so",
            "It was read all the same; the published programs tell the variant by it.",
        )
        return
    findings.refuse(
        "BadCheckpoint",
        file.name,
        f"the header {header} of {HEADER_NAMES[header]} before the tensors of {variant.name}",
        f"the header and the tensors of one variant ({', '.join(filter(None, variant.headers)) or 'none'})",
        "Upload the file that training wrote, unchanged.",
    )
