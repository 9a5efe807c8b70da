"""Signs that stand for a word, where no number gave them a better reading.

The words are the published normaliser's, which the model was trained on, plus signs that it leaves for the
tokenizer to drop. Columns: & @ % # $ £ ° € ¥ + = №
"""

from __future__ import annotations

import re

SPOKEN_SYMBOLS = "&@%#$£°€¥+=№"

_WORDS = {
    "en": "and|at|percent|hash|dollar|pound|degree|euro|yen|plus|equals|number",
    "es": "y|arroba|por ciento|numeral|dolar|libra|grados|euro|yen|más|igual a|número",
    "fr": "et|arobase|pour cent|dièse|dollar|livre|degrés|euro|yen|plus|égale|numéro",
    "de": "und|at|prozent|raute|dollar|pfund|grad|euro|yen|plus|gleich|nummer",
    "pt": "e|arroba|por cento|cardinal|dólar|libra|graus|euro|iene|mais|igual a|número",
    "it": "e|chiocciola|per cento|cancelletto|dollaro|sterlina|gradi|euro|yen|più|uguale a|numero",
    "pl": "i|małpa|procent|krzyżyk|dolar|funt|stopnie|euro|jen|plus|równa się|numer",
    "ar": "و|على|في المئة|رقم|دولار|جنيه|درجة|يورو|ين|زائد|يساوي|رقم",
    "zh-cn": "和|在|百分之|号|美元|英镑|度|欧元|元|加|等于|号",
    "cs": "a|na|procento|křížek|dolar|libra|stupně|euro|jen|plus|rovná se|číslo",
    "ru": "и|собака|процентов|номер|доллар|фунт|градус|евро|иена|плюс|равно|номер",
    "nl": "en|bij|procent|hekje|dollar|pond|graden|euro|yen|plus|is gelijk aan|nummer",
    "tr": "ve|at|yüzde|diyez|dolar|sterlin|derece|avro|yen|artı|eşittir|numara",
    "hu": "és|kukac|százalék|kettőskereszt|dollár|font|fok|euró|jen|plusz|egyenlő|szám",
    "ko": "그리고|에|퍼센트|번호|달러|파운드|도|유로|엔|더하기|는|번호",
    "hi": "और|ऐट दी रेट|प्रतिशत|हैश|डॉलर|पाउंड|डिग्री|यूरो|येन|प्लस|बराबर|नंबर",
    "ja": "アンド|アットマーク|パーセント|シャープ|ドル|ポンド|度|ユーロ|円|プラス|イコール|ナンバー",
}
_TABLE = {
    language: str.maketrans(
        {symbol: f" {word} " for symbol, word in zip(SPOKEN_SYMBOLS, words.split("|"), strict=True)}
    )
    for language, words in _WORDS.items()
}
_SPACES = re.compile(r"\s+")


def expand_symbols(text: str, language: str) -> str:
    """Each symbol becomes its word with a space on either side; runs of spaces become one."""
    return _SPACES.sub(" ", text.translate(_TABLE[language])).strip()
