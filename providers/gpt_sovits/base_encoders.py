"""Base models on a device, each once per process: what every submission of the family listens and reads with.

- HuBERT: what is said in a recording.
- RoBERTa: the meaning of Chinese characters, one vector each.
- ERes2NetV2: who speaks (speaker_vector.py).

They stay as long as some submission that was loaded with them does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from providers.decoding.memory import raise_out_of_memory
from providers.gpt_sovits.speaker_vector import SpeakerVectors

WEIGHTS_FILE = "model.safetensors"

# Characters get the third hidden state from the end: what the last two layers make of it is left out.
UNUSED_LAYERS = 2
MAX_CHARACTERS = 510  # RoBERTa's positions, less those of [CLS] and [SEP]


class SpeechEncoder:
    """HuBERT (Hsu et al. 2021, arXiv 2106.07447) in float32: it runs once per voice."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        transformers = _quiet_transformers()
        model = transformers.HubertModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        self._model = model.eval().to(device)

    @torch.inference_mode()
    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [n] at 16 kHz, as recorded and not normalised → [about n / 320, 768]"""
        hidden: Tensor = self._model(samples[None]).last_hidden_state
        return hidden[0]


class CharacterEncoder:
    """RoBERTa (Liu et al. 2019, arXiv 1907.11692), trained on whole Chinese words, in the engine's dtype."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        transformers = _quiet_transformers()
        config = transformers.BertConfig.from_pretrained(folder, local_files_only=True)
        config.num_hidden_layers -= UNUSED_LAYERS
        model = transformers.BertModel.from_pretrained(
            folder,
            config=config,
            add_pooling_layer=False,
            local_files_only=True,
            use_safetensors=True,
            dtype=dtype,
        )
        self._model = model.eval().to(device)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._start = self._tokenizer.token_to_id("[CLS]")
        self._stop = self._tokenizer.token_to_id("[SEP]")
        self._unknown = self._tokenizer.token_to_id("[UNK]")

    @torch.inference_mode()
    def __call__(self, characters: str) -> Tensor:
        """n characters → float32 [n, 1024]. More than 510 are read in pieces."""
        pieces = [
            characters[start : start + MAX_CHARACTERS] for start in range(0, len(characters), MAX_CHARACTERS)
        ]
        return torch.cat([self._encode(piece) for piece in pieces])

    def _encode(self, characters: str) -> Tensor:
        tokens = [self._start, *map(self._token, characters), self._stop]
        hidden: Tensor = self._model(torch.tensor([tokens], device=self._model.device)).last_hidden_state
        return hidden[0, 1:-1].float()

    def _token(self, character: str) -> int | None:
        """Every character is a token, so that vectors and phones can be told which belong together."""
        ids = self._tokenizer.encode(character, add_special_tokens=False).ids
        return ids[0] if len(ids) == 1 else self._unknown


@dataclass(frozen=True, slots=True, eq=False)
class BaseEncoders:
    """None: the base model wasn't there when this was loaded."""

    hubert: SpeechEncoder | None = None
    roberta: CharacterEncoder | None = None
    eres2netv2: SpeakerVectors | None = None

    @staticmethod
    def load(
        folders: Mapping[str, Path], device: torch.device, dtype: torch.dtype, wants_speaker: bool
    ) -> BaseEncoders:
        """`folders`: role → folder of the base models that are there. Raises DeviceOutOfMemory."""
        loaders: dict[str, Callable[[Path], Any]] = {
            "hubert": lambda folder: SpeechEncoder(folder, device),
            "roberta": lambda folder: CharacterEncoder(folder, device, dtype),
        }
        if wants_speaker:
            loaders["eres2netv2"] = lambda folder: _speaker_vectors(folder, device)
        with raise_out_of_memory("the base models"):
            return BaseEncoders(
                **{
                    role: _shared((folders[role], device, dtype), partial(load, folders[role]))
                    for role, load in loaders.items()
                    if role in folders
                }
            )


_loaded: WeakValueDictionary[Any, Any] = WeakValueDictionary()
_loading = Lock()


def _shared(key: Any, load: Callable[[], Any]) -> Any:
    """What this process has loaded by this key, or loads now."""
    with _loading:
        if (found := _loaded.get(key)) is None:
            found = _loaded[key] = load()
        return found


def _speaker_vectors(folder: Path, device: torch.device) -> SpeakerVectors:
    weights = load_file(folder / WEIGHTS_FILE)
    return SpeakerVectors({name: tensor.to(device).float() for name, tensor in weights.items()})


def _quiet_transformers() -> Any:
    """Imported late: it takes seconds. It would draw a progress bar, and list the layers that aren't used."""
    import transformers

    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return transformers
