"""config.json and vocab.json: what is accepted all the same, and what each mistake is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models_store.checkpoints.findings import Findings
from models_store.checkpoints.xtts_config import KEYS, LANGUAGES, read_config, read_vocabulary


def read(config: dict[str, Any] | str) -> tuple[Any, Findings]:
    findings = Findings()
    text = config if isinstance(config, str) else json.dumps(config)
    return read_config(text.encode(), findings), findings


@pytest.mark.parametrize(
    "template",
    ["```json\n%s\n```", "```\n%s\n```\n", "\n\n```JSON  \n%s\n  ```  \n", "```json\r\n%s\r\n```\r\n"],
)
def test_markdown_fences_are_taken_off_with_a_warning(template: str, tiny_config: dict[str, Any]) -> None:
    plain, findings = read(tiny_config)
    assert findings.warnings == []
    fenced, findings = read(template % json.dumps(tiny_config))
    assert fenced == plain
    assert not findings.problems
    assert ["code fence" in warning.found for warning in findings.warnings] == [True]


def test_byte_order_mark_is_taken_off(tiny_config: dict[str, Any]) -> None:
    assert read("\ufeff" + json.dumps(tiny_config)) == read(tiny_config)


def test_published_config_is_read_whole(golden_folder: Path) -> None:
    text = (golden_folder / "config.json").read_text()
    assert "Infinity" in text
    config, findings = read(text)
    assert not findings.problems
    assert not findings.warnings
    assert config.values["model_args.gpt_layers"] == 4
    assert config.languages == LANGUAGES


@pytest.mark.parametrize("key", [key.path for key in KEYS])
def test_no_key_is_assumed(key: str, tiny_config: dict[str, Any]) -> None:
    scope = tiny_config["model_args"] if key.startswith("model_args.") else tiny_config
    del scope[key.removeprefix("model_args.")]
    config, findings = read(tiny_config)
    (problem,) = findings.problems
    assert problem.code == "BadConfig"
    assert problem.found == f"no {key}"
    assert "in XTTS-v2)" in problem.remedy
    assert key not in config.values


def test_published_values_are_the_ones_that_a_missing_key_is_told(golden_folder: Path) -> None:
    """But for the sizes that the golden model has smaller, they are those of the published config."""
    document = json.loads((golden_folder / "config.json").read_text())
    smaller = {"gpt_layers", "gpt_n_model_channels", "gpt_n_heads", "decoder_input_dim"}
    for key in KEYS:
        name = key.path.removeprefix("model_args.")
        found = (document["model_args"] if key.path.startswith("model_args.") else document)[name]
        assert (found == key.published) == (name not in smaller), key.path


def test_misspelled_key_is_recognised(tiny_config: dict[str, Any]) -> None:
    tiny_config["temprature"] = tiny_config.pop("temperature")
    _, findings = read(tiny_config)
    assert "Did you mean temperature by 'temprature'?" in findings.problems[0].remedy


def test_every_problem_is_found_at_once(tiny_config: dict[str, Any]) -> None:
    tiny_config |= {"top_p": -1, "temperature": "warm", "languages": "en"}
    tiny_config["model_args"] |= {"gpt_layers": 0.5}
    del tiny_config["gpt_cond_len"]
    _, findings = read(tiny_config)
    assert [problem.found.split(" =")[0] for problem in findings.problems] == [
        "model_args.gpt_layers",
        "temperature",
        "top_p",
        "no gpt_cond_len",
        "languages",
    ]


def test_languages_without_front_end_are_left_out_with_a_warning(tiny_config: dict[str, Any]) -> None:
    tiny_config["languages"] = ["EN", "zh-cn", "tlh", "en"]
    config, findings = read(tiny_config)
    assert config.languages == ("en", "zh-cn")
    assert "tlh" in findings.warnings[0].found


def test_vocabulary_states_its_tokens(golden_folder: Path) -> None:
    findings = Findings()
    vocabulary = read_vocabulary((golden_folder / "vocab.json").read_bytes(), LANGUAGES, findings)
    assert vocabulary is not None
    assert (vocabulary.text_tokens, vocabulary.start_text_token, vocabulary.stop_text_token) == (5413, 261, 0)
    assert not findings.problems
    assert not findings.warnings


def test_upstream_vocabulary_lacks_three_languages(upstream_vocabulary: Path) -> None:
    findings = Findings()
    vocabulary = read_vocabulary(upstream_vocabulary.read_bytes(), LANGUAGES, findings)
    assert vocabulary is not None
    assert vocabulary.text_tokens == 5413
    assert "[hu] [ko] [hi]" in findings.warnings[0].found


def test_extended_vocabulary_counts_its_added_tokens(golden_folder: Path) -> None:
    document = json.loads((golden_folder / "vocab.json").read_text())
    document["added_tokens"].append(document["added_tokens"][-1] | {"id": 5413, "content": "[new]"})
    findings = Findings()
    vocabulary = read_vocabulary(json.dumps(document).encode(), ("en",), findings)
    assert vocabulary is not None
    assert vocabulary.text_tokens == 5414
