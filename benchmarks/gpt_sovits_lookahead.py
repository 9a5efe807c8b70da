"""How far streamed GPT-SoVITS speech is from speech decoded at one shot, over the frames it looks ahead.

    python -m benchmarks.gpt_sovits_lookahead NAME [--home FOLDER] [--tokens N]

The submission NAME of the store says its own reference again: from the tokens that HuBERT hears in it, so
this is about SoVITS alone, and with a trained submission about real speech. Prints a JSON line per
look-ahead: the signal-to-noise ratio of the wave and the mean distance of log-mels, both against one shot,
with noise 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.engine_steps import own_voice
from models_store.store import ModelsStore
from providers.audio.mel import MelSpectrogram
from providers.gpt_sovits.engine import GptSovitsEngine
from providers.gpt_sovits.noise import FrameNoise
from providers.gpt_sovits.provider import GptSovitsProvider
from providers.gpt_sovits.sovits import Sovits, SpeechSpan, SpeechStart, prepare_generator
from providers.gpt_sovits.streaming import ONE_SHOT, BlockSchedule
from providers.interface import EngineSettings

LOOKAHEAD_TOKENS = (0, 1, 2, 3, 4, 6, 8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("--home", type=Path, default=Path("~/.voicecore"))
    parser.add_argument("--tokens", type=int, default=250)
    arguments = parser.parse_args()
    store = ModelsStore(arguments.home.expanduser() / "store")
    measure(store, arguments.name, arguments.tokens)


def measure(store: ModelsStore, name: str, most_tokens: int) -> None:
    files = store.files(store.resolve(name).id)
    provider, settings = GptSovitsProvider(), EngineSettings("cpu", "float32", num_slots=1)
    architecture, weights = provider.architecture(files), provider.read_weights(files, settings)
    engine = GptSovitsEngine(architecture, settings)
    engine.load(weights)
    conditioning = engine.condition(files.submission.id, own_voice(files))
    start = SpeechStart(
        torch.tensor(conditioning.phones), conditioning.style, FrameNoise.of(0, 0, 0.0, "cpu")
    )
    tokens = torch.tensor(conditioning.tokens)[:most_tokens]
    tensors = {tensor_name: tensor.float() for tensor_name, tensor in weights.sovits().items()}
    generator = prepare_generator(tensors, architecture, torch.float32)

    def wave(schedule: BlockSchedule) -> Tensor:
        sovits = Sovits(architecture, tensors, generator, schedule)
        (speech,) = sovits.begin([start])
        return sovits.vocode([SpeechSpan(speech, tokens, is_last=True)])[0]

    once = wave(ONE_SHOT)
    print(json.dumps({"submission": name, "variant": architecture.variant, "tokens": len(tokens)}))
    for lookahead in LOOKAHEAD_TOKENS:
        distances = compare(wave(BlockSchedule(lookahead)), once, architecture.sample_rate_hz)
        print(json.dumps({"lookahead_frames": lookahead * architecture.frames_per_token, **distances}))


def compare(streamed: Tensor, once: Tensor, sample_rate_hz: int) -> Mapping[str, float]:
    mel = MelSpectrogram(sample_rate_hz, 2048, 2048, 640, 80, sample_rate_hz / 2)
    log_mels = [mel(samples).clamp(min=1e-6).log10() * 10 for samples in (streamed, once)]
    noise = (streamed - once).square().sum()
    return {
        "snr_db": round(float(10 * (once.square().sum() / noise).log10()), 1),
        "log_mel_distance_db": round(float((log_mels[0] - log_mels[1]).abs().mean()), 3),
    }


if __name__ == "__main__":
    main()
