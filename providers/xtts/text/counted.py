"""Counted nouns: money, percent and degrees, in the form and with the numeral that each language wants.

num2words knows some currencies of some languages, always with cents, and for Arabic only the riyal; a noun
here is its grammatical gender and its forms, so every language says every one of them the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from providers.xtts.text import arabic
from providers.xtts.text.numerals import MAX_DIGITS, NUMERALS, Numerals


@dataclass(frozen=True, slots=True)
class Noun:
    """`forms` in the order of the language's plural rule; the last one also follows fractions."""

    forms: tuple[str, ...]
    gender: str = "m"


@dataclass(frozen=True, slots=True)
class Currency:
    unit: Noun
    cent: Noun | None = None  # None: the fraction is said as a decimal


def _one_other(number: int) -> int:
    return 0 if number == 1 else 1


def _zero_one_other(number: int) -> int:
    return 0 if number in (0, 1) else 1


def _russian(number: int) -> int:
    if number % 10 == 1 and number % 100 != 11:
        return 0
    return 1 if 2 <= number % 10 <= 4 and not 12 <= number % 100 <= 14 else 2


def _polish(number: int) -> int:
    if number == 1:
        return 0
    return 1 if 2 <= number % 10 <= 4 and not 12 <= number % 100 <= 14 else 2


def _czech(number: int) -> int:
    return 0 if number == 1 else 1 if 2 <= number <= 4 else 2


# What the numeral's last word becomes before a noun of that gender; "=" asks for the whole numeral.
_AGREEMENT: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = {
    "es": {
        "m": (("veintiuno", "veintiún"), ("uno", "un")),
        "f": (("uno", "una"), ("cientos", "cientas")),
    },
    "fr": {"f": ((" un", " une"), ("=un", "une"))},
    "de": {"m": (("eins", "ein"),), "f": (("eins", "eine"),)},
    "it": {"m": (("=uno", "un"),), "f": (("=uno", "una"),)},
    "pt": {"f": (("dois", "duas"), ("um", "uma"), ("centos", "centas"))},
    "pl": {"f": (("=jeden", "jedna"), ("dwa", "dwie")), "n": (("=jeden", "jedno"),)},
    "ru": {"f": (("один", "одна"), ("два", "две")), "n": (("один", "одно"),)},
    "cs": {
        "m": (("=jedna", "jeden"),),
        "f": (("dva", "dvě"),),
        "n": (("=jedna", "jedno"), ("dva", "dvě")),
    },
    "hu": {"m": (("kettő", "két"),)},
}


@dataclass(frozen=True, slots=True)
class Counting:
    """Everything a language says with numbers before or after them."""

    code: str
    plural: Callable[[int], int]  # → index into Noun.forms
    joiner: str  # between units and cents
    currencies: Mapping[str, Currency]  # by symbol, or by the abbreviation that follows the amount
    percent: Noun
    degree: Noun
    magnitudes: Mapping[str, Noun]  # between amount and currency: "million", "mln"
    after_magnitude: str = ""  # un million *de* dollars
    percent_first: bool = False

    @property
    def numerals(self) -> Numerals:
        return NUMERALS[self.code]

    def count(self, number: int, noun: Noun) -> str:
        if self.code == "ar" and len(noun.forms) == 4:
            return arabic.count(number, noun.forms, noun.gender)
        return f"{self.numeral(number, noun.gender)} {noun.forms[self.plural(number) % len(noun.forms)]}"

    def numeral(self, number: int, gender: str) -> str:
        """A cardinal in the gender of the noun that follows it."""
        words = self.numerals.cardinal(number)
        for ending, agreeing in _AGREEMENT.get(self.code, {}).get(gender, ()):
            if words == ending[1:] if ending[0] == "=" else words.endswith(ending):
                return words.removesuffix(ending.removeprefix("=")) + agreeing
        return words

    def form(self, whole: str, fraction: str, noun: Noun) -> str:
        """What follows a number that `count` doesn't say."""
        if fraction or len(whole) > MAX_DIGITS:
            return noun.forms[-1]
        return noun.forms[self.plural(int(whole)) % len(noun.forms)]

    def many(self, noun: Noun) -> str:
        """The form that follows a million: not that of the number before it."""
        index = 0 if self.code == "ar" else self.plural(5)
        return noun.forms[index % len(noun.forms)]

    def amount(self, whole: str, fraction: str, currency: Currency) -> str:
        """`20`, `15` → twenty dollars, fifteen cents."""
        if len(whole) > MAX_DIGITS:
            return f"{self.numerals.digits(whole)} {self.form(whole, fraction, currency.unit)}"
        if fraction and not int(fraction):
            fraction = ""
        if fraction and (len(fraction) > 2 or currency.cent is None):
            return f"{self.numerals.decimal(whole, fraction)} {self.form(whole, fraction, currency.unit)}"
        parts = []
        if int(whole) or not fraction:
            parts.append(self.count(int(whole), currency.unit))
        if fraction and currency.cent:
            parts.append(self.count(int(fraction.ljust(2, "0")), currency.cent))
        return self.joiner.join(parts)


