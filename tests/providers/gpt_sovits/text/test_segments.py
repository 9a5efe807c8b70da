from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpt_sovits.text.segments import segments

_GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "gpt_sovits" / "frontend.json").read_text(encoding="utf-8")
)
# In `auto`, where the published front end's statistical model is wrong about a few characters.
_TOLD_BETTER = {
    "我哋用Python寫程式。": [("zh", "我哋用"), ("en", "Python"), ("zh", "寫程式。")],  # 寫程式 isn't Japanese
    "今天是2024年。": [("zh", "今天是2024年。")],  # neither is 年
}


@pytest.mark.parametrize(
    "case", _GOLDEN["lang_segments"], ids=lambda case: f"{case['default_lang'] or 'auto'}-{case['text'][:8]}"
)
def test_segments_equal_the_published_ones(case: dict[str, Any]) -> None:
    language = case["default_lang"] or "auto"
    expected = [(segment["lang"], segment["text"]) for segment in case["out"]]
    if language == "auto":
        expected = _TOLD_BETTER.get(case["text"], expected)
    assert segments(case["text"], language) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello，你好", "en", [("en", "Hello，你好")]),
        ("我哋用Python寫程式。", "auto_yue", [("yue", "我哋用"), ("en", "Python"), ("yue", "寫程式。")]),
        ("佢有iPhone。", "yue", [("yue", "佢有"), ("en", "iPhone。")]),
        ("東京、大阪、そして京都に行きます。", "auto", [("ja", "東京、大阪、そして京都に行きます。")]),
        ("中文说完，次は日本語です。", "auto", [("zh", "中文说完，"), ("ja", "次は日本語です。")]),
        ("駅前広場", "auto", [("ja", "駅前広場")]),
        ("漢字", "auto", [("zh", "漢字")]),
        ("用GPT4做，3个苹果", "zh", [("zh", "用"), ("en", "GPT4"), ("zh", "做，3个苹果")]),
        ("Hello，3个苹果", "zh", [("en", "Hello，"), ("zh", "3个苹果")]),
        ("iPhone 15 Pro发布", "auto", [("en", "iPhone 15 Pro"), ("zh", "发布")]),
        ("价格$5起", "auto", [("zh", "价格$5起")]),
        ("123", "auto", [("zh", "123")]),
        ("123", "ja", [("ja", "123")]),
        ("2024 OK", "zh", [("en", "2024 OK")]),
        ("", "auto", []),
        ("", "en", []),
    ],
)
def test_segments(text: str, language: str, expected: list[tuple[str, str]]) -> None:
    assert segments(text, language) == expected
    assert segments(text, f"all_{language}") == expected


@pytest.mark.parametrize("language", ["zh", "yue", "auto", "auto_yue"])
def test_units_belong_to_their_number_in_chinese(language: str) -> None:
    chinese = "yue" if "yue" in language else "zh"
    assert segments("重5kg，高3m。", language) == [(chinese, "重5kg，高3m。")]
    assert segments("只有20ms的", language) == [(chinese, "只有20"), ("en", "ms"), (chinese, "的")]


def test_units_stay_english_in_japanese() -> None:
    assert segments("重さ5kg", "ja") == [("ja", "重さ5"), ("en", "kg")]


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("你好写寫年あカ한글ab, 1.5%，。！\n$é🙂"), max_size=60),
    language=st.sampled_from(["auto", "auto_yue", "zh", "yue", "ja", "ko", "en"]),
)
def test_segments_make_up_the_text_and_neighbours_differ(text: str, language: str) -> None:
    parts = segments(text, language)
    assert "".join(part.text for part in parts) == text
    assert all(a.language != b.language for a, b in pairwise(parts))
