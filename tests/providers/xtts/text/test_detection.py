"""Languages: BCP-47 tags, and detection where none is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import UnsupportedLanguage
from providers.xtts.text.detection import detect
from providers.xtts.text.languages import LANGUAGES, offered_languages, resolve

_ALL = tuple(language.primary for language in LANGUAGES.values())

# Two or three sentences per language.
_SENTENCES = {
    "en": ["The weather is nice today, isn't it?", "Please call me tomorrow.", "I don't know"],
    "es": ["Me gusta leer libros por la noche.", "¿Dónde está la estación?", "Buenos días"],
    "fr": ["Il fait beau aujourd'hui.", "Où est la gare ?", "Merci beaucoup"],
    "de": ["Wir sehen uns morgen früh.", "Wo ist der Bahnhof?", "Vielen Dank"],
    "it": ["Ci vediamo domani mattina.", "Dove si trova la stazione?", "Grazie mille"],
    "pt": ["O tempo está bom hoje.", "Onde fica a estação?", "Muito obrigado"],
    "pl": ["Dzisiaj jest ładna pogoda.", "Gdzie jest dworzec?", "Dziękuję bardzo"],
    "tr": ["Bugün hava çok güzel.", "İstasyon nerede?", "Çok teşekkür ederim"],
    "ru": ["Сегодня хорошая погода.", "Где вокзал?", "Да"],
    "nl": ["Het weer is mooi vandaag.", "Waar is het station?", "Ik weet het niet"],
    "cs": ["Dnes je hezké počasí.", "Kde je nádraží?", "Děkuji mnohokrát"],
    "ar": ["الطقس جميل اليوم.", "أين المحطة؟", "نعم"],
    "zh": ["今天天气很好。", "车站在哪里？", "好"],
    "hu": ["Ma szép idő van.", "Hol van az állomás?", "Köszönöm szépen"],
    "ko": ["오늘 날씨가 좋네요.", "역이 어디에 있어요?", "네"],
    "ja": ["今日は天気がいいですね。", "駅はどこですか？", "カレー"],
    "hi": ["आज मौसम अच्छा है।", "स्टेशन कहाँ है?", "हाँ"],
}


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        pytest.param(language, sentence, id=f"{language}-{i}")
        for language, sentences in _SENTENCES.items()
        for i, sentence in enumerate(sentences)
    ],
)
def test_detects(language: str, sentence: str) -> None:
    assert detect(sentence, _ALL) == language


@pytest.mark.parametrize("text", ["OK", "Paris", "123", "", "...", "A"])
def test_undecidable_text_is_english_or_the_first_language(text: str) -> None:
    assert detect(text, _ALL) == "en"
    assert detect(text, ("de", "fr")) == "de"


def test_only_offered_languages_are_detected() -> None:
    assert detect("今日は天気がいいですね。", ("en", "zh")) in ("en", "zh")
    assert detect("Сегодня хорошая погода.", ("de", "en")) == "en"
    assert detect("漢字", ("en", "ja")) == "ja"
    assert detect("Où est la gare ?", ("ko", "fr")) == "fr"


def test_one_language_needs_no_detection() -> None:
    assert detect("Où est la gare ?", ("ko",)) == "ko"


def test_a_foreign_name_does_not_decide() -> None:
    assert detect("I read 三体 last week and liked it a lot.", _ALL) == "en"
    assert detect("今天我用 Python 写了一个小程序。", _ALL) == "zh"


@given(text=st.text(max_size=100), offered=st.lists(st.sampled_from(_ALL), min_size=1, unique=True))
def test_any_text_has_an_offered_language(text: str, offered: list[str]) -> None:
    assert detect(text, tuple(offered)) in offered


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"),
        ("en-US", "en"),
        ("EN_gb", "en"),
        ("pt-BR", "pt"),
        ("zh", "zh-cn"),
        ("zh-TW", "zh-cn"),
        ("zh-Hans-CN", "zh-cn"),
        ("ZH-CN", "zh-cn"),
        (" ja ", "ja"),
    ],
)
def test_tags(tag: str, code: str) -> None:
    assert resolve(tag, offered_languages(tuple(LANGUAGES))).code == code


@pytest.mark.parametrize("tag", ["sv", "", "english", "xx-en"])
def test_unknown_tags_are_refused(tag: str) -> None:
    with pytest.raises(UnsupportedLanguage, match="expected one of en, de"):
        resolve(tag, offered_languages(("en", "DE")))


def test_languages_of_the_submission_alone_are_offered() -> None:
    assert list(offered_languages(("de", "vi", "zh-CN"))) == ["de", "zh"]
    with pytest.raises(UnsupportedLanguage):
        resolve("fr", offered_languages(("de",)))