def _noun(words: str) -> Noun:
    """Reads a cell of the table: `f libra/libras` is gender, space, forms."""
    gender, separator, forms = words.partition(" ")
    if separator and len(gender) == 1 and gender in "mfn":
        return Noun(tuple(forms.split("/")), gender)
    return Noun(tuple(words.split("/")))


def _counting(
    code: str,
    plural: Callable[[int], int],
    joiner: str,
    currencies: Mapping[str, str],
    percent: str,
    degree: str,
    magnitudes: str = "",
    after_magnitude: str = "",
    percent_first: bool = False,
) -> Counting:
    parsed = {}
    for symbol, cell in currencies.items():
        unit, _, cent = cell.partition(" | ")
        parsed[symbol] = Currency(_noun(unit), _noun(cent) if cent else None)
    return Counting(
        code=code,
        plural=plural,
        joiner=joiner,
        currencies=MappingProxyType(parsed),
        percent=_noun(percent),
        degree=_noun(degree),
        magnitudes=MappingProxyType(
            {
                written: _noun(said or written)
                for written, _, said in (m.partition("=") for m in magnitudes.split())
            }
        ),
        after_magnitude=after_magnitude,
        percent_first=percent_first,
    )


COUNTING = {
    counting.code: counting
    for counting in (
        _counting(
            "en",
            _one_other,
            ", ",
            {
                "$": "dollar/dollars | cent/cents",
                "£": "pound sterling/pounds sterling | penny/pence",
                "€": "euro/euro | cent/cents",
                "¥": "yen/yen",
                "₹": "rupee/rupees | paisa/paise",
                "₽": "rouble/roubles | kopek/kopeks",
                "₩": "won/won",
                "₺": "lira/lira | kurus/kurus",
            },
            percent="percent",
            # The singular after a fraction is the published reading.
            degree="degree/degrees/degree",
            magnitudes="thousand million billion trillion k=thousand m=million bn=billion",
        ),
        _counting(
            "es",
            _one_other,
            " con ",
            {
                "$": "m dólar/dólares | m centavo/centavos",
                "£": "f libra/libras | m penique/peniques",
                "€": "m euro/euros | m céntimo/céntimos",
                "¥": "m yen/yenes",
                "₹": "f rupia/rupias | f paisa/paisas",
            },
            percent="por ciento",
            degree="grado/grados",
            magnitudes="millón millones billón billones mil",
            after_magnitude="de ",
        ),
        _counting(
            "fr",
            _zero_one_other,
            " et ",
            {
                "$": "m dollar/dollars | m cent/cents",
                "£": "f livre/livres | m penny/pence",
                "€": "m euro/euros | m centime/centimes",
                "¥": "m yen/yens",
            },
            percent="pour cent",
            degree="degré/degrés",
            magnitudes="million millions milliard milliards",
            after_magnitude="de ",
        ),
        _counting(
            "de",
            _one_other,
            " und ",
            {
                "$": "m Dollar/Dollar | m Cent/Cent",
                "£": "m Pfund/Pfund | m Penny/Pence",
                "€": "m Euro/Euro | m Cent/Cent",
                "¥": "m Yen/Yen",
            },
            percent="prozent",
            degree="grad",
            magnitudes="tausend million millionen milliarde milliarden billion billionen"
            " mio=million/millionen mio.=million/millionen"
            " mrd=milliarde/milliarden mrd.=milliarde/milliarden",
        ),
        _counting(
            "it",
            _one_other,
            " e ",
            {
                "$": "m dollaro/dollari | m centesimo/centesimi",
                "£": "f sterlina/sterline | m penny/penny",
                "€": "m euro/euro | m centesimo/centesimi",
                "¥": "m yen/yen",
            },
            percent="per cento",
            degree="grado/gradi",
            magnitudes="mila milione milioni miliardo miliardi",
            after_magnitude="di ",
        ),
        _counting(
            "pt",
            _one_other,
            " e ",
            {
                "r$": "m real/reais | m centavo/centavos",
                "$": "m dólar/dólares | m cêntimo/cêntimos",
                "£": "f libra/libras | m penny/pence",
                "€": "m euro/euros | m cêntimo/cêntimos",
                "¥": "m iene/ienes",
            },
            percent="por cento",
            degree="grau/graus",
            magnitudes="mil milhão milhões bilhão bilhões bilião biliões",
            after_magnitude="de ",
        ),
        _counting(
            "pl",
            _polish,
            ", ",
            {
                "$": "m dolar/dolary/dolarów/dolara | m cent/centy/centów",
                "£": "m funt/funty/funtów/funta | m pens/pensy/pensów",
                "€": "n euro/euro/euro | m cent/centy/centów",
                "¥": "m jen/jeny/jenów/jena",
                "zł": "m złoty/złote/złotych/złotego | m grosz/grosze/groszy",
            },
            percent="procent",
            # The nominative plural after a fraction is the published reading.
            degree="stopień/stopnie/stopni/stopnie",
            magnitudes="milion miliony milionów miliard miliardy miliardów"
            " tys.=tysiąc/tysiące/tysięcy/tysiąca mln=milion/miliony/milionów/miliona"
            " mld=miliard/miliardy/miliardów/miliarda",
        ),
        _counting(
            "tr",
            _one_other,
            " ",
            {
                "$": "dolar | sent",
                "£": "sterlin | peni",
                "€": "avro | sent",
                "¥": "yen",
                "₺": "lira | kuruş",
                "tl": "lira | kuruş",
            },
            percent="yüzde",
            degree="derece",
            magnitudes="bin milyon milyar trilyon",
            percent_first=True,
        ),
        _counting(
            "ru",
            _russian,
            ", ",
            {
                "$": "m доллар/доллара/долларов/доллара | m цент/цента/центов",
                "£": "m фунт/фунта/фунтов/фунта | m пенс/пенса/пенсов",
                "€": "m евро | m цент/цента/центов",
                "¥": "f иена/иены/иен/иены",
                "₽": "m рубль/рубля/рублей/рубля | f копейка/копейки/копеек",
            },
            percent="процент/процента/процентов/процента",
            degree="градус/градуса/градусов/градуса",
            magnitudes="тысяч миллион миллиона миллионов миллиард миллиарда миллиардов"
            " тыс.=тысяча/тысячи/тысяч/тысячи млн=миллион/миллиона/миллионов/миллиона"
            " млрд=миллиард/миллиарда/миллиардов/миллиарда",
        ),
        _counting(
            "nl",
            _one_other,
            ", ",
            {
                "$": "dollar/dollar | cent/cent",
                "£": "pond/pond | penny/pence",
                "€": "euro/euro | cent/cent",
                "¥": "yen/yen",
            },
            percent="procent",
            degree="graad/graden",
            magnitudes="duizend miljoen miljard biljoen",
        ),
        _counting(
            "cs",
            _czech,
            ", ",
            {
                "$": "m dolar/dolary/dolarů/dolaru | m cent/centy/centů",
                "£": "f libra/libry/liber/libry | f pence/pence/pencí",
                "€": "n euro/eura/eur/eura | m cent/centy/centů",
                "¥": "m jen/jeny/jenů/jenu",
                "kč": "f koruna/koruny/korun/koruny | m haléř/haléře/haléřů",
            },
            percent="n procento/procenta/procent/procenta",
            degree="stupeň/stupně/stupňů/stupně",
            magnitudes="tisíc milion miliony milionů miliarda miliardy miliard",
        ),
        _counting(
            "ar",
            _one_other,
            " و ",
            {
                "$": "دولار/دولاران/دولارات/دولاراً | سنت/سنتان/سنتات/سنتاً",
                "£": "جنيه/جنيهان/جنيهات/جنيهاً | بنس/بنسان/بنسات/بنساً",
                "€": "يورو/يورو/يورو/يورو | سنت/سنتان/سنتات/سنتاً",
                "¥": "ين/ينان/ينات/يناً",
            },
            percent="في المئة",
            degree="f درجة/درجتان/درجات/درجة",
            magnitudes="ألف مليون مليار ملايين",
        ),
        _counting(
            "hu",
            _one_other,
            " ",
            {
                "$": "dollár | cent",
                "£": "font | penny",
                "€": "euró | cent",
                "¥": "jen",
                "ft": "forint | fillér",
            },
            percent="százalék",
            degree="fok",
            magnitudes="ezer millió milliárd billió",
        ),
        _counting(
            "ko",
            _one_other,
            " ",
            {
                "$": "달러 | 센트",
                "£": "파운드 | 펜스",
                "€": "유로 | 센트",
                "¥": "엔",
                "₩": "원",
            },
            percent="퍼센트",
            degree="도",
            magnitudes="만 억 조",
        ),
        _counting(
            "hi",
            _one_other,
            " ",
            {
                "$": "डॉलर | सेंट",
                "£": "पाउंड | पेंस",
                "€": "यूरो | सेंट",
                "¥": "येन",
                "₹": "रुपया/रुपये | पैसा/पैसे",
            },
            percent="प्रतिशत",
            degree="डिग्री",
            magnitudes="हज़ार हजार लाख करोड़ अरब",
        ),
    )
}
