"""Hindi numbers. Every number below a hundred has its own word; above, they group by lakh and crore."""

from __future__ import annotations

_BELOW_HUNDRED = (
    "शून्य एक दो तीन चार पाँच छह सात आठ नौ "
    "दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस "
    "बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस "
    "तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस "
    "चालीस इकतालीस बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास "
    "पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ "
    "साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर "
    "सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उन्यासी "
    "अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी "
    "नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे"
).split()
_UNITS = (
    (10**11, "खरब"),
    (10**9, "अरब"),
    (10**7, "करोड़"),
    (10**5, "लाख"),
    (10**3, "हज़ार"),
    (10**2, "सौ"),
)
_ORDINALS = {1: "पहला", 2: "दूसरा", 3: "तीसरा", 4: "चौथा", 6: "छठा"}


def cardinal(number: int) -> str:
    """0 and up: 1,50,00,000 is `एक करोड़ पचास लाख`."""
    words = []
    for value, name in _UNITS:
        count, number = divmod(number, value)
        if count:
            words.append(f"{cardinal(count)} {name}")
    if number or not words:
        words.append(_BELOW_HUNDRED[number])
    return " ".join(words)


def ordinal(number: int, ending: str = "ा") -> str:
    """Masculine; `ending` is the vowel sign of the gender and number asked for: ा, ी or े."""
    if number in _ORDINALS:
        return _ORDINALS[number].removesuffix("ा") + ending
    return f"{cardinal(number)}व{ending}ँ" if ending == "ा" else f"{cardinal(number)}व{ending}ं"


def year(number: int) -> str:
    """1999 is nineteen hundred ninety-nine, 2024 two thousand twenty-four."""
    if not 1_100 <= number <= 1_999:
        return cardinal(number)
    centuries, rest = divmod(number, 100)
    return f"{cardinal(centuries)} सौ {cardinal(rest)}" if rest else f"{cardinal(centuries)} सौ"
