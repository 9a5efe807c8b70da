"""Eight sentences by the demo voices as Ogg Opus, and a picture of one beside the voice that it learnt from.

python -m benchmarks.demo_samples --url http://127.0.0.1:8000 [--out benchmarks/results/demo]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import httpx
import numpy as np

from models_store.demo.recipe.evaluate import RATE_HZ, SEED, Samples, speak
from models_store.demo.recipe.export import NAMES
from models_store.demo.recipe.sentences import held_out, normalise
from models_store.demo.recipe.synthesiser import Voice
from models_store.demo.recipe.tokens import amplitudes

CHOSEN = (0, 4, 5, 60, 68, 89, 101, 150)  # of the held-out sentences; the last digits and names among them
PICTURED = 0
LEAST_DB = -80.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/demo"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=arguments.url, timeout=120) as client:
        write_samples(client, arguments.out)
        write_picture(client, arguments.out / "spectrogram.png")


def write_samples(client: httpx.Client, out: Path) -> None:
    names, lines = list(NAMES.values()), []
    for number, index in enumerate(CHOSEN):
        model, text = names[number % len(names)], held_out()[index]
        body = {"model": model, "input": text, "voice": "default", "response_format": "opus", "seed": SEED}
        response = client.post("/v1/audio/speech", json=body)
        response.raise_for_status()
        name = f"{number + 1}-{model}.opus"
        (out / name).write_bytes(response.content)
        lines.append(f"{name}: {text}")
    (out / "sentences.txt").write_text("\n".join(lines) + "\n")


def write_picture(client: httpx.Client, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    (speaker, model), text = next(iter(NAMES.items())), held_out()[PICTURED]
    original = amplitudes(Voice(speaker).speak(normalise(text)).samples)
    pictures: dict[str, Samples] = {f"flite {speaker}": original, model: speak(client, text, model=model)}
    figure, axes = pyplot.subplots(len(pictures), 1, figsize=(9, 5), layout="constrained")
    for axis, (name, samples) in zip(np.ravel(axes), pictures.items(), strict=True):
        axis.specgram(samples + 1e-6, NFFT=512, noverlap=384, Fs=RATE_HZ, vmin=LEAST_DB - 40, cmap="magma")
        axis.set(title=f"{name}: {text}", xlabel="s", ylabel="Hz")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
