"""Base models: published models that a family needs beside its submissions, each a role.

What a role's files are called, where they are published, under which licence, and who needs them for what.
Sizes and digests are those of the published builds; other builds of the same layout may take their place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models_store.published import HubFile


@dataclass(frozen=True, slots=True)
class Need:
    """Who can't do without a role, or does less well."""

    family: str
    consequence: str  # of its absence, in words
    variants: frozenset[str] | None = None  # None: all of the family's
    languages: frozenset[str] | None = None  # BCP-47 primary subtags; None: whatever is spoken
    is_optional: bool = False  # without it something is spoken all the same


@dataclass(frozen=True, slots=True)
class RoleFile:
    """A file of a role's published layout."""

    name: str  # there
    sha256: str | None = None  # of the published build; None: not pinned
    holds_tensors: bool = False  # a checkpoint, kept as WEIGHTS_FILE


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    title: str
    licence: str
    source: str  # who made it
    files: tuple[RoleFile, ...]
    downloads: tuple[HubFile, ...]  # the files, or an archive of them
    needs: tuple[Need, ...]
    tells: tuple[str, ...] = ()  # tensors that any build has, by how their names end
    model_type: str | None = None  # what its config.json says

    @property
    def size_bytes(self) -> int:
        """Of what is downloaded."""
        return sum(file.size_bytes or 0 for file in self.downloads)


WEIGHTS_FILE = "model.safetensors"
CHINESE = frozenset({"zh"})


def _gpt_sovits(path: str, size_bytes: int, sha256: str) -> HubFile:
    return HubFile("lj1995/GPT-SoVITS", "336b2ec4e8d4ac74740798dd40af44e74659ecaf", path, size_bytes, sha256)


_HUBERT = {
    "config.json": _gpt_sovits(
        "chinese-hubert-base/config.json",
        1_449,
        "c3e5060a1277e0f078cc6be9da4528a605dba6ece93018981fe2c820e5c7b103",
    ),
    "preprocessor_config.json": _gpt_sovits(
        "chinese-hubert-base/preprocessor_config.json",
        212,
        "dcd684124d06722947939d41ea6ae58dbf10968c60a11a29f23ddc602c64a29b",
    ),
    "pytorch_model.bin": _gpt_sovits(
        "chinese-hubert-base/pytorch_model.bin",
        188_811_417,
        "24164f129c66499d1346e2aa55f183250c223161ec2770c0da3d3b08cf432d3c",
    ),
}
_ROBERTA = {
    "config.json": _gpt_sovits(
        "chinese-roberta-wwm-ext-large/config.json",
        963,
        "3d57de2fd7e80d0e5c8ff194f0bbb6baa10df7e43fc262a0cc71298a78b0a3e5",
    ),
    "tokenizer.json": _gpt_sovits(
        "chinese-roberta-wwm-ext-large/tokenizer.json",
        268_962,
        "173796956820ea27bd14f76bf28162607ff4254807e2948253eb5b46f5bb643b",
    ),
    "pytorch_model.bin": _gpt_sovits(
        "chinese-roberta-wwm-ext-large/pytorch_model.bin",
        651_225_145,
        "e53a693acc59ace251d143d068096ae0d7b79e4b1b503fa84c9dcf576448c1d8",
    ),
}
_ERES2NETV2 = {
    "pretrained_eres2netv2w24s4ep4.ckpt": _gpt_sovits(
        "sv/pretrained_eres2netv2w24s4ep4.ckpt",
        107_528_697,
        "4f5a0bf73c61eb41b174e1bb54e7ee3c83233892be8e0af1f187024e8e581a35",
    ),
}
_G2PW_ARCHIVE = HubFile(
    "XXXXRT/GPT-SoVITS-Pretrained",
    "0c47645e02a7bc3688d7b263b0042c81e3cd82cd",
    "G2PWModel.zip",
    588_856_634,
    "46292be0374a49308069233cd5c147ae4c41806558e4781a2467a31a4d8099da",
)


def _role_files(published: dict[str, HubFile]) -> tuple[RoleFile, ...]:
    return tuple(
        RoleFile(name, file.sha256, holds_tensors=name.endswith((".bin", ".ckpt")))
        for name, file in published.items()
    )


ROLES = {
    role.name: role
    for role in (
        Role(
            name="hubert",
            title="Chinese HuBERT base: what is said in a reference recording",
            licence="MIT",
            source="https://huggingface.co/TencentGameMate/chinese-hubert-base",
            files=_role_files(_HUBERT),
            downloads=tuple(_HUBERT.values()),
            needs=(Need("gpt_sovits", "nothing can be spoken"),),
            tells=("feature_projection.projection.weight", "encoder.layers.0.attention.q_proj.weight"),
            model_type="hubert",
        ),
        Role(
            name="roberta",
            title="Chinese RoBERTa large: the meaning of Chinese text",
            licence="Apache-2.0",
            source="https://huggingface.co/hfl/chinese-roberta-wwm-ext-large",
            files=_role_files(_ROBERTA),
            downloads=tuple(_ROBERTA.values()),
            needs=(Need("gpt_sovits", "no Chinese can be spoken", languages=CHINESE),),
            tells=("embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight"),
            model_type="bert",
        ),
        Role(
            name="g2pw",
            title="G2PW: which of its readings a Chinese character has",
            licence="Apache-2.0",
            source="https://github.com/GitYCC/g2pW",
            files=(
                RoleFile("g2pW.onnx", "2eb3c71fd95117b2e1abef8d2d0cd78aae894bbe7f0fac105ddc9c32ce63cbd0"),
                RoleFile("POLYPHONIC_CHARS.txt"),
                RoleFile("MONOPHONIC_CHARS.txt"),
                RoleFile("char_bopomofo_dict.json"),
                RoleFile("bopomofo_to_pinyin_wo_tune_dict.json"),
            ),
            downloads=(_G2PW_ARCHIVE,),
            needs=(
                Need(
                    "gpt_sovits",
                    "Chinese characters of several readings get the one of the dictionary",
                    variants=frozenset({"v2", "v2Pro", "v2ProPlus"}),
                    languages=CHINESE,
                    is_optional=True,
                ),
            ),
        ),
        Role(
            name="eres2netv2",
            title="ERes2NetV2: who speaks in a reference recording",
            licence="Apache-2.0",
            source="https://github.com/modelscope/3D-Speaker",
            files=_role_files(_ERES2NETV2),
            downloads=tuple(_ERES2NETV2.values()),
            needs=(Need("gpt_sovits", "nothing can be spoken", variants=frozenset({"v2Pro", "v2ProPlus"})),),
            tells=("layer1.0.convs.0.weight", "layer4.0.convs.0.weight"),
        ),
    )
}


def need(role: Role, family: str | None, variant: str | None, languages: Iterable[str] = ()) -> Need | None:
    """Why submissions of this kind want the role when they speak these languages; None: they don't."""
    spoken = {language.partition("-")[0] for language in languages}
    for row in role.needs:
        of_this_kind = row.family == family and (row.variants is None or variant in row.variants)
        if of_this_kind and (row.languages is None or row.languages & spoken):
            return row
    return None
