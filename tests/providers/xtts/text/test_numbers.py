"""Everything written with digits, in every language: a row per language, a column per kind."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from providers.xtts.text import arabic, chinese, czech, hindi, korean
from providers.xtts.text.cleaning import clean
from providers.xtts.text.languages import LANGUAGES
from providers.xtts.text.normalization import spoken
from providers.xtts.text.numbers import WrittenNumber, parse_number
from providers.xtts.text.numerals import MAX_ORDINAL, NUMERALS

# language → written → said
_SAID = {
    "en": {
        "1½ cups": "one one half cups",
        "3/4": "three quarters",
        "24/7": "twenty-four/seven",
        "£2.5m": "two point five million pounds sterling",
        "№ 5": "number five",
        "1-800-555-1234": "one, eight zero zero, five five five, one two three four",
        "1990-1995": "nineteen ninety-nineteen ninety-five",
        "21": "twenty-one",
        "12.5": "twelve point five",
        "1,250": "one thousand, two hundred and fifty",
        "1.250": "one point two five zero",
        "the 2ND": "the second",
        "21st": "twenty-first",
        "-7": "minus seven",
        "1984": "nineteen eighty-four",
        "2005": "two thousand and five",
        "2024": "twenty twenty-four",
        "the 1990s": "the nineteen nineties",
        "10:30": "ten thirty",
        "10:05 am": "ten oh five am",
        "10:00 am": "ten am",
        "10:00": "ten o'clock",
        "$1": "one dollar",
        "£1.01": "one pound sterling, one penny",
        "€0.50": "fifty cents",
        "$1.5 million": "one point five million dollars",
        "-5°C": "minus five degrees celsius",
        "1%": "one percent",
        "007": "zero zero seven",
        "1.2.3": "one point two point three",
        "1,2,3": "one, two, three",
        "MP3": "mp three",
        "2+2=4": "two plus two equals four",
        "1000000000000001": "one " + "zero " * 14 + "one",
    },
    "es": {
        "21": "veintiuno",
        "12,5": "doce punto cinco",
        "1.250": "mil doscientos cincuenta",
        "la 2ª": "la segunda",
        "-7": "menos siete",
        "10:30": "diez y treinta",
        "21€": "veintiún euros",
        "£21": "veintiuna libras",
        "$1": "un dólar",
        "1,5 millones €": "uno punto cinco millones de euros",
        "50%": "cincuenta por ciento",
    },
    "fr": {
        "21": "vingt et un",
        "12,5": "douze virgule cinq",
        "1\u202f250": "mille deux cent cinquante",
        "1 250": "mille deux cent cinquante",
        "la 1re": "la première",
        "2e": "deuxième",
        "-7": "moins sept",
        "10h30": "dix heures trente",
        "1h": "une heure",
        "£21": "vingt et une livres",
        "1,5 million €": "un virgule cinq million d'euros",
        "0,50 €": "cinquante centimes",
    },
    "de": {
        "1,5 Mio. €": "eins Komma fünf millionen Euro",
        "24.12.2023": "vierundzwanzig zwölf zweitausenddreiundzwanzig",
        "21": "einundzwanzig",
        "12,5": "zwölf Komma fünf",
        "1.250": "eintausendzweihundertfünfzig",
        "am 3. Mai": "am dritte mai",
        "Ich bin 50. Dann": "ich bin fünfzig. dann",
        "im Jahr 1999.": "im jahr neunzehnhundertneunundneunzig.",
        "-7": "minus sieben",
        "10:30 Uhr": "zehn uhr dreißig",
        "10.30 Uhr": "zehn uhr dreißig",
        "1:00": "ein uhr",
        "$1": "ein Dollar",
        "1 %": "ein prozent",
    },
    "it": {
        "21": "ventuno",
        "12,5": "dodici virgola cinque",
        "1.250": "milleduecentocinquanta",
        "1° giorno": "primo giorno",
        "la 2ª": "la seconda",
        "36°": "trentasei gradi",
        "-7": "meno sette",
        "10:30": "dieci e trenta",
        "£1": "una sterlina",
        "1 €": "un euro",
    },
    "pt": {
        "21": "vinte e um",
        "12,5": "doze vírgula cinco",
        "1.250": "mil duzentos e cinquenta",
        "2ª": "segunda",
        "-7": "menos sete",
        "10h30": "dez horas e trinta",
        "2:00": "duas horas",
        "£2": "duas libras",
        "R$ 20,50": "vinte reais e cinquenta centavos",
    },
    "pl": {
        "21": "dwadzieścia jeden",
        "12,5": "dwanaście przecinek pięć",
        "1 250": "tysiąc dwieście pięćdziesiąt",
        "1. test": "pierwszy test",
        "3 maja": "trzeciego maja",
        "mam 50. Potem": "mam pięćdziesiąt. potem",
        "-7": "minus siedem",
        "10:30": "dziesiąta trzydzieści",
        "3:00": "trzecia",
        "£2": "dwa funty",
        "£22,05": "dwadzieścia dwa funty, pięć pensów",
        "5 zł": "pięć złotych",
    },
    "tr": {
        "5 TL": "beş lira",
        "21": "yirmibir",
        "12,5": "oniki virgül beş",
        "1.250": "binikiyüzelli",
        "3'üncü": "üçüncü",
        "1. test": "birinci test",
        "Toplam 50.": "toplam elli.",
        "-7": "eksi yedi",
        "10:30": "on otuz",
        "$20": "yirmi dolar",
        "€20,15": "yirmi avro onbeş sent",
        "14%": "yüzde ondört",
        "ISPARTA 3": "ısparta üç",
    },
    "ru": {
        "№5": "номер пять",
        "3 млн ₽": "три миллиона рублей",
        "21": "двадцать один",
        "12,5": "двенадцать целых пять десятых",
        "1 000 021,01": "один миллион двадцать одна целая одна сотая",
        "1,250": "одна тысяча двести пятьдесят",
        "2-я": "вторая",
        "3-го": "третьего",
        "90-е": "девяностые",
        "3 мая": "третьего мая",
        "-7": "минус семь",
        "10:30": "десять часов тридцать минут",
        "£22": "двадцать два фунта",
        "21 ₽": "двадцать один рубль",
        "2%": "два процента",
        "1%": "один процент",
        "5°C": "пять градусов цельсия",
    },
    "nl": {
        "24-12-2023": "vierentwintig twaalf tweeduizenddrieëntwintig",
        "21": "eenentwintig",
        "12,5": "twaalf komma vijf",
        "1.250": "duizendtweehonderdvijftig",
        "2de": "tweede",
        "1999": "negentienhonderdnegenennegentig",
        "-7": "min zeven",
        "10:30 uur": "tien uur dertig",
        "£5": "vijf pond",
    },
    "cs": {
        "21": "dvacet jedna",
        "12,5": "dvanáct celých pět",
        "2,05": "dva celé nula pět",
        "1 250": "tisíc dvěstě padesát",
        "3. den": "třetí den",
        "3. května": "třetího května",
        "21. století": "dvacátý první století",
        "mám 50. Pak": "mám padesát. pak",
        "-7": "minus sedm",
        "10:30": "deset hodin třicet minut",
        "£2": "dvě libry",
        "$1": "jeden dolar",
        "5 Kč": "pět korun",
        "1%": "jedno procento",
        "3%": "tři procenta",
        "14%": "čtrnáct procent",
    },
    "ar": {
        "21": "واحد و عشرون",
        "12,5": "اثنا عشر , خمسون",
        "0,05": "صفر فاصلة صفر خمسة",
        "1,250": "ألف و مئتان و خمسون",
        "٢١": "واحد و عشرون",
        "-7": "ناقص سبعة",
        "10:30": "العاشرة و ثلاثون دقيقة",
        "1:05": "الواحدة و خمس دقائق",
        "$1": "دولار واحد",
        "$2": "دولاران",
        "$3": "ثلاثة دولارات",
        "11€": "أحد عشر يورو",
        "£20": "عشرون جنيهاً",
        "5°": "خمس درجات",
        "14%": "أربعة عشر في المئة",
    },
    "zh-cn": {
        "气温-5℃": "气温零下五度",
        "21": "二十一",
        "12.5": "十二点五",
        "1,250": "一千两百五十",
        "第2": "第二",
        "2个人": "两个人",
        "-7": "负七",
        "-5°C": "零下五度",
        "2024年5月3日": "二零二四年五月三日",
        "2024-05-03": "二零二四年五月三日",
        "20年后": "二十年后",
        "10:30": "十点三十分",
        "10:05": "十点零五分",
        "$20": "二十美元",
        "£2": "两英镑",
        "20€": "二十欧元",
        "5.5%": "百分之五点五",
        "3/4": "四分之三",
        "1-2天": "一到两天",
        "10500个": "一万零五百个",
        "1.5亿": "一点五亿",
        "13800138000": "一三八零零一三八零零零",
        "２个": "两个",
    },
    "hu": {
        "2023. december 24-én": "kétezer-huszonhárom december huszonnegyedikén",
        "1-jén": "elsején",
        "21": "huszonegy",
        "12,5": "tizenkettő egész öt tized",
        "1 250": "ezerkétszázötven",
        "az 1. teszt": "az első teszt",
        "50. Aztán": "ötven. aztán",
        "-7": "mínusz hét",
        "10:30": "tíz óra harminc perc",
        "$2": "két dollár",
        "22 Ft": "huszonkét forint",
        "2%": "két százalék",
    },
    "ko": {
        "6월": "유월",
        "010-1234-5678": "영 일 영, 일 이 삼 사, 오 육 칠 팔",
        "21": "이십일",
        "12.5": "십이 점 오",
        "1,250": "천이백오십",
        "3번째": "세 번째",
        "1번째": "첫 번째",
        "1000번째": "천 번째",
        "3번": "삼 번",
        "3명": "세 명",
        "50명": "오십명",
        "20살": "스무 살",
        "5시": "다섯 시",
        "15시": "십오시",
        "10:30": "열 시 삼십 분",
        "-7": "마이너스 칠",
        "£5": "오 파운드",
        "$20.15": "이십 달러 십오 센트",
        "₩500": "오백 원",
    },
    "ja": {
        "1,250": "1250",
        "-7": "マイナス7",
        "10:30": "10時30分",
        "10:00": "10時",
        "$20": "20ドル",
        "£5": "5ポンド",
        "¥500": "500円",
        "5°C": "5度",
    },
    "hi": {
        "21": "इक्कीस",
        "12.5": "बारह दशमलव पाँच",
        "12,34,567": "बारह लाख चौंतीस हज़ार पाँच सौ सड़सठ",
        "२१": "इक्कीस",
        "5वां": "पाँचवाँ",
        "2री": "दूसरी",
        "1999": "उन्नीस सौ निन्यानवे",
        "-7": "माइनस सात",
        "10:30 बजे": "दस बजकर तीस मिनट",
        "$20": "बीस डॉलर",
        "₹1": "एक रुपया",
        "₹500": "पाँच सौ रुपये",
        "14%": "चौदह प्रतिशत",
    },
}


def test_every_language_is_in_the_table() -> None:
    assert set(_SAID) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        pytest.param(language, written, said, id=f"{language}: {written}")
        for language, row in _SAID.items()
        for written, said in row.items()
    ],
)
def test_says(language: str, written: str, said: str) -> None:
    assert spoken(clean(written), language) == said


@pytest.mark.parametrize(
    ("written", "grouping", "number"),
    [
        ("1,250", ",", WrittenNumber("1250", "", True)),
        ("1,250", ".", WrittenNumber("1", "250")),
        ("0,250", ",", WrittenNumber("0", "250")),
        ("1234,567", ",", WrittenNumber("1234", "567")),
        ("1,250.5", ".", WrittenNumber("1250", "5", True)),
        ("1.250,5", ",", WrittenNumber("1250", "5", True)),
        ("1.250.000", ",", WrittenNumber("1250000", "", True)),
        ("12,34,567", ",", WrittenNumber("1234567", "", True)),
        ("1'250", ".", WrittenNumber("1250", "", True)),
        ("1\u202f250,5", ",", WrittenNumber("1250", "5", True)),
        ("1.2.3", ".", None),
        ("1,2,3", ",", None),
        ("1.250,50,5", ",", None),
    ],
)
def test_reads_separators_off_the_number(written: str, grouping: str, number: WrittenNumber | None) -> None:
    assert parse_number(written, grouping) == number


@pytest.mark.parametrize("language", NUMERALS)
def test_every_ordinal_up_to_the_limit_has_words(language: str) -> None:
    numbers = (*range(1, 1_201), *range(1_201, MAX_ORDINAL, 37), 2_000, MAX_ORDINAL)
    words = [NUMERALS[language].ordinal(number) for number in numbers]
    assert all(words)
    assert not any(re.search(r"\d", word) for word in words)


@pytest.mark.parametrize("language", NUMERALS)
@given(digits=st.text("0123456789", min_size=1, max_size=40), fraction=st.text("0123456789", max_size=12))
def test_any_number_has_words(language: str, digits: str, fraction: str) -> None:
    said = NUMERALS[language].integer(digits)
    assert said
    assert not re.search(r"\d", said)
    if fraction and len(digits) <= 15:
        assert not re.search(r"\d", NUMERALS[language].decimal(digits, fraction))


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "ja"])
@given(
    text=st.text(
        st.sampled_from("0123456789" * 3 + ".,:-/'’%°$£€¥₹₽₺ \u00a0abcXİ年月日个第번명시вмайवां1erstnd()+="),
        max_size=30,
    )
)
def test_no_digit_survives(language: str, text: str) -> None:
    assert not re.search(r"\d", spoken(clean(text), language))


def test_hindi_has_a_word_of_its_own_for_every_number_below_a_hundred() -> None:
    words = [hindi.cardinal(number) for number in range(100)]
    assert len(set(words)) == 100
    assert not any(" " in word for word in words)
    assert hindi.cardinal(10_00_00_000) == "दस करोड़"
    assert hindi.cardinal(1_00_101) == "एक लाख एक सौ एक"


@pytest.mark.parametrize(
    ("number", "ordinal", "genitive"),
    [
        (1, "první", "prvního"),
        (12, "dvanáctý", "dvanáctého"),
        (31, "třicátý první", "třicátého prvního"),
        (1_234, "tisící dvoustý třicátý čtvrtý", "tisícího dvoustého třicátého čtvrtého"),
    ],
)
def test_czech_ordinals(number: int, ordinal: str, genitive: str) -> None:
    assert czech.ordinal(number) == ordinal
    assert czech.genitive(ordinal) == genitive


@pytest.mark.parametrize(
    ("number", "ordinal"),
    [(1, "الأول"), (10, "العاشر"), (11, "الحادي عشر"), (20, "العشرون"), (23, "الثالث و العشرون")],
)
def test_arabic_ordinals(number: int, ordinal: str) -> None:
    assert arabic.ordinal(number) == ordinal


@pytest.mark.parametrize(
    ("number", "said"), [(1, "한"), (12, "열두"), (20, "스무"), (21, "스물한"), (99, "아흔아홉")]
)
def test_korean_native_numerals(number: int, said: str) -> None:
    assert korean.before_noun(number) == said


@given(number=st.integers(0, 10**16 - 1))
def test_chinese_numbers_say_their_value(number: int) -> None:
    assert _value(chinese.cardinal(number)) == number


@given(number=st.integers(1, 9_999))
def test_chinese_numbers_agree_with_the_japanese_of_num2words(number: int) -> None:
    """An independent check: the same characters but for zeros, 两 and the 一 that Japanese leaves out."""
    ours = chinese.cardinal(number).replace("零", "").replace("两", "二")
    theirs = num2words(number, lang="ja")
    assert re.sub(r"一(?=[千百十])", "", ours) == theirs


def _value(words: str) -> int:
    """Reads a Chinese numeral back, digit by digit."""
    total = section = digit = 0
    for char in words.replace("两", "二"):
        if char in "零一二三四五六七八九":
            digit = "零一二三四五六七八九".index(char)
        elif char in "十百千":
            section += (digit or 1) * 10 ** ("十百千".index(char) + 1)
            digit = 0
        elif char == "万":
            total, section, digit = total + (section + digit) * 10_000, 0, 0
        else:
            total, section, digit = (total + section + digit) * 10**8, 0, 0
    return total + section + digit
