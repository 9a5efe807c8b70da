"""Make the demo voices: corpus, speaker encoder, GPT, vocoder, submissions, and how good they are.

    python -m models_store.demo.recipe [--work FOLDER] [--size cpu|gpu|tiny] [--out FOLDER] [--only-evaluate]

Every step leaves its last checkpoint in FOLDER and goes on from there; stop it whenever you like.
On CUDA where there is a device, else on all cores. Needs Debian's flite, wordnet-base and wamerican-large.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch

from models_store.demo import SUBMISSIONS
from models_store.demo.recipe import export, gpt, speaker_encoder, style_encoder, vocoder
from models_store.demo.recipe.corpus import fit_projection, make_corpus, read_shard, shard_path
from models_store.demo.recipe.evaluate import evaluate, table
from models_store.demo.recipe.serving import serving
from models_store.demo.recipe.settings import SIZES, Size, device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("demo-training"))
    parser.add_argument("--size", choices=SIZES, default="gpu" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=SUBMISSIONS)
    parser.add_argument("--only-evaluate", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if not arguments.only_evaluate:
        make(arguments.work, SIZES[arguments.size], arguments.out)
    judge(arguments.out, arguments.work / "evaluation.json")


def make(work: Path, size: Size, out: Path) -> None:
    """Everything from the corpus to submissions in `out`."""
    make_corpus(work / "corpus", size.shards, os.cpu_count() or 1)
    projection = fit_projection(work / "corpus")
    utterances = [
        utterance
        for index in range(size.shards)
        for utterance in read_shard(shard_path(work / "corpus", index), projection)
    ]
    recorded = [utterance for utterance in utterances if utterance.samples is not None]
    style, speaker = style_encoder.train(recorded, size.channels), speaker_encoder.train(recorded)
    trained = gpt.train(utterances, size, work / "gpt.pt").eval()
    on_features = vocoder.Crops(recorded, lambda utterance: utterance.features)
    generator = vocoder.train(on_features, size, work / "vocoder.pt")
    on_latents, absorbed = (
        vocoder.Crops(recorded, vocoder.Latents(trained)),
        vocoder.absorb(generator, trained.features),
    )
    generator = vocoder.train(on_latents, size, work / "vocoder_on_latents.pt", start_from=absorbed)
    export.write_submissions(out, export.state_dict(trained, generator, style, speaker), trained)
    print(f"wrote {', '.join(export.NAMES.values())} to {out}, trained on {device()}", flush=True)


def judge(submissions: Path, results: Path) -> None:
    """Serve the submissions, measure them beside the voices that they learnt from, print the table."""
    with serving({name: submissions / name for name in export.NAMES.values()}) as url:
        scores = list(evaluate(url))
    results.write_text(json.dumps([score.as_record() for score in scores], indent=1) + "\n")
    print(table(scores))


if __name__ == "__main__":
    main()
