"""How long each step of GPT-SoVITS takes, beside the published implementation, in one run.

    python -m benchmarks.gpt_sovits_steps [--variant v2 …] [--upstream CHECKOUT --upstream-python PATH]

Full-size random submissions of each variant, with random base models of the published sizes; see
`benchmarks.engine_steps` for how it is measured. CHECKOUT is a copy of the published repository, PATH an
interpreter that can run it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine_steps import (
    TEXT,
    add_arguments,
    common_flags,
    own_commands,
    report,
    run_rounds,
    submit,
)
from benchmarks.random_base_models import HUBERT_LAYERS, write_eres2netv2, write_hubert
from benchmarks.random_gpt_sovits import ARCHITECTURES, REFERENCE_TEXT, write_submission
from models_store.store import ModelsStore

BATCHES = [1, 4, 16]
LAYERS = {"full": HUBERT_LAYERS, "tiny": 1}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", action="append", help="default: v2 and v2ProPlus")
    parser.add_argument("--size", choices=ARCHITECTURES, default="full")
    parser.add_argument("--upstream", type=Path, metavar="CHECKOUT")
    parser.add_argument("--upstream-python", type=Path, metavar="PATH")
    add_arguments(parser)
    options = parser.parse_args()
    if (options.upstream is None) != (options.upstream_python is None):
        parser.error("give --upstream and --upstream-python together")
    options.batch = options.batch or BATCHES
    with tempfile.TemporaryDirectory() as scratch:
        records = [
            record
            for variant in options.variant or ("v2", "v2ProPlus")
            for record in measure(variant, Path(scratch) / variant, options)
        ]
    report(records, options.output)


def measure(variant: str, home: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    architecture = ARCHITECTURES[options.size](variant)
    inputs = home / "inputs"
    folder = write_submission(inputs / "submission", architecture)
    store = ModelsStore(home / "store")
    store.add_base_model(write_hubert(inputs / "hubert", LAYERS[options.size]), "hubert")
    if architecture.speaker_vector_channels is not None:
        store.add_base_model(write_eres2netv2(inputs / "eres2netv2"), "eres2netv2")
    submit(folder, home)
    commands = own_commands(home, options)
    if options.upstream:
        write_phones(store, inputs)
        script = Path(__file__).parent / "upstream" / "gpt_sovits.py"
        flags = [part for batch in options.batch for part in ("--batch", str(batch))]
        python = options.upstream_python.absolute()  # not resolved: a link is what makes an environment
        commands["upstream"] = [
            *map(str, (python, script, options.upstream.resolve(), inputs)),
            *common_flags(options),
            *flags,
        ]
    return run_rounds(commands, options)


def write_phones(store: ModelsStore, inputs: Path) -> None:
    """What the text front end makes of the reference's transcript and of the text, for both."""
    from providers.registry import text_front_end

    front_end = text_front_end(store.files(store.resolve("measured").id))
    texts = {"reference": REFERENCE_TEXT, "text": TEXT}
    phones = {name: front_end.prompts(text, "en", "cut0")[0].ids for name, text in texts.items()}
    (inputs / "inputs.json").write_text(json.dumps(phones))


if __name__ == "__main__":
    main()
