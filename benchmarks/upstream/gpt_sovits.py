"""The published GPT-SoVITS, timed step by step: `python benchmarks/upstream/gpt_sovits.py CHECKOUT INPUTS`.

CHECKOUT is a copy of the published repository, the interpreter one that can run it; nothing of it is kept
here, and nothing of this project is imported. INPUTS is a folder that `benchmarks.gpt_sovits_steps` wrote:
`submission/`, `hubert/`, perhaps `eres2netv2/`, and `inputs.json` with the phones of the reference and of the
text. Text is not measured. Prints one JSON object with the keys that `benchmarks.engine_steps` has.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

SAMPLE_RATE_HZ = 32_000
LISTENING_RATE_HZ = 16_000
APPENDED_SILENCE = 9_600  # samples at the listening rate, as published
FIRST_CHUNK_TOKENS = 18  # of its streaming mode 3: 16 and an overlap of 2
SPEAKER_FILE = "pretrained_eres2netv2w24s4ep4.ckpt"
ZIP_MAGIC = b"PK"

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--batch", type=int, action="append")
    options = parser.parse_args()
    inputs = options.inputs.resolve()
    os.chdir(options.checkout)  # some of its paths are relative
    for folder in ("", "GPT_SoVITS", "GPT_SoVITS/eres2net"):
        sys.path.insert(0, os.path.join(os.getcwd(), folder))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # it tells of its progress on both
        figures = measure(inputs, options.threads, options.tokens, options.batch or [1, 4, 16])
    json.dump(figures, sys.stdout)


def measure(inputs: Path, threads: int, num_tokens: int, batches: list[int]) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    phones = json.loads((inputs / "inputs.json").read_text())
    figures: dict[str, Any] = {"engine": "GPT-SoVITS", "dtype": "float32", "threads": threads}
    with torch.no_grad():
        model, figures["load_s"] = timed(lambda: Model(inputs))
        figures["variant"] = model.variant
        figures["resident_mib"] = resident_mib()
        _, conditioning_s = timed(model.listen)
        figures["conditioning_ms"] = 1e3 * conditioning_s
        figures |= measure_tokens(model, phones, num_tokens, batches)
        figures |= measure_requests(model, phones, num_tokens)
    figures["peak_resident_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def measure_tokens(model: Model, phones: Any, num_tokens: int, batches: list[int]) -> dict[str, Any]:
    """Prefill and decode step: what one token takes, and what each further one does."""
    figures: dict[str, Any] = {"tokens": num_tokens, "text_tokens": len(phones["text"])}
    model.draw(phones, 3, 1)
    for batch in batches:
        _, first_s = timed(lambda batch=batch: model.draw(phones, 1, batch))  # type: ignore[misc]
        _, all_s = timed(lambda batch=batch: model.draw(phones, 31, batch))  # type: ignore[misc]
        step_s = (all_s - first_s) / 30
        figures[f"prefill_{batch}_ms"] = 1e3 * (first_s - step_s)
        figures[f"decode_{batch}_ms"] = 1e3 * step_s
    return figures


def measure_requests(model: Model, phones: Any, num_tokens: int) -> dict[str, Any]:
    """A request whole, and the first chunk of one that streams: tokens, then their sound.

    The published pipeline derives the speaker vector anew for each, so that counts.
    """
    started = time.perf_counter()
    tokens = model.draw(phones, num_tokens, 1)
    wave, vocoder_s = timed(lambda: model.sound(phones, tokens))
    total_s = time.perf_counter() - started
    audio_s = wave.shape[-1] / SAMPLE_RATE_HZ
    _, ttfa_s = timed(lambda: model.sound(phones, model.draw(phones, FIRST_CHUNK_TOKENS, 1)))
    return {
        "audio_s": audio_s,
        "vocoder_ms_per_audio_s": 1e3 * vocoder_s / audio_s,
        "total_s": total_s,
        "rtf": total_s / audio_s,
        "times_real_time": audio_s / total_s,
        "stream_ttfa_s_1": ttfa_s,
    }


class Model:
    """The published modules, without the pipeline around them that reads text."""

    def __init__(self, inputs: Path) -> None:
        import torch
        from AR.models.t2s_model import Text2SemanticDecoder
        from module.models import SynthesizerTrn
        from transformers import HubertModel

        gpt = torch.load(inputs / "submission" / "gpt.ckpt", map_location="cpu", weights_only=False)
        self.t2s = Text2SemanticDecoder(config=gpt["config"], top_k=3)
        weights = {name.removeprefix("model."): tensor.float() for name, tensor in gpt["weight"].items()}
        self.t2s.load_state_dict(weights, strict=False)
        sovits = read_sovits(inputs / "submission" / "sovits.pth")
        config, data = vars(sovits["config"].model), sovits["config"].data
        self.variant = config["version"]
        self.vits = SynthesizerTrn(
            data.filter_length // 2 + 1, 32, **{"p_dropout": 0.0, **config, "semantic_frame_rate": "25hz"}
        )
        self.vits.load_state_dict({n: t.float() for n, t in sovits["weight"].items()}, strict=False)
        hubert: Any = HubertModel.from_pretrained(inputs / "hubert", local_files_only=True)
        self.hubert = hubert.float()
        self.speaker = load_speaker_network(inputs / "eres2netv2")
        self.reference = inputs / "submission" / "reference.wav"
        for module in (self.t2s, self.vits, self.hubert):
            module.eval()

    def listen(self) -> None:
        """The reference's tokens, its spectrogram, and who speaks."""
        import librosa
        import torch

        heard, _ = librosa.load(self.reference, sr=LISTENING_RATE_HZ)
        samples = torch.cat([torch.from_numpy(heard), torch.zeros(APPENDED_SILENCE)])
        features = self.hubert(samples[None]).last_hidden_state
        self.prompt = self.vits.extract_latent(features.transpose(1, 2))[0]
        recorded, _ = librosa.load(self.reference, sr=SAMPLE_RATE_HZ)
        padded = torch.nn.functional.pad(torch.from_numpy(recorded)[None], (704, 704), mode="reflect")
        spectrum = torch.stft(
            padded, 2048, 640, window=torch.hann_window(2048), center=False, return_complex=True
        )
        self.spectrogram = (spectrum.abs().square() + 1e-8).sqrt()
        self.heard = torch.from_numpy(heard)
        self.speaker_vector()

    def speaker_vector(self) -> Any:
        if self.speaker is None:
            return None
        import kaldi  # the published one

        banks = kaldi.fbank(self.heard[None], num_mel_bins=80, sample_frequency=LISTENING_RATE_HZ, dither=0)
        return self.speaker.forward3(banks[None])

    def draw(self, phones: Any, count: int, batch: int) -> Any:
        """`count` tokens for each of `batch` equal texts."""
        import torch

        ids = torch.tensor(phones["reference"] + phones["text"])
        tokens, _ = self.t2s.infer_panel_batch_infer(
            [ids] * batch,
            torch.tensor([len(ids)] * batch),
            self.prompt.expand(batch, -1),
            [torch.zeros(1024, len(ids))] * batch,
            top_k=15,
            top_p=1,
            temperature=1.0,
            early_stop_num=count - 1,
        )
        return tokens[0][-count:]

    def sound(self, phones: Any, tokens: Any) -> Any:
        import torch

        text = torch.tensor(phones["text"])[None]
        return self.vits.decode(tokens[None, None], text, [self.spectrogram], sv_emb=[self.speaker_vector()])


def read_sovits(path: Path) -> Any:
    """A checkpoint whose first two bytes may say which variant it is."""
    import torch

    return torch.load(io.BytesIO(ZIP_MAGIC + path.read_bytes()[2:]), map_location="cpu", weights_only=False)


def load_speaker_network(folder: Path) -> Any:
    """None where the variant has no use for it."""
    if not folder.exists():
        return None
    import torch
    from ERes2NetV2 import ERes2NetV2

    network = ERes2NetV2(baseWidth=24, scale=4, expansion=4)
    network.load_state_dict(torch.load(folder / SPEAKER_FILE, map_location="cpu"), strict=False)
    return network.eval()


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives and the seconds it took."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def resident_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
