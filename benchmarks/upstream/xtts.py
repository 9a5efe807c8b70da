"""The published XTTS implementation, timed step by step: `python benchmarks/upstream/xtts.py FOLDER`.

Runs under an interpreter that has coqui-tts (extra `reference`); imports nothing of this project, so that
environment needs nothing else. Prints one JSON object with the keys that `benchmarks.xtts_steps` has.
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
from pathlib import Path
from typing import Any

WARM_UP_TOKENS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument(
        "--text", default="It took me quite a long time to develop a voice, and now I have it."
    )
    options = parser.parse_args()
    json.dump(measure(options.folder, options.threads, options.tokens, options.text), sys.stdout)


def measure(folder: Path, threads: int, num_tokens: int, text: str) -> dict[str, Any]:
    import_torchaudio_without_its_compiled_part()
    import soundfile
    import torch
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models import xtts

    torch.set_num_threads(threads)

    # torchaudio.load needs a decoder library that has no CPU build; the wav is read by soundfile instead.
    def load_wav(path: str, *_: Any, **__: Any) -> tuple[Any, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    xtts.torchaudio.load = load_wav

    figures: dict[str, Any] = {"engine": "coqui-tts", "dtype": "float32", "threads": threads}
    config = XttsConfig()
    config.load_json(str(folder / "config.json"))
    model = xtts.Xtts.init_from_config(config)
    # load_checkpoint rewrites a model.pth that has a pickled config, so it gets a copy.
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(folder, Path(scratch) / "submission")
        started = time.perf_counter()
        model.load_checkpoint(config, checkpoint_dir=str(copy), eval=True)
        figures["load_s"] = time.perf_counter() - started
    figures["resident_mib"] = resident_mib()

    started = time.perf_counter()
    latents, speaker = model.get_conditioning_latents([str(folder / "audio.wav")])
    figures["conditioning_s"] = time.perf_counter() - started

    ids = model.tokenizer.encode(text.strip().lower(), lang="en")
    text_ids = torch.IntTensor(ids).unsqueeze(0)
    figures["prompt_tokens"] = latents.shape[1] + len(ids) + 2
    figures["tokens"] = num_tokens

    def generate(count: int) -> tuple[Any, float]:
        started = time.perf_counter()
        codes = model.gpt.generate(
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
        return codes, time.perf_counter() - started

    with torch.no_grad():
        generate(WARM_UP_TOKENS)
        _, one_token_s = generate(1)
        codes, all_tokens_s = generate(num_tokens)
        figures["decode_ms_per_token"] = 1e3 * (all_tokens_s - one_token_s) / (num_tokens - 1)
        figures["prefill_ms"] = 1e3 * one_token_s - figures["decode_ms_per_token"]

        started = time.perf_counter()
        gpt_latents = model.gpt(
            text_ids,
            torch.tensor([len(ids)]),
            codes,
            torch.tensor([codes.shape[-1] * model.gpt.code_stride_len]),
            cond_latents=latents,
            return_attentions=False,
            return_latent=True,
        )
        figures["latent_pass_ms"] = 1e3 * (time.perf_counter() - started)

        model.hifigan_decoder(gpt_latents, g=speaker)
        started = time.perf_counter()
        wav = model.hifigan_decoder(gpt_latents, g=speaker)
        vocoder_s = time.perf_counter() - started
        audio_s = wav.shape[-1] / 24_000
        figures["vocoder_ms_per_audio_s"] = 1e3 * vocoder_s / audio_s
        figures["audio_s"] = audio_s

    lengths = {"min_new_tokens": num_tokens, "max_new_tokens": num_tokens}
    started = time.perf_counter()
    whole = model.inference(text, "en", latents, speaker, repetition_penalty=5.0, **lengths)
    elapsed_s = time.perf_counter() - started
    figures["total_s"] = elapsed_s
    figures["rtf"] = elapsed_s / (len(whole["wav"]) / 24_000)
    figures["times_real_time"] = 1 / figures["rtf"]

    started = time.perf_counter()
    first_audio_s = None
    for _ in model.inference_stream(
        text, "en", latents, speaker, repetition_penalty=5.0, max_new_tokens=num_tokens
    ):
        first_audio_s = first_audio_s or time.perf_counter() - started
    figures["stream_ttfa_s"] = first_audio_s
    figures["stream_total_s"] = time.perf_counter() - started
    figures["peak_resident_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


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
