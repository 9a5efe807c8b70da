"""Base models, each once per process and device: what every submission of the family listens and reads with.

- HuBERT: what is said in a recording.
- RoBERTa: the meaning of Chinese characters, one vector each.
- ERes2NetV2: who speaks (speaker_vector.py).

They are read into host memory and copied to the device with the first submission that uses them there, and
stay as long as one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from tokenizers import Tokenizer
from torch import Tensor

from providers.gpt_sovits.speaker_vector import SpeakerVectors

WEIGHTS_FILE = "model.safetensors"
CPU = torch.device("cpu")

# Characters get the third hidden state from the end: what the last two layers make of it is left out.
UNUSED_LAYERS = 2
MAX_CHARACTERS = 510  # RoBERTa's positions, less those of [CLS] and [SEP]


class SpeechEncoder:
    """HuBERT (Hsu et al. 2021, arXiv 2106.07447) in float32: it runs once per voice."""

    def __init__(self, model: torch.nn.Module) -> None:
        """`model`: a HubertModel of transformers."""
        self._model = model.eval().requires_grad_(False)

    @staticmethod
    def read(folder: Path) -> SpeechEncoder:
        model = _quiet_transformers().HubertModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        return SpeechEncoder(model)

    def to(self, device: torch.device) -> SpeechEncoder:
        return SpeechEncoder(deepcopy(self._model).to(device))

    @property
    def size_bytes(self) -> int:
        return _size_bytes(self._model)

    @torch.inference_mode()
    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [n] at 16 kHz, as recorded and not normalised → [about n / 320, 768]"""
        hidden: Tensor = self._model(samples[None]).last_hidden_state
        return hidden[0]


class CharacterEncoder:
    """RoBERTa (Liu et al. 2019, arXiv 1907.11692), trained on whole Chinese words, in the engine's dtype."""

    def __init__(self, model: torch.nn.Module, tokenizer: Tokenizer) -> None:
        """`model`: a BertModel of transformers, without the layers that aren't used."""
        self._model = model.eval().requires_grad_(False)
        self._device = next(model.parameters()).device
        self._tokenizer = tokenizer
        self._start = self._tokenizer.token_to_id("[CLS]")
        self._stop = self._tokenizer.token_to_id("[SEP]")
        self._unknown = self._tokenizer.token_to_id("[UNK]")

    @staticmethod
    def read(folder: Path, dtype: torch.dtype) -> CharacterEncoder:
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
        return CharacterEncoder(model, Tokenizer.from_file(str(folder / "tokenizer.json")))

    def to(self, device: torch.device) -> CharacterEncoder:
        return CharacterEncoder(deepcopy(self._model).to(device), self._tokenizer)

    @property
    def size_bytes(self) -> int:
        return _size_bytes(self._model)

    @torch.inference_mode()
    def __call__(self, characters: str) -> Tensor:
        """n characters → float32 [n, 1024]. More than 510 are read in pieces."""
        pieces = [
            characters[start : start + MAX_CHARACTERS] for start in range(0, len(characters), MAX_CHARACTERS)
        ]
        return torch.cat([self._encode(piece) for piece in pieces])

    def _encode(self, characters: str) -> Tensor:
        tokens = [self._start, *map(self._token, characters), self._stop]
        hidden: Tensor = self._model(torch.tensor([tokens], device=self._device)).last_hidden_state
        return hidden[0, 1:-1].float()

    def _token(self, character: str) -> int | None:
        """Every character is a token, so that vectors and phones can be told which belong together."""
        ids = self._tokenizer.encode(character, add_special_tokens=False).ids
        return ids[0] if len(ids) == 1 else self._unknown


@dataclass(frozen=True, slots=True, eq=False)
class BaseEncoders:
    """None: the base model wasn't there when this was read."""

    hubert: SpeechEncoder | None = None
    roberta: CharacterEncoder | None = None
    eres2netv2: SpeakerVectors | None = None
    builds: Mapping[str, _Build] = field(default_factory=dict)  # role → what it was read from

    @staticmethod
    def read(folders: Mapping[str, Path], dtype: torch.dtype, wants_speaker: bool) -> BaseEncoders:
        """Into host memory. `folders`: role → folder of the base models that are there."""
        roles = _READERS if wants_speaker else _READERS.keys() - {"eres2netv2"}
        builds = {role: _Build(role, folder, dtype) for role, folder in folders.items() if role in roles}
        return BaseEncoders(
            **{role: _shared((build, CPU), partial(_READERS[role], build)) for role, build in builds.items()},
            builds=builds,
        )

    def to(self, device: torch.device) -> BaseEncoders:
        """On a device: what is there already isn't copied again."""
        if device == CPU:
            return self
        copies = {
            role: _shared((build, device), partial(getattr(self, role).to, device))
            for role, build in self.builds.items()
        }
        return replace(self, **copies)

    @property
    def size_bytes(self) -> Mapping[str, int]:
        """Of each, by a name that no other build has."""
        return {
            f"{role} {build.folder}": getattr(self, role).size_bytes for role, build in self.builds.items()
        }


class _Build(NamedTuple):
    role: str
    folder: Path
    dtype: torch.dtype


_READERS: dict[str, Callable[[_Build], Any]] = {
    "hubert": lambda build: SpeechEncoder.read(build.folder),
    "roberta": lambda build: CharacterEncoder.read(build.folder, build.dtype),
    "eres2netv2": lambda build: SpeakerVectors.read(build.folder / WEIGHTS_FILE),
}

_loaded: WeakValueDictionary[Any, Any] = WeakValueDictionary()
_loading = Lock()


def _shared(key: Any, load: Callable[[], Any]) -> Any:
    """What this process has loaded by this key, or loads now."""
    with _loading:
        if (found := _loaded.get(key)) is None:
            found = _loaded[key] = load()
        return found


def _size_bytes(model: torch.nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def _quiet_transformers() -> Any:
    """Imported late: it takes seconds. It would draw a progress bar, and list the layers that aren't used."""
    import transformers

    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return transformers
