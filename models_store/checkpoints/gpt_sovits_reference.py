"""A GPT-SoVITS submission's config.json: the reference recording, what is said in it, and in which language.

The published file has no language, so it is read off the writing system where `refLanguage` doesn't say it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from models_store.checkpoints.config_values import Unreadable, json_type, parse_object, shown_value
from models_store.checkpoints.findings import Findings

CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 1 << 20
# Ten seconds of the fastest speech are 300 letters; more would crowd out the text that is to be spoken.
MAX_TEXT_CHARS = 500
MAX_FILE_CHARS = 255
KEYS = ("refFile", "refText", "refLanguage")

# How people and GPT-SoVITS's own programs spell the languages.
LANGUAGE_NAMES = {
    "zh": "zh all_zh cmn chinese mandarin 中文 普通话 普通話",
    "en": "en english 英文 英语 英語",
    "ja": "ja all_ja jp japanese 日文 日语 日語 日本語",
    "ko": "ko all_ko kr korean 韩文 韩语 韓文 韓語 한국어",
    "yue": "yue all_yue cantonese 粤语 粵語 广东话 廣東話 zh-hk zh-yue zh-mo",
    "": "auto auto_yue",  # to be detected
}
LANGUAGES = {name: tag for tag, names in LANGUAGE_NAMES.items() for name in names.split()}

HANGUL = re.compile(r"[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
KANA = re.compile(r"[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9d]")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
# Words of spoken Cantonese that written Mandarin has no use for.
CANTONESE = re.compile(r"[嘅咗喺嗰冇啲嘢嚟佢哋咁喎啱攞瞓睇]|唔[該係好知使]|而家|乜[嘢野]|點[解樣]")
# No separator of any system, no control character, no half of a surrogate pair.
NAME = re.compile(r"[^/\\:\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
SPOKEN = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Reference:
    file: str  # a name in the folder
    transcript: str
    language: str  # BCP-47
    is_detected: bool  # else the submitter said the language

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_reference(data: bytes, languages: tuple[str, ...] | None, findings: Findings) -> Reference | None:
    """What config.json says; None where it isn't a JSON object. `languages`: the variant's, if known."""
    try:
        document = parse_object(data, CONFIG_FILE, MAX_CONFIG_BYTES, findings)
    except Unreadable as error:
        _refuse(error.found, error.expected, f"Write {_sample()} into it.", findings)
        return None
    if unknown := [shown_value(key) for key in document if key not in KEYS]:
        remedy = "They were left out; check that none of them is a misspelt one."
        findings.warn("BadConfig", CONFIG_FILE, f"keys {', '.join(unknown[:10])}", ", ".join(KEYS), remedy)
    transcript = _read_text(document, findings)
    language = _read_language(document, languages, findings)
    return Reference(
        _read_file(document, findings),
        transcript,
        language or detect_language(transcript, languages),
        not language,
    )


def _read_file(document: dict[str, Any], findings: Findings) -> str:
    """The name, or nothing. It is looked up among the folder's files and never opened as a path."""
    file = document.get("refFile")
    if not isinstance(file, str) or not file.strip():
        found = _shown(document, "refFile")
        _refuse(found, "the name of the recording", 'Add "refFile": "reference.wav".', findings)
        return ""
    if file in (".", "..") or len(file) > MAX_FILE_CHARS or not NAME.fullmatch(file):
        remedy = "Put the recording beside config.json and give its name alone."
        _refuse(f"refFile = {shown_value(file)}", "a file name, not a path", remedy, findings)
        return ""
    return file


def _read_text(document: dict[str, Any], findings: Findings) -> str:
    text = document.get("refText")
    if not isinstance(text, str) or not SPOKEN.search(text):
        remedy = "Write down, word for word, what is said in the recording."
        _refuse(_shown(document, "refText"), "the words of the recording", remedy, findings)
        return ""
    # Without what neither speaks nor prints: control characters, marks of direction, halves of surrogates.
    text = " ".join("".join(c for c in word if c.isprintable()) for word in text.split())
    if len(text) > MAX_TEXT_CHARS:
        remedy = "Cut the recording to 3 to 10 s and refText with it."
        expected = f"what is said in 10 s, at most {MAX_TEXT_CHARS}"
        _refuse(f"a refText of {len(text)} characters", expected, remedy, findings)
        return ""
    return text


def _read_language(document: dict[str, Any], languages: tuple[str, ...] | None, findings: Findings) -> str:
    """A BCP-47 tag, or nothing where it is to be detected."""
    stated = document.get("refLanguage")
    if stated is None or stated == "":
        return ""
    name = stated.strip().lower().replace("_", "-") if isinstance(stated, str) else ""
    names = (name, name.replace("-", "_"), name.partition("-")[0])
    language = next((LANGUAGES[name] for name in names if name in LANGUAGES), None)
    offered = languages or tuple(filter(None, LANGUAGE_NAMES))
    if language is None or (language and language not in offered):
        remedy = "Name the language of refText, or leave refLanguage out."
        expected = f"one of {', '.join(offered)}"
        _refuse(f"refLanguage = {shown_value(stated)}", expected, remedy, findings)
        return ""
    return language


def detect_language(text: str, languages: tuple[str, ...] | None = None) -> str:
    """The likeliest of the variant's languages. English where no letter is Asian."""
    detected = "en"
    if HANGUL.search(text):
        detected = "ko"
    elif KANA.search(text):
        detected = "ja"
    elif HAN.search(text):
        detected = "yue" if CANTONESE.search(text) else "zh"
    if languages is None or detected in languages:
        return detected
    return "zh" if detected == "yue" else "en"


def _sample() -> str:
    return '{"refFile": "reference.wav", "refText": "What is said in it."}'


def _shown(document: dict[str, Any], key: str) -> str:
    if key not in document:
        return f"no {key}"
    value = document[key]
    return f"{key} = {shown_value(value)}" if isinstance(value, str) else f"{key}: a JSON {json_type(value)}"


def _refuse(found: str, expected: str, remedy: str, findings: Findings) -> None:
    findings.refuse("BadConfig", CONFIG_FILE, found, expected, remedy)
