"""The published XTTS implementation, timed step by step: `python benchmarks/upstream/xtts.py FOLDER`.

Runs under an interpreter that has coqui-tts (extra `reference`); imports nothing of this project, so that
environment needs nothing else. Prints one JSON object with the keys that `benchmarks.engine_steps` has. With
`--greedy FILE.npz` it times nothing and keeps what the published implementation says, to compare with ours.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import json
import resource
import shutil
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

WARM_UP_TOKENS = 3
SAMPLE_RATE_HZ = 24_000

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument(
        "--text", default="It took me quite a long time to develop a voice, and now I have it."
    )
    parser.add_argument("--greedy", type=Path, metavar="FILE.npz")
    options = parser.parse_args()
    import_torchaudio_without_its_compiled_part()
    if options.greedy:
        keep_greedy(options.folder, options.text, options.tokens, options.greedy)
    else:
        json.dump(measure(options.folder, options.threads, options.tokens, options.text), sys.stdout)


def keep_greedy(folder: Path, text: str, num_tokens: int, output: Path) -> None:
    """Conditioning with the config's lengths, then greedy speech at repetition penalty 5."""
    import numpy

    model, _ = load(folder)
    latents, speaker = model.get_conditioning_latents(
        [str(folder / "audio.wav")], max_ref_length=30, gpt_cond_len=30, gpt_cond_chunk_len=4
    )
    spoken = model.inference(
        text, "en", latents, speaker, do_sample=False, repetition_penalty=5.0, max_new_tokens=num_tokens
    )
    numpy.savez(
        output,
        gpt_cond_latent=latents[0].numpy(),
        speaker_embedding=speaker[0, :, 0].numpy(),
        text_ids=model.tokenizer.encode(text.strip().lower(), lang="en"),
        gpt_latents=spoken["gpt_latents"][0],
        wav=spoken["wav"],
    )


def measure(folder: Path, threads: int, num_tokens: int, text: str) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    figures: dict[str, Any] = {"engine": "coqui-tts", "dtype": "float32", "threads": threads}
    model, figures["load_s"] = load(folder)
    figures["resident_mib"] = resident_mib()
    (latents, speaker), conditioning_s = timed(
        lambda: model.get_conditioning_latents([str(folder / "audio.wav")])
    )
    figures["conditioning_ms"] = 1e3 * conditioning_s
    with torch.no_grad():
        figures |= measure_steps(model, latents, speaker, text, num_tokens)
    figures |= measure_requests(model, latents, speaker, text, num_tokens)
    figures["peak_resident_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def measure_steps(model: Any, latents: Any, speaker: Any, text: str, num_tokens: int) -> dict[str, Any]:
    """Prefill, decode step, second pass and vocoder, each alone."""
    import torch

    ids = model.tokenizer.encode(text.strip().lower(), lang="en")
    text_ids = torch.IntTensor(ids).unsqueeze(0)

    def generate(count: int) -> Any:
        return model.gpt.generate(
            cond_latents=latents,
            text_inputs=text_ids,
            do_sample=True,
            top_p=0.85,
            top_k=50,
            temperature=0.75,
            repetition_penalty=5.0,
            num_return_sequences=1,
            num_beams=1,
            min_new_tokens=count,
            max_new_tokens=count,
            output_attentions=False,
        )

    generate(WARM_UP_TOKENS)
    _, one_token_s = timed(lambda: generate(1))
    codes, all_tokens_s = timed(lambda: generate(num_tokens))
    decode_s = (all_tokens_s - one_token_s) / (num_tokens - 1)
    gpt_latents, latent_pass_s = timed(
        lambda: model.gpt(
            text_ids,
            torch.tensor([len(ids)]),
            codes,
            torch.tensor([codes.shape[-1] * model.gpt.code_stride_len]),
            cond_latents=latents,
            return_attentions=False,
            return_latent=True,
        )
    )
    model.hifigan_decoder(gpt_latents, g=speaker)
    wav, vocoder_s = timed(lambda: model.hifigan_decoder(gpt_latents, g=speaker))
    audio_s = wav.shape[-1] / SAMPLE_RATE_HZ
    return {
        "prompt_tokens": latents.shape[1] + len(ids) + 2,
        "tokens": num_tokens,
        "audio_s": audio_s,
        "prefill_1_ms": 1e3 * (one_token_s - decode_s),
        "decode_1_ms": 1e3 * decode_s,
        "latent_pass_ms": 1e3 * latent_pass_s,
        "vocoder_ms_per_audio_s": 1e3 * vocoder_s / audio_s,
    }


def measure_requests(model: Any, latents: Any, speaker: Any, text: str, num_tokens: int) -> dict[str, Any]:
    """A request whole and a request streamed, as a user makes them."""
    options = {"repetition_penalty": 5.0, "max_new_tokens": num_tokens}
    whole, total_s = timed(
        lambda: model.inference(text, "en", latents, speaker, min_new_tokens=num_tokens, **options)
    )
    rtf = total_s / (len(whole["wav"]) / SAMPLE_RATE_HZ)
    started = time.perf_counter()
    arrivals, num_samples = [], 0
    for chunk in model.inference_stream(text, "en", latents, speaker, **options):
        arrivals.append(time.perf_counter() - started)
        num_samples += chunk.shape[-1]
    return {
        "total_s": total_s,
        "rtf": rtf,
        "times_real_time": 1 / rtf,
        "stream_ttfa_s": arrivals[0],
        "stream_total_s": arrivals[-1],
        "stream_audio_s": num_samples / SAMPLE_RATE_HZ,
        "stream_resident_mib": resident_mib(),
    }


def load(folder: Path) -> tuple[Any, float]:
    """The model and the seconds that loading its checkpoint took."""
    import soundfile
    import torch
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models import xtts

    # torchaudio.load needs a decoder library that has no CPU build; the wav is read by soundfile instead.
    def load_wav(path: str, *_: Any, **__: Any) -> tuple[Any, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    xtts.torchaudio.load = load_wav
    config = XttsConfig()
    config.load_json(str(folder / "config.json"))
    model = xtts.Xtts.init_from_config(config)
    # load_checkpoint rewrites a model.pth that has a pickled config, so it gets a copy.
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(folder, Path(scratch) / "submission")
        _, load_s = timed(lambda: model.load_checkpoint(config, checkpoint_dir=str(copy), eval=True))
    return model, load_s


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives and the seconds it took."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def import_torchaudio_without_its_compiled_part() -> None:
    """Beside a CPU torch the published torchaudio cannot load its library; its Python part is enough."""
    try:
        import torchaudio
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension = types.ModuleType("torchaudio._extension")
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
        extension._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
        extension.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
        sys.modules["torchaudio._extension"] = extension
        import torchaudio  # noqa: F401
    if importlib.util.find_spec("torchcodec") is None:
        # coqui-tts refuses to import without it, and never uses it on this path.
        codec = types.ModuleType("torchcodec")
        codec.__spec__ = importlib.machinery.ModuleSpec("torchcodec", None)
        sys.modules["torchcodec"] = codec


def resident_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
