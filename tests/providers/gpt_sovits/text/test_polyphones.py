"""G2PW on a model of the published layout with a few characters, run by onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from providers.gpt_sovits.text import chinese
from providers.gpt_sovits.text.polyphones import G2pw, ReadingTables
from providers.gpt_sovits.text.symbols import symbol_table

_POLYPHONES = {"行": ("ㄒㄧㄥ2", "ㄏㄤ2"), "長": ("ㄓㄤ3", "ㄔㄤ2"), "一": ("ㄧ1", "ㄧ4")}
_MONOPHONES = {"我": "ㄨㄛ3", "綠": "ㄌㄩ4", "似": "ㄙ4"}
_PINYIN = {
    "ㄒㄧㄥ": "xing",
    "ㄏㄤ": "hang",
    "ㄓㄤ": "zhang",
    "ㄔㄤ": "chang",
    "ㄧ": "yi",
    "ㄨㄛ": "wo",
    "ㄌㄩ": "lu:",
    "ㄙ": "si",
}
_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "行", "長", "我", "在", "了")
_READINGS = sorted({reading for readings in _POLYPHONES.values() for reading in readings})


def _weights() -> np.ndarray:
    """What the token after a character says about its reading: 行長 is hang, 長了 zhang."""
    weights = np.full((len(_TOKENS), len(_READINGS)), 0.1, np.float32)
    weights[:, [_READINGS.index("ㄒㄧㄥ2"), _READINGS.index("ㄔㄤ2")]] = 0.5
    weights[_TOKENS.index("長"), _READINGS.index("ㄏㄤ2")] = 0.9
    weights[_TOKENS.index("了"), _READINGS.index("ㄓㄤ3")] = 0.9
    # A reading that no mask allows 行 or 長.
    weights[:, _READINGS.index("ㄧ4")] = 1.0
    return weights


def _model(takes_one_context: bool) -> onnx.ModelProto:
    """Looks at the token after the position asked about, in the first row of the batch or each in its own."""
    rows = (
        [
            helper.make_node("Gather", ["input_ids", "zero"], ["row"], axis=0),
            helper.make_node("Gather", ["row", "next"], ["tokens"], axis=0),
        ]
        if takes_one_context
        else [
            helper.make_node("Unsqueeze", ["next", "one"], ["column"]),
            helper.make_node("GatherElements", ["input_ids", "column"], ["token"], axis=1),
            helper.make_node("Squeeze", ["token", "one"], ["tokens"]),
        ]
    )
    nodes = [
        helper.make_node("Add", ["position_ids", "one"], ["next"]),
        *rows,
        helper.make_node("Gather", ["weights", "tokens"], ["said"], axis=0),
        helper.make_node("Mul", ["said", "phoneme_mask"], ["probs"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name, shape in (
            *((name, ["batch", "tokens"]) for name in ("input_ids", "token_type_ids", "attention_mask")),
            ("char_ids", ["queries"]),
            ("position_ids", ["queries"]),
        )
    ]
    inputs.append(
        helper.make_tensor_value_info("phoneme_mask", TensorProto.FLOAT, ["queries", len(_READINGS)])
    )
    outputs = [helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["queries", len(_READINGS)])]
    constants = [
        numpy_helper.from_array(_weights(), "weights"),
        numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array(0), "zero"),
    ]
    graph = helper.make_graph(nodes, "g2pw", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def make_g2pw(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], G2pw]:
    def make(takes_one_context: bool) -> G2pw:
        folder = tmp_path_factory.mktemp("g2pw")
        onnx.save(_model(takes_one_context), folder / "g2pW.onnx")
        lines = [f"{char}\t{reading}" for char, readings in _POLYPHONES.items() for reading in readings]
        (folder / "POLYPHONIC_CHARS.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        lines = [f"{char}\t{reading}" for char, reading in _MONOPHONES.items()]
        (folder / "MONOPHONIC_CHARS.txt").write_text("\n".join(lines), encoding="utf-8")
        (folder / "bopomofo_to_pinyin_wo_tune_dict.json").write_text(json.dumps(_PINYIN), encoding="utf-8")
        vocabulary = {token: i for i, token in enumerate(_TOKENS)}
        Tokenizer(WordLevel(vocabulary, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
        return G2pw.load(folder, folder / "tokenizer.json")

    return make


@pytest.fixture(scope="module", params=[True, False], ids=["one context", "a context each"])
def g2pw(request: pytest.FixtureRequest, make_g2pw: Callable[[bool], G2pw]) -> G2pw:
    return make_g2pw(request.param)


@pytest.mark.parametrize(
    ("sentence", "readings"),
    [
        ("行长", ["hang2", "chang2"]),  # asked about in traditional characters: 行長
        ("行在", ["xing2", "zai4"]),
        ("我在行长了,", ["wo3", "zai4", "hang2", "zhang3", "le5", ","]),
        ("绿", ["lv4"]),
        ("一", ["yi1"]),  # left to sandhi, whatever the model says
        ("你好", ["ni3", "hao3"]),
        ("", []),
    ],
)
def test_readings_follow_the_context(g2pw: G2pw, sentence: str, readings: list[str]) -> None:
    assert g2pw(sentence) == readings


def test_a_long_sentence_is_asked_about_in_parts(g2pw: G2pw) -> None:
    sentence = "行长在" + "的" * 600 + "行长了" + "的" * 30 + "行"
    readings = g2pw(sentence)
    assert [readings[i] for i, char in enumerate(sentence) if char in "行长"] == [
        *("hang2", "chang2", "hang2", "zhang3"),
        "xing2",
    ]


def test_one_context_serves_a_model_that_takes_it(make_g2pw: Callable[[bool], G2pw]) -> None:
    assert make_g2pw(True)._shares_context
    assert not make_g2pw(False)._shares_context


def test_phones_follow_the_model_where_the_dictionary_has_no_word(g2pw: G2pw) -> None:
    def read(text: str) -> tuple[str, ...]:
        return chinese.phones(text, symbol_table("v2"), g2pw).names

    assert read("行") == ("x", "ing2")
    assert read("银行") == ("y", "in2", "h", "ang2")


def test_tables_are_read_as_published(make_g2pw: Callable[[bool], G2pw], tmp_path: Path) -> None:
    (tmp_path / "POLYPHONIC_CHARS.txt").write_text("行\tㄒㄧㄥ2\n行\tㄏㄤ2\n\n", encoding="utf-8")
    (tmp_path / "MONOPHONIC_CHARS.txt").write_text("我\tㄨㄛ3\n", encoding="utf-8")
    (tmp_path / "bopomofo_to_pinyin_wo_tune_dict.json").write_text('{"ㄏㄤ": "hang"}', encoding="utf-8")
    tables = ReadingTables.from_folder(tmp_path)
    assert tables.readings == ("ㄏㄤ2", "ㄒㄧㄥ2")
    assert tables.polyphones == {"行": {0, 1}}
    assert tables.monophones == {"我": "ㄨㄛ3"}
    assert tables.in_pinyin("ㄏㄤ4") == "hang4"
    assert tables.in_pinyin("ㄒㄧㄥ2") is None
