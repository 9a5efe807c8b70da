"""Submissions as the text front end sees them: a config blob, a vocabulary, the languages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from models_store.checkpoints.architecture import (
    HifiganArchitecture,
    SpeakerEncoderArchitecture,
    XttsArchitecture,
    XttsConfig,
)
from models_store.submission import Blob, Submission, SubmissionFiles, Voice
from providers.xtts.text import XttsTextFrontEnd

XTTS_LANGUAGES = "en es fr de it pt pl tr ru nl cs ar zh-cn hu ko ja hi".split()
# Letters that a vocabulary needs so that every language's tokens are its own: all else is [UNK].
ALPHABETS = (
    range(0x21, 0x7F),
    range(0xC0, 0x180),
    range(0x400, 0x460),
    range(0x600, 0x6FF),
    range(0x900, 0x970),
    range(0x3000, 0x3100),
)
TAGS = {f"[{code}]": 3 + i for i, code in enumerate(XTTS_LANGUAGES)}
SPECIALS = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, **TAGS, "[START]": 261}


def config(max_text_tokens: int = 402) -> XttsConfig:
    """The golden submission's values; the architecture plays no part in text."""
    return XttsConfig(
        architecture=XttsArchitecture(
            layers=4,
            channels=128,
            heads=4,
            text_positions=404,
            audio_tokens=1026,
            audio_positions=608,
            start_audio_token=1024,
            stop_audio_token=1025,
            conditioning_mel_bins=80,
            conditioning_blocks=6,
            conditioning_heads=4,
            perceiver_depth=2,
            perceiver_latents=32,
            perceiver_heads=8,
            perceiver_head_channels=64,
            input_sample_rate_hz=22_050,
            output_sample_rate_hz=24_000,
            code_stride=1024,
            output_hop=256,
            vocoder=HifiganArchitecture(
                in_channels=128,
                initial_channels=512,
                upsample_strides=(8, 8, 2, 2),
                upsample_kernels=(16, 16, 4, 4),
                resblock_kernels=(3, 7, 11),
                resblock_dilations=((1, 3, 5),) * 3,
                speaker_channels=512,
            ),
            speaker_encoder=SpeakerEncoderArchitecture(
                mel_bins=64, blocks=(3, 4, 6, 3), channels=(32, 64, 128, 256), embedding_channels=512
            ),
        ),
        languages=tuple(XTTS_LANGUAGES),
        text_tokens=5413,
        start_text_token=261,
        stop_text_token=0,
        max_text_tokens=max_text_tokens,
        max_audio_tokens=605,
        temperature=0.75,
        top_k=50,
        top_p=0.85,
        repetition_penalty=5.0,
        gpt_cond_len_s=30,
        gpt_cond_chunk_len_s=4,
        max_ref_len_s=30,
        sound_norm_refs=False,
    )


def vocabulary() -> dict[str, object]:
    """A tokenizer with one token per letter: more ids than any real vocabulary gives."""
    letters = [chr(code) for alphabet in ALPHABETS for code in alphabet]
    free = iter(i for i in range(5_000) if i not in SPECIALS.values())
    tokens = {**SPECIALS, **{letter: next(free) for letter in letters}}
    return {
        "version": "1.0",
        "added_tokens": [
            {
                "id": i,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, i in SPECIALS.items()
        ],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "BPE", "unk_token": "[UNK]", "vocab": tokens, "merges": []},
    }


@pytest.fixture(scope="session")
def make_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SubmissionFiles]:
    def make(
        languages: Sequence[str] = XTTS_LANGUAGES,
        max_text_tokens: int = 402,
        vocabulary_file: Path | None = None,
    ) -> SubmissionFiles:
        folder = tmp_path_factory.mktemp("submission")
        (folder / "config").write_bytes(msgspec.json.encode(config(max_text_tokens)))
        if vocabulary_file is None:
            vocabulary_file = folder / "vocabulary"
            vocabulary_file.write_text(json.dumps(vocabulary()))
        submission = Submission(
            family="xtts",
            variant="v2",
            languages=tuple(languages),
            blobs={role: Blob("sha256:" + "0" * 64, 1) for role in ("config", "vocabulary")},
            voice=Voice(recordings=(), duration_s=7.0),
            submitted_at="2024-01-01T00:00:00Z",
        )
        return SubmissionFiles(
            submission=submission,
            paths={"config": folder / "config", "vocabulary": vocabulary_file},
            recordings=(),
        )

    return make


@pytest.fixture(scope="session")
def front_end(make_files: Callable[..., SubmissionFiles]) -> XttsTextFrontEnd:
    """All 17 languages, one token per letter."""
    return XttsTextFrontEnd(make_files())
