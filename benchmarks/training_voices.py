"""The evaluation of the demo voices with the voices that they learnt from beside them, in one report.

    python -m benchmarks.training_voices [--seeds 1,2,3] [--out benchmarks/results/demo/evaluation]

The demos are evaluated like any submission, by `voicecore evaluate`. Then flite's own speech of the same
texts joins them as three more systems: measured by the same ears, never timed. Needs Debian's flite.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import soundfile

from models_store.demo import demo_submissions
from models_store.demo.recipe.export import NAMES
from models_store.demo.recipe.sentences import held_out, normalise
from models_store.demo.recipe.synthesiser import Voice
from models_store.demo.recipe.tokens import amplitudes
from models_store.store import ModelsStore
from server.evaluation.archive import Archive, Spoken
from server.evaluation.measuring import Listener, finish, measure
from server.evaluation.plan import Plan
from server.settings import Settings

REFERENCE = " ".join(held_out()[-3:])  # what a training voice is known by


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--texts", type=Path, help="Instead of the pinned ones; see `voicecore evaluate`.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/demo/evaluation"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voicecore-evaluation-") as home:
        settings = Settings(home=Path(home))
        store = ModelsStore(settings.store_path)
        for name, folder in demo_submissions().items():
            store.submit(folder, name)
        demos = _evaluate_demos(settings, arguments.seeds, arguments.texts)
        _write_report(_with_training_voices(demos, store), store, settings, arguments.out)


def _evaluate_demos(settings: Settings, seeds: str, texts: Path | None) -> Plan:
    """Through a server, as a user would. Raises CalledProcessError."""
    command = [sys.executable, "-m", "server", "evaluate", *NAMES.values(), "--seeds", seeds]
    command += ["--language", "en", "--home", str(settings.home_path), "--port", "0"]
    command += [] if texts is None else ["--texts", str(texts)]
    subprocess.run(command, check=True)
    return _archive(settings).plans()[0]


def _archive(settings: Settings) -> Archive:
    return Archive(settings.home_path / "evaluations")


def _with_training_voices(demos: Plan, store: ModelsStore) -> Plan:
    """Each filed as the submission that learnt from it, in a voice registered under its own name."""
    learnt_from = {demo: speaker for speaker, demo in NAMES.items()}
    originals = []
    for system in demos.systems:
        speaker = learnt_from[system.name]
        name = f"flite-{speaker}"
        with store.scratch() as scratch:
            voice = store.add_voice(name, [_recording(speaker, scratch)]).voice
        originals.append(
            replace(system, name=name, voice_id=voice.id, voice=name, family="flite", variant=speaker)
        )
    return replace(demos, systems=(*originals, *demos.systems))


def _recording(speaker: str, folder: Path) -> Path:
    spoken = Voice(speaker).speak(normalise(REFERENCE))
    path = folder / f"{speaker}.wav"
    soundfile.write(path, spoken.samples, spoken.sample_rate_hz)
    return path


def _write_report(plan: Plan, store: ModelsStore, settings: Settings, out: Path) -> None:
    """As the server would, had it been able to speak in all of these voices."""
    archive = _archive(settings)
    archive.add(plan)
    _speak(plan, archive)
    listener = Listener(plan, store, settings)
    for done in measure(plan, archive, listener):
        print(f"\r{done} of {plan.num_items} measured", end="", file=sys.stderr, flush=True)
    finish(plan, archive, listener)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_bytes(archive.report_path(plan.id).read_bytes())
    (out / "result.json").write_text(json.dumps(archive.result(plan.id), indent=1) + "\n")


def _speak(plan: Plan, archive: Archive) -> None:
    """What flite says of it."""
    voices: dict[str, Voice] = {}
    for item in plan.items():
        if item.system.family != "flite":
            continue
        speaker = item.system.variant
        spoken = voices.setdefault(speaker, Voice(speaker)).speak(normalise(item.sentence.text))
        rate = spoken.sample_rate_hz
        how = Spoken(
            sample_rate_hz=rate,
            duration_s=len(spoken.samples) / rate,
            num_tokens=0,
            hit_limit=False,
            ttfa_s=None,
            took_s=None,
            device="",
            spoken_at=plan.created_at,
        )
        archive.put_spoken(item, how, amplitudes(spoken.samples))


if __name__ == "__main__":
    main()
